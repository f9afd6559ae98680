//! Transactions: what is to become durable together goes into one block.
//!
//! Invariants:
//! - Whether a block takes all of it is decided before anything is changed: what a transaction said it would bring is not refused
//!   for want of room later.
//! - What limits drop for its messages goes into the same block as far as that has room; it is not counted before, and takes
//!   nothing away from what is.
//!
//! Elsewhere: the block that is held open (`tail`), what limits drop (`limits`), what the log says of gaps (`unlogged`).

use super::Shard;
use crate::disk::Disk;
use crate::encoded::EncodedMessages;
use crate::error::AppendError;
use crate::format::message::Shape;
use crate::format::record::RANGE_LEN;
use crate::format::{byte_count, memory_offset, pad8};
use crate::ids::{BlockNumber, QueueId};
use crate::limits::{BLOCK_HEADER_BYTES, REFERENCES_MAX};
use std::collections::BTreeSet;

/// A block keeps one part in so many for the heads of the lists that are collected beside the messages, and for what limits drop.
const PARTS: u64 = 16;

/// What a transaction is going to bring: everything that it publishes and acknowledges.
#[derive(Clone, Debug, Default)]
pub struct TransactionSize {
    bytes: u64,
    /// The most queues that one message names.
    references_max: usize,
    /// Each queue that is named, at least once.
    queues: Vec<QueueId>,
}

impl TransactionSize {
    /// Adds a message for these queues, with so many bytes of properties and of its body.
    pub fn add_message(&mut self, queues: &[QueueId], properties: usize, body: usize) {
        // In the longest form: whether it will expire is not known here.
        let shape = Shape {
            references: queues.len(),
            expires: true,
            properties,
            body,
        };
        self.bytes += byte_count(pad8(shape.record_len()));
        self.references_max = self.references_max.max(queues.len());
        if !self.queues.ends_with(queues) {
            self.queues.extend_from_slice(queues);
        }
    }

    /// Adds messages that take so many [bytes of records](Shard::bytes_of).
    pub(crate) fn add_encoded(&mut self, messages: &EncodedMessages, bytes: u64) {
        self.bytes += bytes;
        self.references_max = self.references_max.max(messages.references_max());
        self.queues.extend_from_slice(messages.queues());
    }

    /// Adds ranges of entries that are acknowledged, or rejected.
    pub fn add_ranges(&mut self, ranges: usize) {
        self.bytes += byte_count(RANGE_LEN * ranges);
    }
}

impl<D: Disk> Shard<D> {
    /// Bytes of records that a single block can take, and so the limit of a transaction.
    #[must_use]
    pub fn transaction_bytes_max(&self) -> u64 {
        (self.tail.block_bytes_max() - BLOCK_HEADER_BYTES) / PARTS * (PARTS - 1)
    }

    /// Everything that `apply` appends becomes durable together or not at all. Nothing in it finds too little room, as long as it
    /// brings no more than `size` says.
    ///
    /// # Errors
    /// When it is too large for one block, or the store is poisoned; `apply` was not called then. When the store is poisoned by it:
    /// its block is never written.
    pub fn transaction<R>(
        &mut self,
        size: &TransactionSize,
        apply: impl FnOnce(&mut Self) -> R,
    ) -> Result<(R, BlockNumber), AppendError> {
        self.check_alive()?;
        let bytes = size.bytes + byte_count(RANGE_LEN * self.gaps_at_most(&size.queues));
        let limit = self.transaction_bytes_max();
        if bytes > limit || size.references_max > REFERENCES_MAX {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        self.tail.hold_open(memory_offset(bytes));
        let result = apply(self);
        let trimmed = self.trim_limited();
        let block = if self.tail.is_building_empty() {
            // There was nothing to say that is not true already.
            self.durable().end()
        } else {
            self.tail.building_number()
        };
        self.tail.release();
        trimmed?;
        Ok((result, block))
    }

    /// Queues of which the log may have to say what it skipped, before their first entry in a block.
    fn gaps_at_most(&self, queues: &[QueueId]) -> usize {
        let is_watched = |id: &&QueueId| {
            let queue = self.state.queues.open(**id);
            queue.is_some_and(|queue| queue.unlogged.is_watched())
        };
        let watched: BTreeSet<&QueueId> = queues.iter().filter(is_watched).collect();
        watched.len()
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
