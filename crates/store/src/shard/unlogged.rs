//! Entries that the log never holds: what it says of the gaps that they leave, and how their life ends.
//!
//! Invariants:
//! - What ends the life of nothing but unlogged entries is not logged either: it is true at once, and no start can find them.
//! - A block that is written says, for each queue in it, what the log skipped before.
//!
//! Elsewhere: what is remembered of each queue (`unlogged`), which blocks are written (`builder`), where the messages lie (`units`).

use super::Shard;
use crate::disk::Disk;
use crate::format::record::Range;
use crate::ids::{QueueId, Seq};
use crate::index::page::Entry;
use crate::index::pages::{DamagedPage, Pages};
use crate::queue::{Queue, QueueDurability};
use crate::segments::Segments;
use crate::state::{State, leave_place};
use crate::tail::Tail;
use crate::units::Units;

impl<D: Disk> Tail<D> {
    /// The queue's first entry in the block that is being built is about to be accepted.
    pub(super) fn skip_before(&mut self, queue: &mut Queue) {
        let fate = self.fate(queue.newest_block);
        if let Some(skipped) = queue.unlogged.skip_before(queue.next_seq, fate) {
            self.building().0.skip(Range {
                queue: queue.id,
                first: Seq::new(skipped.start),
                count: skipped.end - skipped.start,
            });
        }
    }
}

impl<D: Disk> Shard<D> {
    /// Whether no start would find any of these entries, whatever the log says of them.
    pub(super) fn are_unlogged(
        &mut self,
        id: QueueId,
        entries: std::ops::Range<u64>,
    ) -> Result<bool, DamagedPage> {
        let State { queues, pages, .. } = &mut self.state;
        let Some(queue) = queues.open(id).filter(|queue| entries.end <= queue.visible_end) else {
            return Ok(false);
        };
        if queue.durability == QueueDurability::Transient {
            return Ok(true);
        }
        if queue.unlogged.live == 0 {
            return Ok(false);
        }
        for seq in entries {
            if !queue.is_dead(seq) && !State::entry(pages, queue, seq)?.lsn.is_unlogged() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether no start would find this entry, whatever the log says of it.
pub(super) fn is_unlogged(queue: &Queue, entry: &Entry) -> bool {
    entry.lsn.is_unlogged() || queue.durability == QueueDurability::Transient
}

/// Ends the life of a leased entry that no start would find: at once, without a word in the log.
pub(super) fn end<D: Disk>(
    queue: &mut Queue,
    segments: &mut Segments<D>,
    units: &Units<D>,
    pages: &mut Pages<D>,
    seq: u64,
    entry: &Entry,
) {
    queue.leave(entry, false);
    leave_place(queue, entry, segments, units);
    queue.bury(seq, 1);
    State::<D>::release_dead_pages(pages, queue, seq..seq + 1);
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
