//! What a queue is told when it is made, and what it must be asked for with ever after.

use serde::{Deserialize, Serialize};

/// What a queue holds at most, and what becomes of the rest. `QueueOptions::default()` has no limit.
///
/// The order of variants and fields is the format of the catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueOptions {
    /// Messages that the queue holds at most, leased ones included; `None` is no limit.
    pub messages_max: Option<u64>,
    /// What happens to a batch that does not fit.
    pub overflow: Overflow,
}

/// What happens to a batch when a queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    /// It is refused with [`CommitError::QueueFull`](super::CommitError::QueueFull), for all of its queues.
    #[default]
    Refuse,
    /// The oldest ready messages make room, in the same commit. Leased messages stay, and so do those that are not
    /// durable yet: for that long the queue may hold more.
    DropOldest,
}

impl QueueOptions {
    /// At most `messages_max` messages, leased ones included; what does not fit is refused.
    #[must_use]
    pub const fn at_most(messages_max: u64) -> Self {
        Self {
            messages_max: Some(messages_max),
            overflow: Overflow::Refuse,
        }
    }

    /// The same, but the oldest messages make room for new ones.
    #[must_use]
    pub const fn newest(messages_max: u64) -> Self {
        Self {
            messages_max: Some(messages_max),
            overflow: Overflow::DropOldest,
        }
    }
}
