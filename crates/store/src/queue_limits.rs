//! What a queue may hold at most, and what becomes of the rest.
//!
//! Limits are not written to the log: whoever owns the queue knows them, and sets them again after each start. What they
//! did is written (records of dropped entries), so a start decides nothing again.

/// Bounds of a queue. Only what is ready counts, messages that are accepted and not durable yet included; what is leased
/// does not. The default has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueLimits {
    /// Messages that may be ready at most.
    pub messages: Option<u64>,
    /// Bytes of their bodies at most; of properties only what exceeds 65,535 bytes counts.
    pub bytes: Option<u64>,
    /// What happens when a message does not fit.
    pub when_full: WhenFull,
}

/// What happens when a message does not fit into a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WhenFull {
    /// It is taken, and messages are dropped from the head until the rest fits: the next ones that a consumer would have
    /// got, and the new message itself if nothing else is left.
    #[default]
    DropHead,
    /// It is refused with [`AppendError::QueueFull`](crate::AppendError::QueueFull).
    Refuse,
}

impl QueueLimits {
    /// Whether nothing is bounded.
    #[must_use]
    pub const fn is_unlimited(&self) -> bool {
        self.messages.is_none() && self.bytes.is_none()
    }

    /// Whether so much is too much.
    pub(crate) fn are_exceeded_by(&self, messages: u64, bytes: u64) -> bool {
        self.messages.is_some_and(|most| messages > most) || self.bytes.is_some_and(|most| bytes > most)
    }
}
