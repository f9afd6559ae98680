//! What the owner of a queue decides: limits, a time to live, an order, whether it gets its dead letters. The log does not know it; each process sets it again.

use std::collections::BTreeMap;

use logpond_store::disk::sim::Rng;
use logpond_store::{QueueLimits, WhenFull};

/// The decisions for all queues.
pub(super) type Policies = BTreeMap<u64, Policy>;

/// Which levels a queue has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Levels {
    #[default]
    None,
    /// From 0 to this one, always.
    Always(u8),
    /// From 0 to `HIGHEST_IN_USE`, from when messages of several wait; what came back goes before all.
    InUse,
}

/// The highest level of queues that have them while they are in use, and that of what has no priority.
pub(super) const HIGHEST_IN_USE: u8 = 4;
pub(super) const UNSAID_IN_USE: u8 = 2;

/// The decisions for one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) limits: QueueLimits,
    /// How long a message lives at most.
    pub(super) life_ms: Option<u64>,
    pub(super) levels: Levels,
    /// What expires first comes first.
    pub(super) is_by_time: bool,
    /// What comes to its end is held until the owner has published it somewhere else.
    pub(super) hands_out: bool,
}

impl Policy {
    /// One of many; for half of the queues nothing is decided.
    pub(super) fn pick(rng: &mut Rng) -> Self {
        if rng.chance(32768) {
            return Self::default();
        }
        let when_full = if rng.chance(16384) {
            WhenFull::Refuse
        } else {
            WhenFull::DropHead
        };
        let levels = match rng.below(16) {
            0..4 => Levels::Always(u8::try_from(1 + rng.below(4)).expect("below 256")),
            4..8 => Levels::InUse,
            _ => Levels::None,
        };
        let messages = rng.chance(24576).then(|| rng.below(24));
        let bytes = rng.chance(12288).then(|| rng.below(12 << 10));
        Self {
            limits: QueueLimits {
                messages,
                bytes,
                when_full,
            },
            life_ms: rng.chance(12288).then(|| 1 << rng.below(11)),
            levels,
            is_by_time: levels == Levels::None && rng.chance(16384),
            hands_out: rng.chance(20480),
        }
    }

    /// Whether so much may not be ready.
    pub(super) fn is_exceeded_by(&self, messages: u64, bytes: u64) -> bool {
        let QueueLimits {
            messages: most,
            bytes: most_bytes,
            ..
        } = self.limits;
        most.is_some_and(|most| messages > most) || most_bytes.is_some_and(|most| bytes > most)
    }

    pub(super) fn drops(&self) -> bool {
        self.limits.when_full == WhenFull::DropHead
    }

    /// Whether the oldest message need not be the head.
    pub(super) fn is_reordered(&self) -> bool {
        self.levels != Levels::None || self.is_by_time
    }

    /// The level of a message of that priority.
    pub(super) fn level(&self, priority: Option<u8>) -> u8 {
        match self.levels {
            Levels::None => 0,
            Levels::Always(highest) => priority.unwrap_or(0).min(highest),
            Levels::InUse => priority.unwrap_or(UNSAID_IN_USE).min(HIGHEST_IN_USE),
        }
    }
}
