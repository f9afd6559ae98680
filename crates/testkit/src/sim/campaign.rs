//! Many seeds on several threads, until time is up or something is found.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::run::run_seed;
use super::statistics::Statistics;

/// A seed that takes longer never ends: most take some milliseconds.
const SEED_LIMIT: Duration = Duration::from_secs(30);

/// How often a run that finds nothing says how far it is.
const PROGRESS: Duration = Duration::from_secs(60);

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

/// What the threads of a campaign share.
struct Shared {
    campaign: Campaign,
    start: Instant,
    next_seed: AtomicU64,
    stop: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    statistics: Statistics,
    violations: Vec<Violation>,
    /// The seed that each thread works on, and since when.
    current: Vec<Option<(u64, Instant)>>,
}

impl Campaign {
    /// Runs until time is up. A thread whose seed never ends is left behind.
    #[must_use]
    pub fn run(&self) -> Verdict {
        self.run_until(&AtomicBool::new(false), &mut |_| {})
    }

    /// Runs until time is up, or until it is `interrupted`: then the seeds that are under way are finished. What there is so
    /// far is shown to `progress` once a minute, and when something was found.
    pub fn run_until(&self, interrupted: &AtomicBool, progress: &mut dyn FnMut(&Verdict)) -> Verdict {
        let shared = Arc::new(Shared {
            campaign: *self,
            start: Instant::now(),
            next_seed: AtomicU64::new(self.first_seed),
            stop: AtomicBool::new(false),
            progress: Mutex::default(),
        });
        for thread in 0..usize::try_from(self.threads).expect("a machine has not that many cores") {
            shared
                .progress()
                .current
                .push(Some((self.first_seed, Instant::now())));
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.work(thread));
        }
        let (mut told, mut known) = (Duration::ZERO, 0);
        while shared.is_working() {
            std::thread::sleep(Duration::from_millis(5));
            shared
                .stop
                .fetch_or(interrupted.load(Ordering::Relaxed), Ordering::Relaxed);
            let elapsed = shared.start.elapsed();
            let found = shared.progress().violations.len();
            if found > known || elapsed > told + PROGRESS {
                (told, known) = (elapsed, found);
                progress(&shared.verdict());
            }
        }
        shared.verdict()
    }
}

impl Shared {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().expect("no holder panics")
    }

    fn verdict(&self) -> Verdict {
        let elapsed = self.start.elapsed();
        let progress = self.progress();
        let mut violations = progress.violations.clone();
        violations.sort_by_key(|violation| violation.seed);
        Verdict {
            statistics: progress.statistics,
            violations,
            elapsed,
        }
    }

    fn work(&self, thread: usize) {
        while self.start.elapsed() < self.campaign.time && !self.stop.load(Ordering::Relaxed) {
            let seed = self.next_seed.fetch_add(1, Ordering::Relaxed);
            self.progress().current[thread] = Some((seed, Instant::now()));
            let mut statistics = Statistics::default();
            let ended = run_seed(seed, &mut statistics);
            self.progress().statistics += statistics;
            if let Err(text) = ended {
                self.report(&mut self.progress(), seed, text);
            }
        }
        self.progress().current[thread] = None;
    }

    fn report(&self, progress: &mut Progress, seed: u64, text: String) {
        self.stop.fetch_or(self.campaign.stop_at_first, Ordering::Relaxed);
        progress.violations.push(Violation {
            seed,
            text,
            after: self.start.elapsed(),
        });
    }

    /// Whether a thread still works. Gives up on those that do not come to an end.
    fn is_working(&self) -> bool {
        let progress = &mut *self.progress();
        for thread in 0..progress.current.len() {
            if let Some((seed, since)) = progress.current[thread]
                && since.elapsed() > SEED_LIMIT
            {
                progress.current[thread] = None;
                self.report(progress, seed, format!("does not end within {SEED_LIMIT:?}"));
            }
        }
        progress.current.iter().any(Option::is_some)
    }
}
