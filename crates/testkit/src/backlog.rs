//! A long queue: how soon a broker that was killed, stopped, or robbed of its index delivers from it, and what it holds in
//! memory.
//!
//! Invariant: the page cache is dropped before each start, or the report says that it could not be.

use crate::broker_process::{BrokerProcess, Launch};
use crate::footprint::{Resident, disk_bytes, drop_page_cache};
use crate::generator::{Connection, Drain, DrainOptions, PublishOptions, Target, publish};
use crate::report::{Finding, Report};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const QUEUE: &str = "backlog";
const PREFETCH: u16 = 1_000;
const ACK_EVERY: u64 = 100;
const WINDOW: u64 = 5_000;
/// Queues settle before memory is looked at.
const SETTLE: Duration = Duration::from_secs(3);

/// What to measure, and what is enough.
#[derive(Clone, Debug)]
pub struct BacklogOptions {
    /// Messages in the queue.
    pub messages: u64,
    /// Length of each body.
    pub body_len: usize,
    /// Longest from exec to the first delivery, with the index at hand. Without it, the log is read: that takes what it takes.
    pub first_delivery_ms_max: u64,
    /// Most memory while holding the messages: anonymous, mapped files and shared.
    pub resident_mb_max: u64,
    /// Where the data directory is made.
    pub folder: PathBuf,
}

/// Fills, kills, stops, drains; and judges each.
pub fn run(options: &BacklogOptions) -> anyhow::Result<Report> {
    let data = options.folder.join("backlog");
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    let launch = Launch::from_environment(&data)?;
    let _ = std::fs::remove_file(launch.log());
    let mut findings = Vec::new();

    let mut broker = launch.start_and_wait()?;
    findings.push(fill(&broker, options)?);
    std::thread::sleep(SETTLE);
    findings.push(resident("memory with the backlog", &broker, options)?);
    broker.kill()?;
    drop(broker);

    let (broker, finding) = first_delivery("after kill -9", &launch, options)?;
    findings.push(finding);
    std::thread::sleep(SETTLE);
    findings.push(resident("memory after kill -9", &broker, options)?);
    let start = Instant::now();
    broker.stop()?;
    let stopped = start.elapsed();

    let (broker, finding) = first_delivery("after a clean stop", &launch, options)?;
    findings.push(finding);
    std::thread::sleep(SETTLE);
    findings.push(resident("memory after a clean stop", &broker, options)?);
    broker.stop()?;

    remove_index(&data)?;
    let without_limit = BacklogOptions {
        first_delivery_ms_max: u64::MAX,
        ..options.clone()
    };
    let (broker, finding) = first_delivery("without index and checkpoints", &launch, &without_limit)?;
    findings.push(finding);
    std::thread::sleep(SETTLE);
    findings.push(resident("memory with a rebuilt index", &broker, options)?);
    findings.push(drain(&broker, options)?);
    findings.push(resident("memory after the drain", &broker, options)?);
    broker.stop()?;

    let disk = disk_bytes(&data)? >> 20;
    let report = Report::new(
        format!("clean stop took {stopped:.2?}; data directory {disk} MiB in the end"),
        findings,
    );
    if report.is_good() {
        std::fs::remove_dir_all(&data)?;
    }
    Ok(report)
}

/// Takes away all that is derived from the log.
fn remove_index(data: &Path) -> anyhow::Result<()> {
    let shard = data.join("shard-00");
    std::fs::remove_dir_all(shard.join("x"))?;
    for entry in std::fs::read_dir(&shard)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("ckpt-") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn fill(broker: &BrokerProcess, options: &BacklogOptions) -> anyhow::Result<Finding> {
    eprintln!("publishing {} messages", options.messages);
    let mut connection = Connection::open(&Target::guest(broker.address()))?;
    connection.declare(QUEUE)?;
    connection.select_confirms()?;
    let publish_options = PublishOptions {
        queue: QUEUE.into(),
        count: options.messages,
        body_len: options.body_len,
        window: WINDOW,
        first: 0,
    };
    let published = publish(&mut connection, &publish_options)?;
    let depth = u64::from(connection.declare(QUEUE)?);
    connection.close()?;
    let per_second = per_second(published.confirmed, published.elapsed);
    let detail = format!(
        "{depth} in the queue after {:.1?}, {per_second} confirmed per second",
        published.elapsed
    );
    Ok(Finding::new(
        "published and confirmed",
        depth == options.messages,
        detail,
    ))
}

/// Starts the broker with cold caches and measures from exec to the first delivery.
fn first_delivery(
    after: &str,
    launch: &Launch,
    options: &BacklogOptions,
) -> anyhow::Result<(BrokerProcess, Finding)> {
    let cache = match drop_page_cache() {
        Ok(()) => "page cache dropped".to_owned(),
        Err(error) => format!("page cache not dropped ({error})"),
    };
    let broker = launch.start_and_wait()?;
    let listening = broker.executed().elapsed();
    let mut connection = Connection::open(&Target::guest(broker.address()))?;
    let drain = DrainOptions {
        queue: QUEUE.into(),
        prefetch: 1,
        ack_every: u64::MAX,
        first: 0,
    };
    // It is taken and not acknowledged: the connection is dropped, and the message goes back.
    let seen = Drain::start(&mut connection, drain)?.first()?;
    let first = broker.executed().elapsed();
    let is_good = seen.damaged == 0
        && seen.missing == 0
        && first.as_millis() < u128::from(options.first_delivery_ms_max);
    let detail = format!("first delivery {first:.3?} after exec, listening after {listening:.3?}; {cache}");
    eprintln!("{after}: {detail}");
    Ok((
        broker,
        Finding::new(format!("first delivery {after}"), is_good, detail),
    ))
}

fn drain(broker: &BrokerProcess, options: &BacklogOptions) -> anyhow::Result<Finding> {
    eprintln!("draining {} messages", options.messages);
    let mut connection = Connection::open(&Target::guest(broker.address()))?;
    let drain = DrainOptions {
        queue: QUEUE.into(),
        prefetch: PREFETCH,
        ack_every: ACK_EVERY,
        first: 0,
    };
    let drained = Drain::start(&mut connection, drain)?.run(options.messages)?;
    connection.close()?;
    let left = Connection::open(&Target::guest(broker.address()))?.declare(QUEUE)?;
    let is_good = drained.missing == 0 && drained.repeated == 0 && drained.damaged == 0 && left == 0;
    let detail = format!(
        "{} deliveries, {} per second; {} missing, {} repeated, {} damaged, {} redelivered, {left} left",
        drained.deliveries,
        per_second(drained.deliveries, drained.elapsed),
        drained.missing,
        drained.repeated,
        drained.damaged,
        drained.redelivered,
    );
    Ok(Finding::new("drained and checked", is_good, detail))
}

fn resident(when: &str, broker: &BrokerProcess, options: &BacklogOptions) -> anyhow::Result<Finding> {
    let resident = Resident::of(broker.pid())?;
    let is_good = resident.total_kb() < options.resident_mb_max * 1_000;
    eprintln!("{when}: {resident}");
    Ok(Finding::new(when, is_good, resident.to_string()))
}

fn per_second(count: u64, elapsed: Duration) -> u128 {
    u128::from(count) * 1_000_000 / elapsed.as_micros().max(1)
}
