//! Runs a broker under strace, publishes with one and with many in flight, and reports the order.

use super::order::{Judge, Verdict};
use super::strace::Reader;
use crate::broker_process::Launch;
use crate::generator::{Connection, PublishOptions, Target, publish};
use crate::report::{Finding, Report};
use anyhow::Context;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CALLS: &str = "trace=pwritev2,pwrite64,pwritev,fdatasync,fsync,sendto,write,writev,sendmsg";
/// Longest string that strace shows: a whole block of the journal.
const STRING_BYTES_MAX: usize = 64 << 20;
/// Longest that strace may take to write its last line after the broker's end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to publish, and what is enough.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Messages with one in flight.
    pub single: u64,
    /// Messages with many in flight.
    pub many: u64,
    /// How many are many.
    pub in_flight: u64,
    /// Confirms that share a sync, at least, with many in flight.
    pub confirms_per_sync_min: u64,
    /// Further settings of the broker, as `key=value`.
    pub settings: Vec<String>,
    /// Where data directories and traces are made.
    pub folder: PathBuf,
}

/// Watches both.
pub fn run(options: &WatchOptions) -> anyhow::Result<Report> {
    let single = watch(options, "one", options.single, 1)?;
    let many = watch(options, "many", options.many, options.in_flight)?;
    let mut findings = Vec::new();
    for (name, verdict, count) in [
        ("one in flight", &single, options.single),
        ("many in flight", &many, options.many),
    ] {
        let is_good = verdict.early.is_empty() && verdict.confirmed == count && verdict.failed_syncs == 0;
        let first = verdict
            .early
            .first()
            .map_or(String::new(), |n| format!(", the first: message {n}"));
        let detail = format!(
            "{} confirmed, {} of them before their sync{first}",
            verdict.confirmed,
            verdict.early.len()
        );
        findings.push(Finding::new(
            format!("{name}: confirms follow syncs"),
            is_good,
            detail,
        ));
    }
    let each = single.message_syncs == single.confirmed && single.confirm_writes == single.confirmed;
    let detail = format!(
        "{} synced writes with messages and {} socket writes with confirms for {} messages ({} other syncs)",
        single.message_syncs, single.confirm_writes, single.confirmed, single.other_syncs
    );
    findings.push(Finding::new("one in flight: one sync per confirm", each, detail));
    let shared = many.confirmed / many.message_syncs.max(1);
    let detail = format!(
        "{shared} on average: {} messages in {} synced writes, confirmed by {} socket writes",
        many.confirmed, many.message_syncs, many.confirm_writes
    );
    let name = format!("{} in flight: confirms per sync", options.in_flight);
    findings.push(Finding::new(
        name,
        shared >= options.confirms_per_sync_min,
        detail,
    ));
    Ok(Report::new("system calls of the broker, in order", findings))
}

fn watch(options: &WatchOptions, name: &str, count: u64, window: u64) -> anyhow::Result<Verdict> {
    let data = options.folder.join(format!("strace-{name}"));
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    let trace = data.with_extension("strace");
    let mut launch = Launch::from_environment(&data)?.under(strace(&trace));
    for setting in &options.settings {
        launch = launch.set(setting);
    }
    let broker = launch
        .start_and_wait()
        .context("is strace installed, and may it trace?")?;
    let pid = broker.pid();
    let mut connection = Connection::open(&Target::guest(broker.address()))?;
    connection.declare("traced")?;
    connection.select_confirms()?;
    let publish_options = PublishOptions {
        queue: "traced".into(),
        count,
        body_len: 16,
        window,
        first: 0,
    };
    publish(&mut connection, &publish_options)?;
    connection.close()?;
    broker.stop()?;
    let verdict = judge(&trace, pid)?;
    eprintln!(
        "{name}: {} confirmed; trace in {}",
        verdict.confirmed,
        trace.display()
    );
    if verdict.early.is_empty() {
        std::fs::remove_dir_all(&data)?;
        std::fs::remove_file(&trace)?;
    }
    Ok(verdict)
}

/// strace as a grandchild, so that the child is the broker itself and can be signalled.
fn strace(trace: &Path) -> Vec<OsString> {
    let size = STRING_BYTES_MAX.to_string();
    let mut words: Vec<OsString> = [
        "strace",
        "-D",
        "-f",
        "--seccomp-bpf",
        "-tt",
        "-y",
        "-xx",
        "-s",
        &size,
        "-e",
        CALLS,
        "-o",
    ]
    .map(OsString::from)
    .into();
    words.push(trace.into());
    words
}

fn judge(trace: &Path, pid: u32) -> anyhow::Result<Verdict> {
    let until = Instant::now() + PATIENCE;
    while !has_ended(trace, pid)? {
        anyhow::ensure!(Instant::now() < until, "strace does not come to an end");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (mut reader, mut judge) = (Reader::default(), Judge::default());
    for line in BufReader::new(File::open(trace)?).lines() {
        reader
            .events(&line?)
            .into_iter()
            .for_each(|event| judge.see(event));
    }
    Ok(judge.verdict())
}

/// Whether strace has told the end of the broker.
fn has_ended(trace: &Path, pid: u32) -> anyhow::Result<bool> {
    let prefix = format!("{pid} ");
    let mut is_ended = false;
    for line in BufReader::new(File::open(trace)?).lines() {
        let line = line?;
        is_ended |= line.starts_with(&prefix) && line.contains("+++ exited with");
    }
    Ok(is_ended)
}
