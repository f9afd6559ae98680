//! What an exhaustive run did, in numbers, and what it found.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use crate::sim::statistics::Statistics;

/// Counts over all workloads.
#[derive(Clone, Debug, Default)]
pub struct Exhausted {
    /// Workloads in which every operation had something to do.
    pub workloads: u64,
    /// Disk calls at which one of them was crashed.
    pub crash_points: u64,
    /// What those crashes can leave, recovered and compared in full.
    pub images: u64,
    /// Images of crashes during the recovery, recovered and compared in full.
    pub second_images: u64,
    /// What the workloads did before they were crashed.
    pub reached: Statistics,
    /// Images that were met before, with the same states to compare with.
    pub repeated_images: u64,
    /// What the store did wrong, with workload, call and loss.
    pub violations: Vec<String>,
    /// Whether all workloads were run.
    pub is_complete: bool,
    /// How long it took.
    pub elapsed: Duration,
}

impl AddAssign for Exhausted {
    fn add_assign(&mut self, mut other: Self) {
        self.workloads += other.workloads;
        self.crash_points += other.crash_points;
        self.images += other.images;
        self.second_images += other.second_images;
        self.reached += other.reached;
        self.repeated_images += other.repeated_images;
        self.violations.append(&mut other.violations);
    }
}

impl Exhausted {
    /// One line.
    #[must_use]
    pub fn in_short(&self) -> String {
        format!(
            "{} workloads, {} crash points, {} images and {} of crashes during recovery, {} violations",
            self.workloads,
            self.crash_points,
            self.images,
            self.second_images,
            self.violations.len()
        )
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, name) in [
            (self.workloads, "workloads"),
            (
                self.crash_points,
                "crash points (each call of the last operation)",
            ),
            (self.images, "images of crashes, recovered and compared"),
            (
                self.second_images,
                "images of crashes during recovery, recovered and compared",
            ),
            (self.repeated_images, "images met before"),
            (self.reached.rolls, "segment rolls"),
            (self.reached.recycles, "segments recycled"),
            (self.reached.copies, "messages evacuated"),
            (self.reached.checkpoints, "checkpoints"),
        ] {
            writeln!(f, "{count:>12}  {name}")?;
        }
        write!(f, "{:>12}  violations", self.violations.len())
    }
}
