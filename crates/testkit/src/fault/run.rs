//! One run: a broker under strace, a publisher, one failing call, the broker's end, and a start without faults.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::injection::{Fault, Injection};
use super::witness::{Witness, is_fault};
use crate::broker_process::{BrokerProcess, Launch};
use crate::generator::{Connection, Drain, DrainOptions, PublishOptions, Target, publish};

const QUEUE: &str = "faulty";
/// Longest until the fault has come about and the broker has ended.
const RUN_TIME_MAX: Duration = Duration::from_secs(60);
/// How often the trace is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Time for a broker that goes on to show what it makes of a fault.
const AFTERMATH: Duration = Duration::from_millis(400);
/// Longest from the fault to the broker's end.
const END_TIME_MAX: Duration = Duration::from_secs(1);

/// Runs one injection in an empty folder. An error says what was wrong.
pub fn run(injection: &Injection, folder: &Path) -> anyhow::Result<()> {
    let data = folder.join("data");
    let trace = folder.join("trace");
    let pid = serve_until_end(injection, &data, &trace)?;
    let seen = wait_for_trace(&trace, pid)?;
    judge(&seen, injection)?;
    check_log(injection, &seen, &launch(injection, &data)?.log())?;
    check_restart(injection, &data, seen.verdict.confirmed)
}

fn launch(injection: &Injection, data: &Path) -> anyhow::Result<Launch> {
    // Small segments and frequent checkpoints, so that the calls of rolls and checkpoints come as well.
    Ok(Launch::from_environment(data)?
        .set(format!("store.write_mode={}", injection.mode))
        .set("store.segment_bytes=65536")
        .set("store.slab_bytes=65536")
        .set("store.block_bytes_soft=16384")
        .set("store.checkpoint_bytes=65536")
        .set("store.checkpoint_ms=50"))
}

/// Publishes until the broker ends, or kills it when it does not. Its process id.
fn serve_until_end(injection: &Injection, data: &Path, trace: &Path) -> anyhow::Result<u32> {
    let starting = launch(injection, data)?.under(injection.strace(trace)).start()?;
    let pid = starting.pid();
    let Ok(mut broker) = starting.wait(RUN_TIME_MAX) else {
        return Ok(pid); // It refused to start; the trace tells why.
    };
    let address = broker.address();
    // It ends with an error when the broker does.
    let publisher = std::thread::spawn(move || publish_for_ever(&Target::guest(address)));
    wait_for_end(&mut broker, injection, trace)?;
    let _ = publisher.join();
    Ok(pid)
}

fn publish_for_ever(target: &Target) -> anyhow::Result<()> {
    let mut connection = Connection::open(target)?;
    connection.declare(QUEUE)?;
    connection.select_confirms()?;
    let options = PublishOptions {
        queue: QUEUE.into(),
        count: u64::MAX,
        body_len: 1024,
        window: 20,
        first: 0,
    };
    publish(&mut connection, &options).map(drop)
}

/// A broker is given a moment after the fault, then it is killed: one that should have ended has gone on for too long by then.
fn wait_for_end(broker: &mut BrokerProcess, injection: &Injection, trace: &Path) -> anyhow::Result<()> {
    let until = Instant::now() + RUN_TIME_MAX;
    let moment = if injection.is_survivable() {
        injection.duration() + AFTERMATH
    } else {
        END_TIME_MAX + AFTERMATH
    };
    let mut lines = BufReader::new(File::open(trace)?).lines();
    while broker.ended_within(LOOK_EVERY)?.is_none() {
        let fired = lines.by_ref().map_while(Result::ok).any(|line| is_fault(&line));
        if fired || Instant::now() > until {
            broker.ended_within(moment)?;
            broker.kill()?;
        }
    }
    Ok(())
}

/// strace writes its last lines after the broker's end.
fn wait_for_trace(trace: &Path, pid: u32) -> anyhow::Result<Witness> {
    let until = Instant::now() + RUN_TIME_MAX;
    loop {
        let seen = Witness::read(trace, pid)?;
        if seen.end.is_some() {
            return Ok(seen);
        }
        anyhow::ensure!(Instant::now() < until, "strace does not come to an end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a call was about a file that the broker can do without. Whether a write mode works is tried out on a file of its own,
/// and another is taken when it does not; a footer only repeats what its segment says.
fn is_dispensable(call: &str) -> bool {
    call.contains("/probe-") || call.contains(".footer")
}

fn judge(seen: &Witness, injection: &Injection) -> anyhow::Result<()> {
    let Some((what, _)) = &seen.fired else {
        anyhow::bail!("the fault never came about");
    };
    let early = &seen.verdict.early;
    if let Some(first) = early.first() {
        anyhow::bail!(
            "{what}: {} messages were confirmed and not synced, the first is {first}",
            early.len()
        );
    }
    if injection.is_survivable() || is_dispensable(what) {
        return Ok(());
    }
    let (end, survived) = (seen.end.as_ref().map(|end| end.0.as_str()), seen.survived());
    let in_time = survived.is_some_and(|survived| survived <= END_TIME_MAX);
    let refused = end.is_some_and(|end| end.starts_with("exited with ") && end != "exited with 0");
    anyhow::ensure!(
        in_time && refused,
        "{what}: the broker went on for {:?}, and then: {}",
        survived.unwrap_or_default(),
        end.unwrap_or_default()
    );
    Ok(())
}

/// A disk that does not answer a running broker is reported, and so is its return.
fn check_log(injection: &Injection, seen: &Witness, log: &Path) -> anyhow::Result<()> {
    if matches!(injection.fault, Fault::Slow(_)) && seen.confirmed_before > 0 {
        let log = std::fs::read_to_string(log)?;
        for words in ["the disk does not answer a write", "the disk answers again"] {
            anyhow::ensure!(log.contains(words), "the log does not say: {words}");
        }
    }
    Ok(())
}

/// Everything confirmed is there. A made-up short write took bytes that were never written, so after one only the start
/// itself is asked for.
fn check_restart(injection: &Injection, data: &Path, confirmed: u64) -> anyhow::Result<()> {
    let broker = launch(injection, data)?.start_and_wait()?;
    if !matches!(injection.fault, Fault::Short(_)) {
        check_queue(&broker, confirmed)?;
    }
    broker.stop()
}

fn check_queue(broker: &BrokerProcess, confirmed: u64) -> anyhow::Result<()> {
    let mut connection = Connection::open(&Target::guest(broker.address()))?;
    let ready = u64::from(connection.declare(QUEUE)?);
    anyhow::ensure!(
        ready >= confirmed,
        "{confirmed} messages were confirmed, and after a restart {ready} are there"
    );
    let options = DrainOptions {
        queue: QUEUE.into(),
        prefetch: 1000,
        ack_every: 200,
        first: 0,
    };
    let drained = Drain::start(&mut connection, options)?.run(ready)?;
    anyhow::ensure!(
        drained.missing + drained.repeated + drained.damaged == 0,
        "after a restart: {drained:?}"
    );
    connection.close()
}

/// Where a run that failed leaves its trace and data.
pub fn kept(folder: &Path, injection: &Injection) -> PathBuf {
    let fault = injection.fault.to_string().replace('=', "-");
    folder.join(format!(
        "fault-{}-{}-{fault}-{}",
        injection.mode, injection.call, injection.nth
    ))
}
