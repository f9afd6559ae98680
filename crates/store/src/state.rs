//! What the log says, applied: queues, index and the accounting of segments.
//!
//! Invariants:
//! - Only durable records are applied, strictly in the order of the log.
//! - Applying is a deterministic function of state and record: the running store and recovery share it.

mod apply;
mod run;
mod table;

use crate::disk::Disk;
use crate::error::PoisonCause;
use crate::ids::{Lsn, QueueId, SegmentNumber};
use crate::index::page::{self, Entry};
use crate::index::pages::{DamagedPage, INDEX_DIR, PageError, PageNumber, Pages};
use crate::queue::Queue;
use crate::segments::Segments;
use crate::units::Units;
pub(crate) use apply::leave_place;
use hashbrown::{HashMap, HashSet};
use roaring::RoaringTreemap;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
pub(crate) use table::QueueTable;

/// The applied state of a shard.
pub(crate) struct State<D: Disk> {
    pub queues: QueueTable,
    /// Deleted queues of which the log may still hold messages, and where the log says that they were deleted, or a later place.
    /// Behind that it says nothing else of them.
    pub tombstones: HashMap<QueueId, Lsn>,
    pub pages: Pages<D>,
    pub segments: Segments<D>,
    /// What the log does not hold.
    pub units: Units<D>,
    /// Whether the log is read from its beginning: then messages may come before the record that names their queue,
    /// for that record was recycled and written again.
    pub rebuilding: bool,
    /// Damage may have taken the records that name queues with ids above this one, while what they speak of is intact.
    pub names_lost_above: Option<u64>,
    /// Queues that records speak of and that none has named yet.
    pub unnamed: HashSet<QueueId>,
    /// Queues that got messages or a delivery mark since this was last emptied.
    pub touched: Vec<QueueId>,
    /// What was discarded, and the log has not said yet.
    pub forgotten: Forgotten,
    /// Gaps met while messages were applied: entries that the log does not hold (any more).
    pub gaps: Vec<Gap>,
    /// The greatest id of a queue that was ever met. Ids are never given out twice.
    pub queue_ids_used: u64,
    /// The next message id.
    pub next_message_id: u64,
    /// Index entries of the run that is being applied; its memory is used again.
    run_entries: Vec<u8>,
}

/// Transient entries from before the last start, by queue, that were met and whose lives are to end.
pub(crate) type Forgotten = BTreeMap<QueueId, RoaringTreemap>;

/// Entries of a queue that were skipped by the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gap {
    pub queue: QueueId,
    pub first: u64,
    pub end: u64,
}

impl<D: Disk> State<D> {
    pub(crate) fn new(pages: Pages<D>) -> Self {
        Self {
            queues: QueueTable::default(),
            tombstones: HashMap::new(),
            rebuilding: false,
            names_lost_above: None,
            unnamed: HashSet::new(),
            pages,
            segments: Segments::new(),
            units: Units::new(),
            touched: Vec::new(),
            forgotten: Forgotten::new(),
            gaps: Vec::new(),
            queue_ids_used: 0,
            next_message_id: 0,
            run_entries: Vec::new(),
        }
    }

    /// Whether there may be something of a deleted queue in segments of the journal older than this one, or in cold ones: a
    /// rebuild that does not know of its end could raise it from the dead.
    pub(crate) fn has_remains(&self, id: QueueId, older_than: SegmentNumber) -> bool {
        let Some(deleted) = self.tombstones.get(&id) else {
            return false;
        };
        self.segments.newest_queue(older_than, *deleted) >= Some(id) || self.has_copies(id)
    }

    /// Whether a cold segment may hold copies of messages of this queue, which a rebuild would meet.
    fn has_copies(&self, id: QueueId) -> bool {
        let mut cold = self
            .segments
            .iter()
            .rev()
            .take_while(|segment| segment.file.number.is_cold());
        cold.any(|segment| segment.control.contains(&id))
    }

    /// The index entry of `seq`; length 0 when there is none.
    pub(crate) fn entry(pages: &mut Pages<D>, queue: &Queue, seq: u64) -> Result<Entry, DamagedPage> {
        match queue.page(seq) {
            Some(number) => Ok(page::entry(pages.read(number)?, crate::ids::Seq::new(seq))),
            None => Ok(Entry::ABSENT),
        }
    }

    /// Lets go of the pages whose entries are all dead, now that those of `ended` are.
    pub(crate) fn release_dead_pages(pages: &mut Pages<D>, queue: &mut Queue, ended: Range<u64>) {
        let alive = page::page_of(crate::ids::Seq::new(queue.floor));
        while queue.first_page < alive {
            let Some(page) = queue.pages.pop_front() else {
                break;
            };
            queue.first_page += 1;
            if let Some(page) = page {
                pages.release(page);
            }
        }
        if queue.acked.is_empty() || ended.is_empty() {
            return;
        }
        // Behind an entry that nobody acknowledges others come and go, and their pages with them.
        let first = page::page_of(crate::ids::Seq::new(ended.start)).max(queue.first_page);
        let last = page::page_of(crate::ids::Seq::new(ended.end - 1));
        for number in first..=last.min(queue.pages_end().saturating_sub(1)) {
            let entries = number * page::ENTRIES..(number + 1) * page::ENTRIES;
            if let Some(page) = queue.take_dead_page(entries) {
                pages.release(page);
            }
        }
    }
}

/// An index that cannot be used stops the store; the log is unharmed and rebuilds it.
pub(crate) fn index_failure(error: PageError) -> PoisonCause {
    match error {
        PageError::Damaged(page) => damaged_index(page),
        PageError::Io(source) => PoisonCause::new("writing the index", INDEX_DIR, source),
    }
}

/// The cause that makes the next open rebuild the index from the log.
pub(crate) fn damaged_index(DamagedPage(page): DamagedPage) -> PoisonCause {
    let number: PageNumber = page;
    let problem = io::Error::new(io::ErrorKind::InvalidData, DamagedIndex(number));
    PoisonCause::new("checking an index page", INDEX_DIR, problem)
}

/// Marks an I/O error as damage of the derived index.
#[derive(Debug, thiserror::Error)]
#[error("index page {0} does not match its checkpoint; the next start rebuilds the index from the log")]
pub(crate) struct DamagedIndex(PageNumber);

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
