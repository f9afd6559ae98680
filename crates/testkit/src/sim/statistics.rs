//! What a simulation did, in numbers.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

/// Counts over all seeds of a campaign.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Statistics {
    pub seeds: u64,
    /// Images with at least ten unsynced operations, recovered and compared in full.
    pub crash_points: u64,
    /// Images with fewer, recovered and compared in full as well.
    pub small_crash_points: u64,
    pub crashes_during_recovery: u64,
    pub kills: u64,
    pub clean_stops: u64,
    pub failed_writes: u64,
    pub failed_starts: u64,
    pub reads_repeated: u64,
    pub operations: u64,
    pub publishes: u64,
    pub deliveries: u64,
    pub dropped: u64,
    pub expired: u64,
    pub refused: u64,
    pub held: u64,
    pub letters: u64,
    pub blocks: u64,
    pub rolls: u64,
    pub recycles: u64,
    pub evacuations: u64,
    pub copies: u64,
    pub cold_recycles: u64,
    pub footers: u64,
    pub spills: u64,
    pub rests: u64,
    pub full_disks: u64,
    pub checkpoints: u64,
    pub full_rebuilds_compared: u64,
    pub crash_rebuilds_compared: u64,
    pub segments_from_footers: u64,
    pub segments_from_blocks: u64,
    pub second_recoveries_compared: u64,
    pub unsynced_operations: u64,
    pub damaged_images: u64,
    pub entries_lost_to_damage: u64,
    pub images_verified: u64,
    pub torn_tails: u64,
    pub appended_again: u64,
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        for (own, more) in self.fields_mut().into_iter().zip(other.fields()) {
            *own.1 += more.1;
        }
    }
}

macro_rules! fields {
    ($($name:ident: $text:literal),* $(,)?) => {
        /// Each count with its name.
        #[must_use]
        pub fn fields(&self) -> Vec<(&'static str, u64)> {
            vec![$(($text, self.$name)),*]
        }

        fn fields_mut(&mut self) -> Vec<(&'static str, &mut u64)> {
            vec![$(($text, &mut self.$name)),*]
        }
    };
}

impl Statistics {
    fields! {
        seeds: "seeds",
        crash_points: "crash points (10 or more unsynced operations)",
        small_crash_points: "crash points with fewer",
        crashes_during_recovery: "second crashes, during recovery",
        kills: "kills (page cache kept)",
        clean_stops: "clean stops",
        failed_writes: "calls that failed while a store ran",
        failed_starts: "starts that failed, and took nothing from the next",
        reads_repeated: "messages that could not be read, and then could",
        operations: "operations",
        publishes: "messages published",
        deliveries: "messages delivered",
        dropped: "messages dropped by limits",
        expired: "messages expired",
        refused: "messages refused by full queues",
        held: "messages held for the owner of their queue",
        letters: "of those, taken",
        blocks: "synced writes",
        rolls: "segment rolls",
        recycles: "segments recycled",
        evacuations: "segments evacuated",
        copies: "messages evacuated",
        cold_recycles: "cold segments recycled",
        footers: "footers written",
        spills: "units of transient messages spilled",
        full_disks: "lives that ended on a full disk",
        rests: "stores at rest, and their disks well used",
        checkpoints: "checkpoints",
        full_rebuilds_compared: "rebuilds without index and checkpoints, with footers and without, compared",
        crash_rebuilds_compared: "the same of images of crashes",
        segments_from_footers: "segments rebuilt from their footers in them",
        segments_from_blocks: "segments rebuilt from their blocks beside footers",
        second_recoveries_compared: "second recoveries, compared",
        unsynced_operations: "unsynced operations at crashes",
        damaged_images: "images with flipped bits, opened and judged",
        entries_lost_to_damage: "entries lost to flipped bits, all of them named",
        images_verified: "images of crashes verified without opening them",
        torn_tails: "torn tails cut",
        appended_again: "tail records appended again",
    }

    /// Crash points per minute and core.
    #[must_use]
    pub fn crash_points_per_minute(&self, elapsed: Duration, threads: u64) -> u64 {
        let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        self.crash_points.saturating_mul(60_000) / ms / threads.max(1)
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fields()
            .into_iter()
            .try_for_each(|(name, count)| writeln!(f, "{count:>12}  {name}"))
    }
}
