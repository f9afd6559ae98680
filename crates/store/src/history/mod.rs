//! Where the log still holds the messages of a queue, the acknowledged ones included: a walk over its segments.
//!
//! Invariants:
//! - Places come in the order of the queue, each once, whatever is evacuated meanwhile.
//! - A segment is held while it is walked, so that nobody writes over it; one at a time.
//! - Memory is bounded: one block, and [`HISTORY_COLD_PLACES_MAX`](crate::limits::HISTORY_COLD_PLACES_MAX) places in cold segments.
//! - The shard's lock is held to find the next segment, and for no disk access.
//!
//! The index knows what lives, and forgets what is acknowledged. Who wants both merges them (`embed::history`).

mod blocks;
mod cold;
mod journal;
mod past;

pub(crate) use blocks::{Blocks, HeldSegment, Place, messages};
pub(crate) use past::{Past, Unread};
