//! Many seeds on several threads, until time is up or something is found.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::run::run_seed;
use super::statistics::Statistics;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed; the following ones count up.
    pub first_seed: u64,
    /// When to stop.
    pub time: Duration,
    /// How many threads work.
    pub threads: u64,
    /// Stop at the first violation.
    pub stop_at_first: bool,
}

/// A seed at which the store broke its promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed that repeats it.
    pub seed: u64,
    /// What went wrong.
    pub text: String,
    /// Since the start of the campaign.
    pub after: Duration,
}

/// What a campaign found.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What was done.
    pub statistics: Statistics,
    /// What was found, by seed.
    pub violations: Vec<Violation>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Campaign {
    /// Runs until time is up.
    #[must_use]
    pub fn run(&self) -> Verdict {
        let start = Instant::now();
        let next = AtomicU64::new(self.first_seed);
        let stop = AtomicBool::new(false);
        let shared = Mutex::new((Statistics::default(), Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    let mut statistics = Statistics::default();
                    while start.elapsed() < self.time && !stop.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if let Err(text) = run_seed(seed, &mut statistics) {
                            stop.fetch_or(self.stop_at_first, Ordering::Relaxed);
                            let violation = Violation {
                                seed,
                                text,
                                after: start.elapsed(),
                            };
                            shared.lock().expect("no holder panics").1.push(violation);
                        }
                    }
                    shared.lock().expect("no holder panics").0 += statistics;
                });
            }
        });
        let (statistics, mut violations) = shared.into_inner().expect("no holder panics");
        violations.sort_by_key(|violation| violation.seed);
        Verdict {
            statistics,
            violations,
            elapsed: start.elapsed(),
        }
    }
}
