//! All live bytes, or every n-th, on several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::judge;
use super::subject::Subject;

/// Violations that are kept; the others are only counted.
const VIOLATIONS_KEPT_MAX: usize = 1000;

/// What to flip.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first live byte; which bit of each byte is flipped follows from its number.
    pub first: u64,
    /// Every so many-th live byte; 1 for all.
    pub step: u64,
    /// How many threads work.
    pub threads: u64,
    /// When to stop, whether all is done or not.
    pub limit: Duration,
}

/// A flip that broke a promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The file.
    pub file: String,
    /// The byte.
    pub offset: u64,
    /// The bit.
    pub bit: u64,
    /// Which promise was broken.
    pub text: String,
}

/// What a campaign found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Bits flipped, one at a time.
    pub flips: u64,
    /// Those that broke a promise.
    pub broken: u64,
    /// The first of them.
    pub violations: Vec<Violation>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Campaign {
    /// Flips; `told` hears now and then how many of how many are done.
    #[must_use]
    pub fn run(&self, subject: &Subject, told: &(dyn Fn(u64, u64) + Sync)) -> Verdict {
        let start = Instant::now();
        let step = self.step.max(1);
        let total = subject.live_bytes().saturating_sub(self.first).div_ceil(step);
        let next = AtomicU64::new(0);
        let verdict = Mutex::new(Verdict::default());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while start.elapsed() < self.limit {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        let Some((file, offset)) = subject.live_byte(self.first + nth * step) else {
                            break;
                        };
                        // Neighbours lose different bits, and a second run with another step others again.
                        let bit = (nth + nth / 8) % 8;
                        let checked = judge::check(subject, file, offset, bit);
                        let mut verdict = verdict.lock().expect("no holder of this lock panics");
                        verdict.flips += 1;
                        if let Err(text) = checked {
                            verdict.broken += 1;
                            if verdict.violations.len() < VIOLATIONS_KEPT_MAX {
                                verdict.violations.push(Violation {
                                    file: file.to_owned(),
                                    offset,
                                    bit,
                                    text,
                                });
                            }
                        }
                        let done = verdict.flips;
                        drop(verdict);
                        told(done, total);
                    }
                });
            }
        });
        let mut verdict = verdict.into_inner().expect("no holder of this lock panics");
        verdict
            .violations
            .sort_by(|a, b| (&a.file, a.offset).cmp(&(&b.file, b.offset)));
        verdict.elapsed = start.elapsed();
        verdict
    }
}
