//! `logpond verify`: every byte that a store relies on, looked at without opening it.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use logpond_store::LostEntries;
use logpond_store::inspect::{Finding, IndexState, VerifyReport, verify};

use crate::exit;
use crate::offline::{Bar, Output, Place, print_json, print_table};
use crate::results::Results;

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
        Output::Text => print(&report)?,
    }
    Ok(code(&report))
}

/// 7 when there is damage that no repair has set aside; 9 when there is none, but not all was judged.
pub fn code(report: &VerifyReport) -> ExitCode {
    match (report.is_sound(), report.is_judged()) {
        (false, _) => exit::damaged(),
        (true, false) => exit::not_judged(),
        (true, true) => ExitCode::SUCCESS,
    }
}

/// Prints a report for people.
pub fn print(report: &VerifyReport) -> io::Result<()> {
    writeln!(
        Results,
        "store {}, {}",
        report.store,
        if report.clean {
            "stopped in order"
        } else {
            "running, or not stopped in order"
        }
    )?;
    writeln!(
        Results,
        "{} segments, {} blocks, {} records, {} footers, {} index pages, {} index entries, {} checkpoints, {} catalog frames",
        report.segments,
        report.blocks,
        report.records,
        report.footers,
        report.index_pages,
        report.index_entries,
        report.checkpoints,
        report.catalog_frames
    )?;
    writeln!(Results, "index {}", told(&report.index))?;
    if !report.findings.is_empty() {
        print_table(
            ["damaged", "offset", "bytes", "part", "lost", "set aside"],
            report.findings.iter().map(row),
        )?;
    }
    print_entries("lost", &report.lost)?;
    print_entries("misled by the index, brought back by a repair:", &report.astray)?;
    for torn in &report.torn {
        writeln!(
            Results,
            "interrupted write in {} at byte {}: never confirmed, no damage",
            torn.file, torn.offset
        )?;
    }
    for unjudged in &report.unjudged {
        writeln!(Results, "not judged: {} ({})", unjudged.file, unjudged.why)?;
    }
    writeln!(Results, "{}", verdict(report))
}

/// The last line.
fn verdict(report: &VerifyReport) -> String {
    let said = match (report.new_damage(), report.findings.len()) {
        (0, 0) => "sound".to_owned(),
        (0, known) => format!("sound but for {known} damaged ranges that a repair has set aside"),
        (new, _) => format!("{new} damaged ranges"),
    };
    if report.is_judged() {
        said
    } else {
        format!("{said}, as far as it was judged: look again, or stop the broker first")
    }
}

fn told(index: &IndexState) -> String {
    match index {
        IndexState::NoCheckpoint => {
            "not compared: no checkpoint is sound, so the next start rebuilds it from the log".to_owned()
        }
        IndexState::Compared { checkpoint } => format!("compared, as of the checkpoint at lsn {checkpoint}"),
        IndexState::NotJudged { why } => format!("not judged: {why}"),
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

fn print_entries(what: &str, entries: &[LostEntries]) -> io::Result<()> {
    for lost in entries {
        let (first, last) = (lost.first.get(), lost.first.get() + lost.count.saturating_sub(1));
        writeln!(Results, "{what} queue {} seq {first} to {last}", lost.queue)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use logpond_store::inspect::{Unjudged, WhyUnjudged};

    use super::*;

    fn report_with(why: WhyUnjudged) -> VerifyReport {
        VerifyReport {
            unjudged: vec![Unjudged {
                file: "shard-00/x".to_owned(),
                why,
            }],
            ..VerifyReport::default()
        }
    }

    #[test]
    fn what_was_not_judged_is_sound_only_as_far_as_it_was() {
        assert_eq!(verdict(&VerifyReport::default()), "sound");
        assert_eq!(verdict(&report_with(WhyUnjudged::Recycled)), "sound");
        for why in [WhyUnjudged::CheckpointReplaced, WhyUnjudged::KeepsChanging] {
            let said = verdict(&report_with(why));
            assert!(said.starts_with("sound, as far as it was judged"), "{said}");
        }
    }
}
