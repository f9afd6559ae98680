//! The simulation from the command line: `cargo xtask sim`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use logpond_store::planted::{Planted, plant};
use logpond_testkit::sim::{Campaign, Settings, Statistics, Verdict, run_seed};

/// Crashes a store on a simulated disk, over and over, and compares what is recovered with a model.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long to run.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
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
    let found = if arguments.planted {
        prove_planted(seed, threads, arguments.only.as_deref(), &tell)
    } else if arguments.once {
        once(seed, arguments.trace, &tell)
    } else {
        let time = Duration::from_secs(arguments.seconds);
        let campaign = Campaign {
            first_seed: seed,
            time,
            threads,
            stop_at_first: false,
        };
        tell(&format!(
            "simulating for {} s on {threads} threads from seed {seed}",
            arguments.seconds
        ));
        judge(&campaign.run(), threads, &tell)
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

fn judge(verdict: &Verdict, threads: u64, tell: &dyn Fn(&str)) -> Found {
    let statistics = &verdict.statistics;
    tell(statistics.to_string().trim_end());
    let rate = statistics.crash_points_per_minute(verdict.elapsed, threads);
    tell(&format!("{rate:>12}  crash points per minute and thread"));
    tell(&format!("{:>12}  violations", verdict.violations.len()));
    for violation in verdict.violations.iter().take(20) {
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
