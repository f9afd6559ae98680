//! The simulation from the command line: `cargo xtask sim`.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Parser;
use logpond_store::planted::{Planted, plant};
use logpond_testkit::interrupt::interrupted;
use logpond_testkit::sim::{
    Campaign, Exhausted, Exhaustive, RecoveryCrashes, Settings, Statistics, Verdict, run_seed,
};

/// Crashes a store on a simulated disk, over and over, and compares what is recovered with a model.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long to run.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How long to run, in hours: overnight. Says once a minute how far it is; Ctrl-C ends it with the report so far.
    #[arg(long, conflicts_with_all = ["seconds", "planted", "once", "exhaustive"])]
    hours: Option<u64>,
    /// Append each seed that breaks the store's promise to this file as soon as it is found.
    #[arg(long, value_name = "FILE")]
    violations: Option<PathBuf>,
    /// The first seed; without it, one is drawn.
    #[arg(long)]
    seed: Option<u64>,
    /// Threads; one for each core if not given.
    #[arg(long)]
    threads: Option<u64>,
    /// Run just the one seed, and print its settings.
    #[arg(long, requires = "seed")]
    once: bool,
    /// With `--once`: tell every event on stderr.
    #[arg(long, requires = "once")]
    trace: bool,
    /// Instead of random lives: every workload of a few operations, crashed at every call in every manner.
    #[arg(long, conflicts_with_all = ["planted", "once"])]
    exhaustive: bool,
    /// With `--exhaustive`: operations of the longest workloads.
    #[arg(long, default_value_t = 3, requires = "exhaustive")]
    operations: u32,
    /// With `--exhaustive`: recoveries are not crashed.
    #[arg(long, requires = "exhaustive")]
    no_second_crash: bool,
    /// With `--exhaustive`: only every so many-th workload.
    #[arg(long, default_value_t = 1, requires = "exhaustive", value_parser = clap::value_parser!(u64).range(1..))]
    step: u64,
    /// Plant one known bug after the other, and see each found from five seeds within a minute.
    #[arg(long)]
    planted: bool,
    /// With `--planted`: only bugs whose description contains this.
    #[arg(long)]
    only: Option<String>,
    /// How the result is told.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// How the result is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people, on stdout.
    Text,
    /// One object on stdout, everything else on stderr.
    Json,
}

/// What a run of this tool found.
struct Found {
    passed: u64,
    failed: u64,
    detail: String,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A panic inside a run is a finding that is reported with its seed.
    if !arguments.once {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let seed = arguments.seed.unwrap_or_else(drawn_seed);
    let threads = arguments.threads.unwrap_or_else(cores);
    let tell = |text: &str| match arguments.output {
        Output::Text => println!("{text}"),
        Output::Json => eprintln!("{text}"),
    };
    let interrupted = match interrupted() {
        Ok(interrupted) => interrupted,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::from(2);
        }
    };
    let found = if arguments.planted {
        prove_planted(seed, threads, arguments.only.as_deref(), &tell)
    } else if arguments.exhaustive {
        let exhaustive = Exhaustive {
            length: arguments.operations,
            recovery: if arguments.no_second_crash {
                RecoveryCrashes::Nowhere
            } else {
                RecoveryCrashes::Everywhere
            },
            step: arguments.step,
            threads: usize::try_from(threads).unwrap_or(1),
            stop_at_first: false,
        };
        exhaust(&exhaustive, &interrupted, &tell)
    } else if arguments.once {
        once(seed, arguments.trace, &tell)
    } else {
        let seconds = arguments.hours.map_or(arguments.seconds, |hours| hours * 3600);
        let time = Duration::from_secs(seconds);
        let campaign = Campaign {
            first_seed: seed,
            time,
            threads,
            stop_at_first: false,
        };
        tell(&format!(
            "simulating for {seconds} s on {threads} threads from seed {seed}"
        ));
        let mut log = Log::new(arguments.violations, threads);
        let verdict = campaign.run_until(&interrupted, &mut |verdict| log.progress(verdict));
        log.note_violations(&verdict);
        judge(&verdict, threads, &tell)
    };
    if arguments.output == Output::Json {
        let Found {
            passed,
            failed,
            detail,
        } = &found;
        println!(
            "{}",
            serde_json::json!({ "passed": passed, "failed": failed, "detail": detail })
        );
    }
    if found.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn drawn_seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::from(now.subsec_nanos()) << 20 ^ now.as_secs()
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| u64::try_from(cores.get()).unwrap_or(1))
}

