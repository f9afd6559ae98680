//! What a start found and did.

use crate::catalog::CatalogReport;
use crate::ids::{QueueId, Seq};
use serde::Serialize;

/// The account of one start, for logs, tools and people.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Whether the directory was new.
    pub created: bool,
    /// Whether the last owner stopped the store in order. There may be something to do all the same: the index is rebuilt when its
    /// last checkpoint is gone or [`Options::slab_bytes`](crate::Options::slab_bytes) is another, and what may have been delivered is
    /// flagged as redelivered then. False for a new store, which had no owner.
    pub clean: bool,
    /// The slot of META that was damaged, if one was; the other one counted.
    pub meta_slot_damaged: Option<usize>,
    /// The number of this start.
    pub epoch: u64,
    /// Whether the index had to be rebuilt from the whole log.
    pub index_rebuilt: bool,
    /// When it was: segments of which only the footer was read, and none of the bodies.
    pub segments_from_footers: u64,
    /// When it was: segments that were read in full.
    pub segments_from_blocks: u64,
    /// Blocks replayed behind the checkpoint.
    pub blocks_replayed: u64,
    /// Bytes replayed behind the checkpoint; of a segment that its footer told, those of the footer.
    pub bytes_replayed: u64,
    /// Records that were appended again, because nothing proved that they had been synced.
    pub records_appended_again: u64,
    /// The tail of the log that was cut, if it was torn.
    pub torn: Option<TornRange>,
    /// Damaged ranges that were set aside.
    pub quarantined: Vec<Quarantined>,
    /// Entries that the damage cost.
    pub lost: Vec<LostEntries>,
    /// The queues in the journal.
    pub queues: Vec<RecoveredQueue>,
    /// What was found in the catalog.
    pub catalog: CatalogReport,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

/// Bytes at the end of the log that were never confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TornRange {
    /// The file, relative to the data directory.
    pub file: String,
    /// Where in it the log ends now.
    pub offset: u64,
}

/// Bytes in the midst of the log that do not validate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The file, relative to the data directory.
    pub file: String,
    /// First byte of the range.
    pub offset: u64,
    /// Length of the range.
    pub bytes: u64,
    /// Records in it that are intact and were kept.
    pub records_kept: u64,
}

/// Entries of a queue that are in no intact record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LostEntries {
    /// The queue.
    pub queue: QueueId,
    /// The first of them.
    pub first: Seq,
    /// How many follow each other.
    pub count: u64,
}

/// A queue that the journal knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredQueue {
    /// Its id.
    pub id: QueueId,
    /// Its description, as handed in when it was created.
    pub meta: Vec<u8>,
    /// Messages that it holds.
    pub messages: u64,
}
