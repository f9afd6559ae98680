//! What varies from seed to seed.

use logpond_store::Options;
use logpond_store::disk::sim::{FaultPlan, Rng};

use super::policy::Policies;

/// Entries that a queue which hoards keeps.
const HOARD: usize = 24;

/// The settings of one seed. `Debug` prints them all.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Sizes of the store.
    pub options: Options,
    /// Crashes in a row before the next seed.
    pub lives: u64,
    /// Most queues at a time.
    pub queues_max: usize,
    /// Messages in all queues together above which consumers are preferred.
    pub backlog_max: usize,
    /// Chance that a message is transient, of 65536.
    pub transient: u32,
    /// Whether every third queue keeps some of its messages for good.
    pub hoards: bool,
    /// Chance that a life runs on a failing disk, of 65536.
    pub failing_life: u32,
    /// Chance that a life runs on a disk that gets full, of 65536.
    pub cramped_life: u32,
    /// How the failing disk fails.
    pub faults: FaultPlan,
    /// Chance that a start is tried on a failing disk first, of 65536.
    pub failing_start: u32,
    /// How the disk fails then: it cannot be read, or names cannot be changed.
    pub start_faults: FaultPlan,
}

impl Settings {
    /// The settings that `rng` picks.
    #[must_use]
    pub fn pick(rng: &mut Rng) -> Self {
        let options = Options {
            block_bytes_soft: 4096 << rng.below(3),
            transient_bytes: 4096 << rng.below(5),
            ring_bytes: 32 << (10 + rng.below(2)),
            checkpoint_bytes: 16 << (10 + rng.below(4)),
            checkpoint_ms: 50 << rng.below(6),
            spare_segments_max: rng.index(3),
            reserve_segments: rng.index(3),
            evacuation_slack_bytes: rng.below(4) * Options::tiny().segment_bytes,
            evacuation_pace: 1 + rng.below(8),
            footer_fraction: 1 << rng.below(4),
            prewrite_segments: rng.below(2) == 0,
            delivery_mark_step: 2 << rng.below(5),
            ..Options::tiny()
        };
        let start_faults = FaultPlan {
            read_error: 250 << rng.below(6),
            name_error: if rng.chance(32768) {
                1000 << rng.below(4)
            } else {
                0
            },
            ..FaultPlan::default()
        };
        let faults = FaultPlan {
            read_error: 100 << rng.below(6),
            name_error: 100 << rng.below(6),
            write_error: 400 << rng.below(4),
            sync_error: 400 << rng.below(4),
            no_space: if rng.chance(16384) { 4000 } else { 0 },
            short_write: 6000,
            slow: 300,
            ..FaultPlan::default()
        };
        Self {
            options,
            lives: 24,
            queues_max: 1 + rng.index(6),
            backlog_max: 40 << rng.below(3),
            transient: [2000, 8000, 8000, 8000, 32768, 63000][rng.index(6)],
            hoards: rng.chance(40000),
            failing_life: 8192,
            cramped_life: 6144,
            faults,
            failing_start: 6144,
            start_faults,
        }
    }

    /// Whether what lives in the queue, so many entries, stays there.
    pub(super) const fn is_hoarded(&self, queue: u64, entries: usize) -> bool {
        self.hoards && queue % 3 == 1 && entries <= HOARD
    }

    /// How many entries of a queue behind the last delivered one may be marked as redelivered: in another order any of them.
    pub(super) fn mark_step(&self, policies: &Policies, queue: u64) -> usize {
        if policies.get(&queue).is_some_and(|policy| policy.is_reordered()) {
            return usize::MAX;
        }
        usize::try_from(2 * self.options.delivery_mark_step).expect("a small number")
    }
}