fn once(seed: u64, trace: bool, tell: &dyn Fn(&str)) -> Found {
    if trace {
        logpond_testkit::sim::tell();
    }
    let settings = Settings::pick(&mut logpond_store::disk::sim::Rng::new(seed));
    tell(&format!("{settings:#?}"));
    let mut statistics = Statistics::default();
    let ended = run_seed(seed, &mut statistics);
    tell(statistics.to_string().trim_end());
    match ended {
        Ok(()) => Found {
            passed: 1,
            failed: 0,
            detail: format!("seed {seed}"),
        },
        Err(text) => {
            tell(&format!("seed {seed}: {text}"));
            Found {
                passed: 0,
                failed: 1,
                detail: format!("seed {seed}: {text}"),
            }
        }
    }
}

/// How often the progress of a long run is told.
const PROGRESS: Duration = Duration::from_secs(60);

fn exhaust(exhaustive: &Exhaustive, interrupted: &AtomicBool, tell: &dyn Fn(&str)) -> Found {
    let told = Mutex::new(Duration::ZERO);
    let progress = |found: &Exhausted| {
        let mut told = told.lock().expect("no holder panics");
        if found.elapsed > *told + PROGRESS {
            *told = found.elapsed;
            let minutes = found.elapsed.as_secs() / 60;
            eprintln!("after {minutes} min: {}", found.in_short());
        }
    };
    let found = match exhaustive.run(interrupted, &progress) {
        Ok(found) => found,
        Err(text) => {
            tell(&text);
            return Found {
                passed: 0,
                failed: 1,
                detail: text,
            };
        }
    };
    tell(&found.to_string());
    if !found.is_complete {
        tell("interrupted: not all workloads were run");
    }
    for violation in found.violations.iter().take(SHOWN) {
        tell(&format!("workload {violation}"));
    }
    let first = found.violations.first().map(|first| format!("; first: {first}"));
    Found {
        passed: found.images + found.second_images,
        failed: u64::try_from(found.violations.len()).unwrap_or(u64::MAX),
        detail: format!("{}{}", found.in_short(), first.unwrap_or_default()),
    }
}

/// Violations that are told in full.
const SHOWN: usize = 20;

/// Tells how far a run is, on stderr, and keeps what it finds in a file.
struct Log {
    file: Option<PathBuf>,
    threads: u64,
    noted: HashSet<u64>,
}

impl Log {
    fn new(file: Option<PathBuf>, threads: u64) -> Self {
        Self {
            file,
            threads,
            noted: HashSet::new(),
        }
    }

    fn progress(&mut self, verdict: &Verdict) {
        self.note_violations(verdict);
        let statistics = &verdict.statistics;
        eprintln!(
            "after {} min: {} seeds, {} crash points, {} per minute and thread, {} crashes during recovery, \
             {} starts that failed, {} violations",
            verdict.elapsed.as_secs() / 60,
            statistics.seeds,
            statistics.crash_points,
            statistics.crash_points_per_minute(verdict.elapsed, self.threads),
            statistics.crashes_during_recovery,
            statistics.failed_starts,
            verdict.violations.len()
        );
    }

    /// Tells each violation once. A file that cannot be written does not end the run.
    fn note_violations(&mut self, verdict: &Verdict) {
        for violation in &verdict.violations {
            if !self.noted.insert(violation.seed) {
                continue;
            }
            let line = format!("seed {}: {}", violation.seed, violation.text);
            eprintln!("{line}");
            if let Some(path) = &self.file {
                let opened = File::options().create(true).append(true).open(path);
                if let Err(error) = opened.and_then(|mut file| writeln!(file, "{line}")) {
                    eprintln!("{}: {error}", path.display());
                }
            }
        }
    }
}

