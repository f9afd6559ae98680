//! What the log says of a queue, said again: the segments that said it before can go then.
//!
//! Invariants:
//! - A state is said in as many QUEUE records as it takes, each of which fits into a block. They add up, in any order.
//! - Nothing of it is left out but the counts of deliveries that are too many to be kept anyway (`attempts`).
//! - What it costs is known before it is written.
//!
//! Elsewhere: when it is owed (`recycle`), what a start makes of it (`state::apply`).

use super::Shard;
use super::queues::bare;
use crate::attempts::ATTEMPT_RUN_BYTES;
use crate::checkpoint;
use crate::disk::Disk;
use crate::format::record::{QUEUE_HEADER_LEN, QueueAction, QueueRecord};
use crate::format::{byte_count, memory_offset, pad8};
use crate::ids::{BlockNumber, QueueId, Seq};
use crate::limits::BLOCK_HEADER_BYTES;
use crate::planted::{self, Planted};
use crate::queue::{Queue, QueueDurability};
use roaring::RoaringTreemap;

/// What is said again may take one part in so many of what becomes free with it. Blocks and segments that states are said in may
/// be half empty, so that even then twice of that stays free: states never make room for nothing but themselves.
const SHARE_OF_GAIN: u64 = 4;
/// Sets can be divided until they take no more than this.
const PART_BYTES_MIN: usize = 64;

/// What one QUEUE record says of a state, beside what each of them says.
#[derive(Default)]
struct Part {
    acked: Vec<u8>,
    redelivered: Vec<u8>,
    attempts: Vec<u8>,
}

impl Part {
    /// A state in parts of at most so many bytes.
    fn all_of(queue: &Queue, bytes_max: usize) -> Vec<Self> {
        let dead = queue.dead_at_start();
        let attempts = if planted::is(Planted::ForgetAttemptsInState) {
            Vec::new()
        } else {
            queue.attempts.to_bytes(&dead)
        };
        let whole = Self {
            acked: checkpoint::bytes_of(&dead),
            redelivered: checkpoint::bytes_of(&queue.redelivered),
            attempts,
        };
        if whole.acked.len() + whole.redelivered.len() + whole.attempts.len() <= bytes_max {
            return vec![whole];
        }
        let runs_at_once = bytes_max / ATTEMPT_RUN_BYTES * ATTEMPT_RUN_BYTES;
        let acked = divided(&dead, bytes_max).into_iter().map(|acked| Self {
            acked,
            ..Self::default()
        });
        let redelivered = divided(&queue.redelivered, bytes_max).into_iter();
        let redelivered = redelivered.map(|redelivered| Self {
            redelivered,
            ..Self::default()
        });
        let attempts = whole.attempts.chunks(runs_at_once).map(|attempts| Self {
            attempts: attempts.to_vec(),
            ..Self::default()
        });
        acked.chain(redelivered).chain(attempts).collect()
    }
}

/// A set in parts that take at most so many bytes each.
fn divided(set: &RoaringTreemap, bytes_max: usize) -> Vec<Vec<u8>> {
    if set.serialized_size() <= bytes_max {
        return vec![checkpoint::bytes_of(set)];
    }
    let middle = set
        .select(set.len() / 2)
        .expect("a set that is large has a middle");
    let (mut lower, mut upper) = (set.clone(), set.clone());
    lower.remove_range(middle..);
    upper.remove_range(..middle);
    let mut parts = divided(&lower, bytes_max);
    parts.append(&mut divided(&upper, bytes_max));
    parts
}

impl<D: Disk> Shard<D> {
    /// Whether it is worth it to write the state of all these queues again, when so many bytes become free with it.
    pub(super) fn is_worth_stating<'a>(
        &self,
        owed: impl IntoIterator<Item = &'a QueueId>,
        gain: u64,
    ) -> bool {
        let mut owed = owed.into_iter();
        let left = owed.try_fold(gain, |left, id| {
            left.checked_sub(self.state_bytes(*id)? * SHARE_OF_GAIN)
        });
        left.is_some()
    }

    /// About what the state of a queue takes in the log; `None` for one that cannot be written.
    fn state_bytes(&self, id: QueueId) -> Option<u64> {
        let mut bytes = QUEUE_HEADER_LEN;
        if let Some(queue) = self.state.queues.get(id).filter(|queue| !queue.is_deleted) {
            let sets = queue.acked.serialized_size() + queue.redelivered.serialized_size();
            let parts = sets + queue.attempts.bytes_max();
            // Each part comes with the rest of the record.
            let frame = QUEUE_HEADER_LEN + queue.meta.len();
            bytes = parts + frame * (1 + parts / self.part_bytes_max(queue)?);
        }
        Some(byte_count(pad8(bytes)))
    }

    /// What a QUEUE record of this queue has room for. `None` where what it is called fills a block: the segments were larger
    /// when it was made.
    fn part_bytes_max(&self, queue: &Queue) -> Option<usize> {
        let block = memory_offset(self.tail.block_bytes_max() - BLOCK_HEADER_BYTES);
        let room = block.checked_sub(QUEUE_HEADER_LEN + queue.meta.len())?;
        // Records are padded.
        room.checked_sub(8).filter(|room| *room >= PART_BYTES_MIN)
    }

    pub(crate) fn write_state_again(&mut self, id: QueueId) -> Option<BlockNumber> {
        if let Some(queue) = self.state.queues.get(id)
            && queue.is_deleted
        {
            // Its state written behind its end could raise it from the dead.
            let record = bare(QueueAction::Delete, id, queue.durability, b"");
            return Some(self.append_queue_record(&record));
        }
        let Some(queue) = self.state.queues.get(id) else {
            return self.state.tombstones.contains_key(&id).then(|| {
                let record = bare(QueueAction::Delete, id, QueueDurability::Durable, b"");
                self.append_queue_record(&record)
            });
        };
        let is_transient = queue.durability == QueueDurability::Transient;
        let whole = QueueRecord {
            action: QueueAction::State,
            transient: is_transient,
            id,
            next_seq: Seq::new(queue.visible_end),
            floor: Seq::new(queue.floor),
            delivery_mark: Seq::new(if is_transient { 0 } else { queue.mark }),
            acked: b"",
            redelivered: b"",
            attempts: b"",
            meta: &queue.meta.clone(),
        };
        let mut block = None;
        for part in Part::all_of(queue, self.part_bytes_max(queue)?) {
            block = Some(self.append_queue_record(&QueueRecord {
                acked: &part.acked,
                redelivered: &part.redelivered,
                attempts: &part.attempts,
                ..whole
            }));
        }
        let through = self.durable().end();
        if let Some(block) = block
            && let Some(queue) = self.state.queues.get_mut(id)
        {
            queue.stated = (block, through);
        }
        block
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
