//! Queues made, deleted, and what is known of each.
//!
//! Invariant: a queue that is deleted is gone at once for everybody; its state stays until its record is durable.

use super::Shard;
use crate::disk::Disk;
use crate::error::AppendError;
use crate::format::byte_count;
use crate::format::record::{QUEUE_HEADER_LEN, QueueAction, QueueRecord};
use crate::ids::{BlockNumber, QueueId, Seq};
use crate::limits::QUEUE_META_BYTES_MAX;
use crate::queue::{Counts, Queue, QueueDurability};

impl<D: Disk> Shard<D> {
    /// Creates a queue. It exists at once; it survives when the returned block is durable.
    ///
    /// # Errors
    /// When the id is taken, the description too large ([`Shard::queue_meta_bytes_max`]), or the store poisoned.
    pub fn create_queue(
        &mut self,
        id: QueueId,
        durability: QueueDurability,
        meta: &[u8],
    ) -> Result<BlockNumber, AppendError> {
        self.check_alive()?;
        let (bytes, limit) = (byte_count(meta.len()), self.queue_meta_bytes_max());
        if bytes > limit {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        if self.state.queues.contains(id) || self.state.tombstones.contains_key(&id) {
            return Err(AppendError::QueueExists(id));
        }
        let record = bare(QueueAction::Create, id, durability, meta);
        self.tail.check_held(record.len())?;
        let block = self.append_queue_record(&record);
        let mut queue = Queue::new(id, durability, meta);
        queue.created_in = block;
        self.state.queue_ids_used = self.state.queue_ids_used.max(id.get());
        self.state.queues.insert(queue);
        Ok(block)
    }

    /// Bytes that the description of a queue may take.
    #[must_use]
    pub fn queue_meta_bytes_max(&self) -> u64 {
        // Each record of the queue's state brings it along, and has to have room for more.
        (self.tail.block_bytes_max() / 4).min(byte_count(QUEUE_META_BYTES_MAX))
    }

    /// Deletes a queue and all its entries. It is gone at once, also for those who hold leases; durably
    /// when the returned block is.
    ///
    /// # Errors
    /// When there is no such queue, or the store is poisoned.
    pub fn delete_queue(&mut self, id: QueueId) -> Result<BlockNumber, AppendError> {
        self.check_alive()?;
        self.tail.check_held(QUEUE_HEADER_LEN)?;
        let queue = self
            .state
            .queues
            .open_mut(id)
            .ok_or(AppendError::UnknownQueue(id))?;
        let durability = queue.durability;
        // Its state goes only when the record is durable: a checkpoint before that must still have it.
        queue.is_deleted = true;
        self.forget_held(id);
        self.note_head(id);
        Ok(self.append_queue_record(&bare(QueueAction::Delete, id, durability, b"")))
    }

    pub(super) fn append_queue_record(&mut self, record: &QueueRecord<'_>) -> BlockNumber {
        self.tail.make_room(record.len());
        let (building, pool) = self.tail.building();
        building.queue(record, pool);
        building.number()
    }

    /// How many entries the queue holds.
    #[must_use]
    pub fn counts(&self, queue: QueueId) -> Option<Counts> {
        self.state.queues.open(queue).map(Queue::counts)
    }

    /// The seq that the next message of the queue gets. After a crash it may be that of a transient message from before.
    #[must_use]
    pub fn next_seq(&self, queue: QueueId) -> Option<Seq> {
        self.state
            .queues
            .open(queue)
            .map(|queue| Seq::new(queue.next_seq))
    }

    /// All queues: id, durability and description.
    pub fn queues(&self) -> impl Iterator<Item = (QueueId, QueueDurability, &[u8])> {
        self.state
            .queues
            .iter()
            .filter(|queue| !queue.is_deleted)
            .map(|queue| (queue.id, queue.durability, &*queue.meta))
    }
}

/// The record of a queue that holds nothing.
pub(super) fn bare<'a>(
    action: QueueAction,
    id: QueueId,
    durability: QueueDurability,
    meta: &'a [u8],
) -> QueueRecord<'a> {
    QueueRecord {
        action,
        transient: durability == QueueDurability::Transient,
        id,
        next_seq: Seq::new(0),
        floor: Seq::new(0),
        delivery_mark: Seq::new(0),
        acked: b"",
        redelivered: b"",
        attempts: b"",
        meta,
    }
}
