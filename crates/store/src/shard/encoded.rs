//! Accepting messages that were encoded before: one copy into the block, or none, then each gets what only the log can give it.
//!
//! Invariant: the block afterwards is the one that publishing the same messages one by one would have made.

use super::Shard;
use crate::disk::Disk;
use crate::encoded::EncodedMessages;
use crate::error::AppendError;
use crate::format::run::{self, FirstPlace};
use crate::format::{byte_count, disk_len, memory_offset};
use crate::ids::{BlockNumber, QueueId, Seq};
use crate::index::page::ENTRIES;
use crate::limits::REFERENCES_MAX;
use crate::queue::{Queue, QueueDurability};

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

    /// Bytes of records that these messages take at most in the log.
    pub(crate) fn bytes_of(&self, messages: &EncodedMessages) -> u64 {
        byte_count(if self.takes_encoded(messages) {
            messages.bytes().len()
        } else {
            messages.bytes_at_most()
        })
    }

    /// Accepts messages that are [taken like this](Shard::takes_encoded), into one block, and may take their bytes away. They are durable, and can be leased, when the returned
    /// block is durable.
    ///
    /// # Errors
    /// When they can never be stored, or a queue is missing: nothing was changed then. When the store is poisoned.
    pub(crate) fn publish_encoded(
        &mut self,
        messages: &mut EncodedMessages,
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
        let queues = &mut self.state.queues;
        let mut message_id = self.state.next_message_id;
        let mut pages = 0;
        let (building, pool) = self.tail.building();
        let (mut records, mut ordinal) = building.messages(messages, timestamp_ms, pool);
        for run in messages.runs() {
            self.seqs.clear();
            for id in run.queues {
                let queue = queues.open_mut(*id).expect("each queue was looked at above");
                self.seqs.push(Seq::new(queue.next_seq));
                pages += pages_of(queue, byte_count(run.messages), block);
                queue.accept_run(byte_count(run.messages), run.counted);
                queue.newest_block = block;
            }
            let first = FirstPlace {
                ordinal,
                message_id,
                seqs: &self.seqs,
                timestamp_ms,
            };
            let count = disk_len(run.messages);
            records = run::complete(records, count, &first);
            ordinal += count;
            message_id += u64::from(count);
        }
        building.add_pages(pages);
        self.state.next_message_id = message_id;
        Ok(block)
    }
}

/// Index pages that applying so many more messages may change: of each queue a block may change the page that was begun before, and
/// those that it begins.
fn pages_of(queue: &Queue, messages: u64, block: BlockNumber) -> usize {
    let (first, end) = (queue.next_seq, queue.next_seq + messages);
    let begun = end.div_ceil(ENTRIES) - first.div_ceil(ENTRIES);
    let changes_old = queue.newest_block != block && !first.is_multiple_of(ENTRIES);
    memory_offset(begun) + usize::from(changes_old)
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