fn judge(verdict: &Verdict, threads: u64, tell: &dyn Fn(&str)) -> Found {
    let statistics = &verdict.statistics;
    tell(statistics.to_string().trim_end());
    let rate = statistics.crash_points_per_minute(verdict.elapsed, threads);
    tell(&format!("{rate:>12}  crash points per minute and thread"));
    tell(&format!("{:>12}  violations", verdict.violations.len()));
    for violation in verdict.violations.iter().take(SHOWN) {
        tell(&format!("seed {}: {}", violation.seed, violation.text));
    }
    let failed = u64::try_from(verdict.violations.len()).unwrap_or(u64::MAX);
    let first = verdict
        .violations
        .first()
        .map(|first| format!("; seed {}: {}", first.seed, first.text));
    let points = statistics.crash_points;
    Found {
        passed: points,
        failed,
        detail: format!(
            "{points} crash points, {rate} per minute and thread{}",
            first.unwrap_or_default()
        ),
    }
}

/// Runs from this many seeds find each planted bug …
const PLANTED_SEEDS: u64 = 5;
/// … within this time.
const PLANTED_LIMIT: Duration = Duration::from_secs(60);

fn prove_planted(seed: u64, threads: u64, only: Option<&str>, tell: &dyn Fn(&str)) -> Found {
    let mut table = comfy_table::Table::new();
    table.set_header([
        "planted bug",
        "found from",
        "slowest",
        "crash points (mean)",
        "first finding",
    ]);
    let (mut passed, mut failed) = (0, Vec::new());
    for bug in Planted::ALL {
        if only.is_some_and(|only| !bug.describe().contains(only)) {
            continue;
        }
        plant(Some(bug));
        let runs: Vec<Verdict> = (0..PLANTED_SEEDS)
            .map(|run| {
                let first_seed = seed.wrapping_add(run.wrapping_mul(1 << 40));
                Campaign {
                    first_seed,
                    time: PLANTED_LIMIT,
                    threads,
                    stop_at_first: true,
                }
                .run()
            })
            .collect();
        plant(None);
        let found = runs.iter().filter(|run| !run.violations.is_empty()).count();
        let slowest = runs.iter().map(|run| run.elapsed).max().unwrap_or_default();
        let points: u64 = runs.iter().map(|run| run.statistics.crash_points).sum();
        let first = runs.iter().flat_map(|run| &run.violations).next();
        let text = first.map_or_else(String::new, |first| {
            format!("seed {}: {}", first.seed, shortened(&first.text))
        });
        eprintln!(
            "{}: found from {found} of {PLANTED_SEEDS} seeds, slowest {slowest:.1?}; {text}",
            bug.describe()
        );
        table.add_row([
            bug.describe().to_owned(),
            format!("{found} of {PLANTED_SEEDS} seeds"),
            format!("{:.1} s", slowest.as_secs_f64()),
            (points / PLANTED_SEEDS).to_string(),
            text,
        ]);
        if runs.len() == found {
            passed += 1;
        } else {
            failed.push(bug.describe());
        }
    }
    tell(&table.to_string());
    let not_found = u64::try_from(failed.len()).unwrap_or(u64::MAX);
    let mut detail = format!("{passed} planted bugs found from each of {PLANTED_SEEDS} seeds");
    if !failed.is_empty() {
        detail = format!("{detail}; not found: {}", failed.join(", "));
    }
    Found {
        passed,
        failed: not_found,
        detail,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(110).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use logpond_testkit::sim::Violation;

    #[test]
    fn a_violating_seed_goes_to_the_file_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("violations.txt");
        let violation = |seed| Violation {
            seed,
            text: "lost".to_owned(),
            after: Duration::ZERO,
        };
        let mut verdict = Verdict {
            statistics: Statistics::default(),
            violations: vec![violation(7)],
            elapsed: Duration::ZERO,
        };
        let mut log = Log::new(Some(path.clone()), 1);
        log.progress(&verdict);
        verdict.violations.insert(0, violation(3));
        log.note_violations(&verdict);
        let kept = std::fs::read_to_string(path).unwrap();
        assert_eq!(kept, "seed 7: lost\nseed 3: lost\n");
        assert_eq!(judge(&verdict, 1, &|_| {}).failed, 2);
    }
}
