//! What a queue is told when it is made, and what it must be asked for with ever after.
//!
//! Elsewhere: how it is kept (`definition`), and how it is done (`shard`).

use crate::queue_limits::{QueueLimits, WhenFull};
use crate::retention::Retention;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a queue holds at most, how long, and in which order. `QueueOptions::default()` has no limit; the methods change one
/// thing at a time.
///
/// ```
/// use logpond_store::{Overflow, QueueOptions};
/// use std::time::Duration;
/// let options = QueueOptions::at_most(1_000)
///     .with_bytes_max(64 << 20)
///     .with_time_to_live(Duration::from_secs(3600))
///     .with_priority_max(9);
/// assert_eq!(options.overflow, Overflow::Refuse);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueOptions {
    /// Messages that are ready at most; those that consumers hold do not count. `None` is no limit.
    pub messages_max: Option<u64>,
    /// Bytes of their bodies at most. Properties do not count, but for what is beyond the first 65,535 bytes of a message's. `None`
    /// is no limit.
    pub bytes_max: Option<u64>,
    /// What happens to a batch that does not fit.
    pub overflow: Overflow,
    /// Milliseconds after its publication at which a message expires, unless its own time is shorter.
    pub time_to_live_ms: Option<u64>,
    /// The highest priority that is told from those below it; 0 is a queue in which priorities do not count.
    pub priority_max: u8,
    /// Milliseconds after its publication for which a message can be read again, acknowledged or not. `None` is no bound, if
    /// there is one in bytes; without either nothing is kept.
    pub retention_ms: Option<u64>,
    /// Bytes of the newest messages that can be read again, acknowledged or not. `None` is no bound, if there is one in time.
    pub retention_bytes: Option<u64>,
}

/// What happens to a batch when a queue is full.
///
/// The order of the variants is the format of the catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    /// It is refused with [`CommitError::QueueFull`](super::CommitError::QueueFull), for all of its queues.
    #[default]
    Refuse,
    /// Messages that are ready make room, in the same commit: those that would be fetched next, and in the end the batch's
    /// own. Messages that consumers hold stay; when one comes back to a full queue, it is the first to go.
    DropOldest,
}

impl QueueOptions {
    /// At most `messages_max` messages that are ready; what does not fit is refused.
    #[must_use]
    pub fn at_most(messages_max: u64) -> Self {
        Self {
            messages_max: Some(messages_max),
            overflow: Overflow::Refuse,
            ..Self::default()
        }
    }

    /// The same, but the oldest messages make room for new ones.
    #[must_use]
    pub fn newest(messages_max: u64) -> Self {
        Self {
            overflow: Overflow::DropOldest,
            ..Self::at_most(messages_max)
        }
    }

    /// Bodies of at most so many bytes that are ready: see [`bytes_max`](Self::bytes_max).
    #[must_use]
    pub const fn with_bytes_max(mut self, bytes_max: u64) -> Self {
        self.bytes_max = Some(bytes_max);
        self
    }

    /// What happens to a batch that does not fit.
    #[must_use]
    pub const fn with_overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Messages expire so long after their publication, in whole milliseconds, unless their own time is shorter.
    #[must_use]
    pub fn with_time_to_live(mut self, time_to_live: Duration) -> Self {
        self.time_to_live_ms = Some(whole_ms(time_to_live));
        self
    }

    /// Messages of a higher priority are fetched first; what is above `priority_max` counts as that.
    #[must_use]
    pub const fn with_priority_max(mut self, priority_max: u8) -> Self {
        self.priority_max = priority_max;
        self
    }

    /// Acknowledged messages can be read in the [history](super::Queue::history) for so long after their publication, in whole
    /// milliseconds. Segments are kept for it as a whole: with a bound in bytes, too, the disk has one.
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.retention_ms = Some(whole_ms(retention));
        self
    }

    /// The newest so many bytes of messages can be read in the [history](super::Queue::history), acknowledged or not.
    #[must_use]
    pub const fn with_retention_bytes(mut self, retention_bytes: u64) -> Self {
        self.retention_bytes = Some(retention_bytes);
        self
    }

    /// The part that the shard keeps as retention.
    pub(super) const fn retention(&self) -> Option<Retention> {
        let (age_ms, bytes) = (self.retention_ms, self.retention_bytes);
        if age_ms.is_none() && bytes.is_none() {
            return None;
        }
        Some(Retention { age_ms, bytes })
    }

    /// The part that the shard keeps as limits.
    pub(super) const fn limits(&self) -> QueueLimits {
        QueueLimits {
            messages: self.messages_max,
            bytes: self.bytes_max,
            when_full: match self.overflow {
                Overflow::Refuse => WhenFull::Refuse,
                Overflow::DropOldest => WhenFull::DropHead,
            },
        }
    }
}

/// Milliseconds of a duration; what no counter of them can name is for ever.
pub(super) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
