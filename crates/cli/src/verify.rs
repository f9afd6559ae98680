//! `logpond verify`: every byte that a store relies on, looked at without opening it.

use std::process::ExitCode;

use clap::Args;
use logpond_store::LostEntries;
use logpond_store::inspect::{Finding, VerifyReport, verify};

use crate::exit;
use crate::offline::{Bar, Output, Place, print_json, print_table};

/// Check every checksum of a data directory, and the index against the log. The broker may run meanwhile.
#[derive(Debug, Args)]
#[command(after_help = exit::OFFLINE_CODES)]
pub struct VerifyArgs {
    #[command(flatten)]
    place: Place,
}

/// Looks at everything and tells what is damaged.
pub fn run(arguments: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let report = verify(&arguments.place.disk()?, &mut Bar::new())?;
    match arguments.place.output {
        Output::Json => print_json(&report)?,
        Output::Text => print(&report),
    }
    Ok(code(&report))
}

/// 7 when there is damage that no repair has set aside.
pub fn code(report: &VerifyReport) -> ExitCode {
    if report.is_sound() {
        ExitCode::SUCCESS
    } else {
        exit::damaged()
    }
}

/// Prints a report for people.
pub fn print(report: &VerifyReport) {
    println!(
        "store {}, {}",
        report.store,
        if report.clean {
            "stopped in order"
        } else {
            "running, or not stopped in order"
        }
    );
    println!(
        "{} segments, {} blocks, {} records, {} footers, {} index pages, {} index entries, {} checkpoints, {} catalog frames",
        report.segments,
        report.blocks,
        report.records,
        report.footers,
        report.index_pages,
        report.index_entries,
        report.checkpoints,
        report.catalog_frames
    );
    if !report.findings.is_empty() {
        print_table(
            ["damaged", "offset", "bytes", "part", "lost", "set aside"],
            report.findings.iter().map(row),
        );
    }
    print_entries("lost", &report.lost);
    print_entries("misled by the index, brought back by a repair:", &report.astray);
    for torn in &report.torn {
        println!(
            "interrupted write in {} at byte {}: never confirmed, no damage",
            torn.file, torn.offset
        );
    }
    for unjudged in &report.unjudged {
        println!("not judged: {} ({:?})", unjudged.file, unjudged.why);
    }
    let (new, all) = (report.new_damage(), report.findings.len());
    match (new, all) {
        (_, 0) => println!("sound"),
        (0, known) => println!("sound but for {known} damaged ranges that a repair has set aside"),
        (new, _) => println!("{new} damaged ranges"),
    }
}

fn row(finding: &Finding) -> [String; 6] {
    let lost: u64 = finding.lost.iter().map(|lost| lost.count).sum();
    [
        finding.file.clone(),
        finding.offset.to_string(),
        finding.bytes.to_string(),
        format!("{:?}", finding.part),
        lost.to_string(),
        if finding.set_aside { "yes" } else { "no" }.to_owned(),
    ]
}

fn print_entries(what: &str, entries: &[LostEntries]) {
    for lost in entries {
        let (first, last) = (lost.first.get(), lost.first.get() + lost.count.saturating_sub(1));
        println!("{what} queue {} seq {first} to {last}", lost.queue);
    }
}
