//! A consumer as the shard sees it: who it is, what it may still be given.
//!
//! Invariant: `held` counts the messages that were leased for it and neither settled nor given back.

use std::sync::Arc;

use logpond_store::QueueId;

use crate::command::ChannelId;
use crate::outbox::SessionKey;
use crate::registry::Key;

/// Names a consumer, also after it went.
pub(crate) type ConsumerKey = Key<Consumer>;

/// Whether messages count as acknowledged when they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckMode {
    /// The client acknowledges.
    Manual,
    /// Sending acknowledges.
    Automatic,
}

/// Someone who is given a queue's messages.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub session: SessionKey,
    pub channel: ChannelId,
    pub tag: Arc<str>,
    pub queue: QueueId,
    pub ack_mode: AckMode,
    /// No other consumer may stand beside it.
    pub exclusive: bool,
    /// How many it may hold; `None` for any number.
    pub prefetch: Option<u32>,
    pub held: u32,
    /// Another is to become the active consumer once it holds nothing.
    pub yields: bool,
    /// Its queue waits in the session's `stalled` list.
    pub stalled: bool,
}

impl Consumer {
    /// How many more messages it may be given.
    pub(crate) fn credit(&self) -> u32 {
        match (self.ack_mode, self.prefetch) {
            (AckMode::Automatic, _) | (_, None) => u32::MAX,
            (AckMode::Manual, Some(prefetch)) => prefetch.saturating_sub(self.held),
        }
    }

    /// Counts messages that it was given.
    pub(crate) fn hold(&mut self, count: u64) {
        if self.ack_mode == AckMode::Manual {
            self.held += u32::try_from(count).expect("an outbox holds fewer than 2^32 messages");
        }
    }

    /// Counts messages that it has no more. True if it may be given something that it could not before.
    pub(crate) fn release(&mut self, count: u64) -> bool {
        if self.ack_mode == AckMode::Automatic {
            return false;
        }
        let count = u32::try_from(count).expect("a consumer holds fewer than 2^32 messages");
        assert!(count <= self.held, "a consumer settles only what it holds");
        let had_none = self.credit() == 0;
        self.held -= count;
        (had_none && self.credit() > 0) || (self.yields && self.held == 0)
    }
}
