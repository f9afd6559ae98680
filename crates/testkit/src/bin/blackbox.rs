//! Tests a real broker process from outside: `cargo xtask` runs this tool.
//!
//! Invariant: progress goes to stderr, the result to stdout. Exit code 0: all is as it should be; 1: something
//! is not; 2: it could not be looked at.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand};
use logpond_testkit::backlog::{self, BacklogOptions};
use logpond_testkit::broker_process::Launch;
use logpond_testkit::conformance;
use logpond_testkit::crash::{self, CampaignOptions};
use logpond_testkit::fault;
use logpond_testkit::interop;
use logpond_testkit::powercut;
use logpond_testkit::report::{Output, Report};
use logpond_testkit::trace::{self, WatchOptions};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Tests a real broker process from outside.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How the result is written.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Folder for data directories and installed clients.
    #[arg(long, global = true, env = "LOGPOND_WORK", default_value = "target")]
    work: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Programs with published clients.
    Interop {
        /// A broker that runs already.
        #[arg(long)]
        url: Option<String>,
        /// Only programs whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// Test suites of published clients.
    Conformance {
        /// Only these suites.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// SIGKILL under load, again and again.
    Crash {
        /// Kills that reach the thresholds.
        #[arg(long, default_value_t = 200)]
        kills: u32,
        /// What everything random is made from; the time when not given.
        #[arg(long)]
        seed: Option<u64>,
        /// Messages confirmed since the broker's start, before it is killed.
        #[arg(long, default_value_t = 10_000)]
        confirmed: u64,
        /// Messages in flight when it is killed.
        #[arg(long, default_value_t = 1_000)]
        in_flight: u64,
        /// Size of the broker's segments.
        #[arg(long, default_value_t = 4 << 20)]
        segment_bytes: u64,
        /// Keep the data directory even when nothing is wrong.
        #[arg(long)]
        keep: bool,
        /// Copy the data directory after each kill.
        #[arg(long)]
        images: bool,
    },
    /// Each confirm must be preceded by its completed synced write.
    StraceOrder {
        /// Messages with one in flight.
        #[arg(long, default_value_t = 300)]
        single: u64,
        /// Messages with many in flight.
        #[arg(long, default_value_t = 50_000)]
        many: u64,
        /// How many are many.
        #[arg(long, default_value_t = 1_000)]
        in_flight: u64,
        /// Confirms that share a sync, at least, with many in flight.
        #[arg(long, default_value_t = 50)]
        confirms_per_sync_min: u64,
        /// Further settings of the broker, for example store.write_mode=buffered-fdatasync.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Calls that fail on purpose: nothing is confirmed after, and the broker ends within a second.
    Faults {
        /// The last call that fails, counted from 1.
        #[arg(long, default_value_t = 200)]
        nth_max: u32,
        /// One run for every so many calls.
        #[arg(long, default_value_t = 1)]
        step: u32,
        /// Runs at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Only kinds whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
    },
    /// The power of a virtual machine is cut, and all that its disk could hold then is recovered.
    Powercut {
        /// Runs whose disk is recorded.
        #[arg(long, default_value_t = 10)]
        runs: u32,
        /// Images made of all their records together.
        #[arg(long, default_value_t = 1000)]
        images: usize,
        /// Machines that are killed and whose disk is recovered as it is.
        #[arg(long, default_value_t = 20)]
        kills: u32,
        /// What everything random is made from; the time when not given.
        #[arg(long)]
        seed: Option<u64>,
        /// Messages confirmed before the power is cut.
        #[arg(long, default_value_t = 3000)]
        confirmed: u64,
        /// Images recovered at a time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// How qemu runs the machine: `kvm` is fast where it works, `tcg` works everywhere.
        #[arg(long, default_value = "tcg")]
        accelerator: String,
        /// The bug of the broker that must be caught; `sim --planted` lists them.
        #[arg(long, default_value = "skip a sync")]
        control: String,
    },
    /// A long queue: start and memory.
    Backlog {
        /// Messages in the queue.
        #[arg(long, default_value_t = 10_000_000)]
        messages: u64,
        /// Length of each body.
        #[arg(long, default_value_t = 16)]
        body_len: usize,
        /// Longest from exec to the first delivery, in milliseconds.
        #[arg(long, default_value_t = 2_000)]
        first_delivery_ms_max: u64,
        /// Most resident memory, in megabytes.
        #[arg(long, default_value_t = 150)]
        resident_mb_max: u64,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if matches!(arguments.command, Command::Powercut { .. }) {
        match powercut::isolate() {
            Ok(None) => {}
            Ok(Some(ended)) => return code_of(ended),
            Err(error) => return refuse(&error),
        }
    }
    let closed = match &arguments.command {
        Command::Conformance { only } => conformance(&arguments, only),
        _ => run(&arguments).map(|report| report.close(arguments.output)),
    };
    closed.unwrap_or_else(|error| refuse(&error))
}

fn conformance(arguments: &Arguments, only: &[String]) -> anyhow::Result<ExitCode> {
    let folder = folder(&arguments.work, "conformance")?;
    Ok(conformance::run(&folder, only)?.close(arguments.output))
}

fn refuse(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(2)
}

/// The exit code of this program, which ran as another process.
fn code_of(ended: std::process::ExitStatus) -> ExitCode {
    ended
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::from(2), ExitCode::from)
}

fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    match &arguments.command {
        Command::Interop { url, only } => {
            let folder = folder(&arguments.work, "interop")?;
            match url {
                Some(url) => interop::run(url, &folder, only),
                None => interop_with_own_broker(&folder, only),
            }
        }
        Command::Conformance { .. } => unreachable!("it has a summary of its own"),
        &Command::Crash {
            kills,
            seed,
            confirmed,
            in_flight,
            segment_bytes,
            keep,
            images,
        } => crash::run(&CampaignOptions {
            kills,
            seed: seed.unwrap_or_else(seed_of_now),
            confirmed_min: confirmed,
            in_flight_min: in_flight,
            segment_bytes,
            folder: folder(&arguments.work, "crash")?,
            keep,
            images,
        }),
        Command::StraceOrder {
            single,
            many,
            in_flight,
            confirms_per_sync_min,
            settings,
        } => trace::run(&WatchOptions {
            single: *single,
            many: *many,
            in_flight: *in_flight,
            confirms_per_sync_min: *confirms_per_sync_min,
            settings: settings.clone(),
            folder: folder(&arguments.work, "blackbox")?,
        }),
        Command::Faults {
            nth_max,
            step,
            jobs,
            only,
        } => fault::run(&fault::CampaignOptions {
            nth_max: *nth_max,
            step: *step,
            jobs: *jobs,
            only: only.clone(),
            folder: folder(&arguments.work, "faults")?,
        }),
        Command::Powercut {
            runs,
            images,
            kills,
            seed,
            confirmed,
            jobs,
            accelerator,
            control,
        } => powercut::run(&powercut::CampaignOptions {
            runs: *runs,
            images: *images,
            kills: *kills,
            seed: seed.unwrap_or_else(seed_of_now),
            confirmed: *confirmed,
            jobs: *jobs,
            accelerator: accelerator.clone(),
            control: control.clone(),
            folder: folder(&arguments.work, "powercut")?,
        }),
        &Command::Backlog {
            messages,
            body_len,
            first_delivery_ms_max,
            resident_mb_max,
        } => backlog::run(&BacklogOptions {
            messages,
            body_len,
            first_delivery_ms_max,
            resident_mb_max,
            folder: folder(&arguments.work, "blackbox")?,
        }),
    }
}

fn interop_with_own_broker(folder: &Path, only: &str) -> anyhow::Result<Report> {
    let data = tempfile::tempdir_in(folder)?;
    let broker = Launch::from_environment(&data.path().join("data"))?.start_and_wait()?;
    let report = interop::run(&broker.url(), folder, only)?;
    broker.stop()?;
    Ok(report)
}

fn seed_of_now() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    now.as_secs()
}

fn folder(work: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(work)?.join(name);
    std::fs::create_dir_all(&path)?;
    Ok(path)
}
