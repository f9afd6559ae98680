//! Every workload of a few operations, crashed at every disk call in every manner that the simulated disk knows, and again
//! during the recovery from that.
//!
//! Invariants:
//! - Nothing is drawn: the same vocabulary and length give the same images.
//! - A workload is crashed in its last operation and in the commit behind it. What a crash leaves in an earlier one is the
//!   matter of the shorter workload that ends there, which is run as well.
//! - An image is recovered once for each set of states that it may be: the second of two alike shows nothing new.
//!
//! Elsewhere: what an operation does (`operation`), where workloads begin (`ground`), one workload (`machine`), its images
//! (`images`), the recovery and the model, which are those of the random lives.

mod exhausted;
mod failing_start;
mod ground;
mod images;
mod machine;
mod operation;
mod workload;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

pub use exhausted::Exhausted;
pub use failing_start::fail_each_call_of_a_start;
use ground::Ground;
use images::Images;
use workload::Workload;

/// Whether the recovery from a crash is crashed too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryCrashes {
    /// At each of its calls, in every manner.
    Everywhere,
    /// No.
    Nowhere,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Exhaustive {
    /// Operations of the longest workloads.
    pub length: u32,
    /// Whether what a crash leaves is crashed again.
    pub recovery: RecoveryCrashes,
    /// Only every so many-th workload; 1 for all.
    pub step: u64,
    /// How many threads work.
    pub threads: usize,
    /// Stop at the first violation.
    pub stop_at_first: bool,
}

impl Exhaustive {
    /// Runs all workloads, from the shortest to the longest, or until it is `interrupted`.
    ///
    /// # Errors
    /// When the stores that workloads begin with cannot be made.
    pub fn run(
        &self,
        interrupted: &AtomicBool,
        progress: &(dyn Fn(&Exhausted) + Sync),
    ) -> Result<Exhausted, String> {
        let grounds = Ground::all()?;
        let begun = Instant::now();
        let next = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let images = Images::new(self.recovery);
        let found = Mutex::new(Exhausted::default());
        let work = || {
            while !stop.load(Ordering::Relaxed) && !interrupted.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed) * self.step;
                let Some(workload) = Workload::numbered(number, self.length, &grounds) else {
                    break;
                };
                let done = workload.run(&images);
                stop.fetch_or(
                    self.stop_at_first && !done.violations.is_empty(),
                    Ordering::Relaxed,
                );
                let mut found = found.lock().expect("no holder panics");
                *found += done;
                found.elapsed = begun.elapsed();
                progress(&found);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(work);
            }
        });
        let mut found = found.into_inner().expect("no holder panics");
        found.is_complete =
            next.load(Ordering::Relaxed) * self.step >= Workload::count(self.length, &grounds);
        Ok(found)
    }
}
