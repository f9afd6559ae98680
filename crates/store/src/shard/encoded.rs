//! Accepting messages that were encoded before: one copy into the block, then each gets what only the log can give it.
//!
//! Invariant: the block afterwards is the one that publishing the same messages one by one would have made.

use super::Shard;
use crate::disk::Disk;
use crate::encoded::EncodedMessages;
use crate::error::AppendError;
use crate::format::{byte_count, record};
use crate::ids::{BlockNumber, QueueId, Seq};
use crate::index::page::{self, ENTRIES};
use crate::limits::REFERENCES_MAX;
use crate::queue::QueueDurability;

impl<D: Disk> Shard<D> {
    /// Whether [`Shard::publish_encoded`] does all that these messages ask for in their queues: it knows nothing of limits, of
    /// what expires, and of what is not logged.
    pub(crate) fn takes_encoded(&self, messages: &EncodedMessages) -> bool {
        let is_plain = |id: &QueueId| {
            let queue = self.state.queues.open(*id);
            queue.is_none_or(|queue| {
                queue.durability == QueueDurability::Durable
                    && queue.limits.is_none()
                    && queue.life_ms.is_none()
                    && !queue.unlogged.is_watched()
            })
        };
        messages.are_plain() && messages.queues().iter().all(is_plain)
    }

    /// Accepts messages that are [taken like this](Shard::takes_encoded), into one block. They are durable, and can be leased, when the returned
    /// block is durable.
    ///
    /// # Errors
    /// When they can never be stored, or a queue is missing: nothing was changed then. When the store is poisoned.
    pub(crate) fn publish_encoded(
        &mut self,
        messages: &EncodedMessages,
        timestamp_ms: u64,
    ) -> Result<BlockNumber, AppendError> {
        self.check_alive()?;
        debug_assert!(self.takes_encoded(messages), "whoever asks has asked that first");
        let (bytes, limit) = (byte_count(messages.bytes().len()), self.transaction_bytes_max());
        if bytes > limit || messages.references_max() > REFERENCES_MAX {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        for id in messages.queues() {
            self.state
                .queues
                .open(*id)
                .ok_or(AppendError::UnknownQueue(*id))?;
        }
        self.tail.make_room(messages.bytes().len());
        self.tail.check_held(messages.bytes().len())?;
        let block = self.tail.building_number();
        let (queues, mut next_message_id) = (&mut self.state.queues, self.state.next_message_id);
        let mut pages = 0;
        let (building, pool) = self.tail.building();
        let (records, mut ordinal) =
            building.messages(messages.bytes(), messages.count(), timestamp_ms, pool);
        for mut message in record::messages_to_complete(records) {
            message.complete(ordinal, next_message_id, timestamp_ms);
            ordinal += 1;
            next_message_id += 1;
            let counted = page::counted_bytes(message.properties_len(), message.body_len());
            message.place(|id| {
                let queue = queues.open_mut(id).expect("each queue was looked at above");
                let seq = queue.next_seq;
                // Of each queue a block may change the page that was begun before, and those that it begins.
                let changes_page = queue.newest_block != block || seq.is_multiple_of(ENTRIES);
                pages += usize::from(changes_page);
                queue.accept(counted);
                queue.newest_block = block;
                Seq::new(seq)
            });
        }
        building.add_pages(pages);
        self.state.next_message_id = next_message_id;
        Ok(block)
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
