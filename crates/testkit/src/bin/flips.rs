//! Every live byte of a store flipped, from the command line: `cargo xtask flips`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use logpond_testkit::flips::{Campaign, Ending, Subject};

/// Flips one bit of every live byte of a store of about 1 MiB, one at a time, and looks at what is left.
#[derive(Debug, Parser)]
struct Arguments {
    /// What the store is made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The store was killed instead of stopped in order.
    #[arg(long)]
    killed: bool,
    /// The first live byte.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Every so many-th live byte.
    #[arg(long, default_value_t = 1)]
    step: u64,
    /// Threads; one for each core if not given.
    #[arg(long)]
    threads: Option<u64>,
    /// Stop after so many seconds, done or not.
    #[arg(long, default_value_t = 24 * 3600)]
    seconds: u64,
}

/// Between two lines of progress.
const TOLD_EVERY: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A panic is a finding that is told with its byte.
    std::panic::set_hook(Box::new(|_| {}));
    let ending = if arguments.killed {
        Ending::Killed
    } else {
        Ending::Closed
    };
    let subject = match Subject::new(arguments.seed, ending) {
        Ok(subject) => subject,
        Err(error) => {
            eprintln!("no store to damage: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{}", subject.describe());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let campaign = Campaign {
        first: arguments.first,
        step: arguments.step,
        threads: arguments.threads.unwrap_or(u64::try_from(cores).unwrap_or(1)),
        limit: Duration::from_secs(arguments.seconds),
    };
    let start = Instant::now();
    let told_at = AtomicU64::new(0);
    let verdict = campaign.run(&subject, &|done, total| {
        let due = start.elapsed().as_secs() / TOLD_EVERY.as_secs();
        if told_at.fetch_max(due, Ordering::Relaxed) < due {
            eprintln!("{done} of {total} flips");
        }
    });
    for violation in verdict.violations.iter().take(50) {
        println!(
            "{} byte {} bit {}: {}",
            violation.file, violation.offset, violation.bit, violation.text
        );
    }
    println!(
        "{} flips in {:.0} s, {} violations",
        verdict.flips,
        verdict.elapsed.as_secs_f64(),
        verdict.broken
    );
    if verdict.broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
