//! What stands in the files of a store, as plain values for people and programs.

use crate::attempts::Attempts;
use crate::ids::{BlockNumber, Epoch, Lsn, QueueId, SegmentNumber, Seq};
use serde::Serialize;

/// Both slots of META.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetaInfo {
    /// In the order of the file; `None` for a slot that was never written or is damaged.
    pub slots: Vec<Option<SlotInfo>>,
    /// Which slot counts: the sound one that was written last.
    pub counts: Option<usize>,
}

/// A sound slot of META.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlotInfo {
    /// Grows by one with each write of META.
    pub generation: u64,
    /// Version of the format of the directory.
    pub format: u32,
    /// Identity of the store, 32 hex digits.
    pub store: String,
    /// The number of the last start.
    pub epoch: Epoch,
    /// The newest start that was begun in full.
    pub begun: Epoch,
    /// Whether the store was stopped in order.
    pub clean: bool,
}

/// What a file in one of the directories of segments is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SegmentRole {
    /// A part of the journal.
    Log,
    /// A part of the log with messages that were evacuated from other segments.
    Cold,
    /// A part of the log whose header is damaged; its blocks, or a checkpoint, say what it is.
    WithoutHeader,
    /// It has a segment's name and is no part of the log: cut off, or never begun.
    Remains,
    /// It was a segment and waits to be used again.
    Spare,
}

/// A file in one of the directories of segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentInfo {
    /// Its number, also its name; that of a cold segment has bit 63 set.
    pub number: SegmentNumber,
    /// The file, relative to the data directory.
    pub file: String,
    /// What it is.
    pub role: SegmentRole,
    /// Address of its first byte; `None` for what is no part of the log.
    pub first_lsn: Option<Lsn>,
    /// Its part of the log ends here.
    pub limit: Option<Lsn>,
    /// The start that wrote it.
    pub epoch: Option<Epoch>,
    /// Size of the file in bytes.
    pub bytes: u64,
}

/// A segment and what it consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentDetail {
    /// The segment.
    pub segment: SegmentInfo,
    /// Blocks whose header is sound.
    pub blocks: Vec<BlockInfo>,
    /// Pages without one: unused, torn or damaged.
    pub gaps: Vec<GapInfo>,
    /// Its footer, if there is one.
    pub footer: Option<FooterInfo>,
}

/// The file from which the index can be rebuilt without reading the bodies of a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FooterInfo {
    /// The file, relative to the data directory.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Blocks that it speaks of; `None` when it is damaged.
    pub blocks: Option<u64>,
    /// Where it says that the last of them ends; `None` when it is damaged.
    pub end: Option<Lsn>,
}

/// A block whose header is sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockInfo {
    /// The segment.
    pub segment: SegmentNumber,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes on disk, padding included.
    pub bytes: u64,
    /// Its address.
    pub lsn: Lsn,
    /// Its number.
    pub number: BlockNumber,
    /// The start that wrote it.
    pub epoch: Epoch,
    /// All of the log below was synced before it was written.
    pub durable_lsn: Lsn,
    /// Bytes of records.
    pub payload_bytes: u32,
    /// Records that it says to have.
    pub records: u32,
    /// Records of it that are sound.
    pub records_sound: u64,
    /// Timestamp of the newest message up to here, milliseconds since the Unix epoch.
    pub max_timestamp_ms: u64,
    /// Checksum of the header, eight hex digits.
    pub crc: String,
    /// Checksum of the header before it.
    pub previous_crc: String,
}

/// Pages of a segment's part of the log in which no sound block begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GapInfo {
    /// Offset in the file.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Whether what is left of a header stands at its beginning.
    pub has_remains: bool,
}

/// An intact record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordInfo {
    /// The segment.
    pub segment: SegmentNumber,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes, padding not counted.
    pub bytes: u64,
    /// What it says.
    #[serde(flatten)]
    pub kind: RecordKind,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RecordKind {
    /// A message and the queues that hold it.
    Message {
        /// Rises over the life of the shard. Messages that are written in the compact form have none.
        id: Option<u64>,
        /// Wall clock of its publication, milliseconds since the Unix epoch.
        timestamp_ms: u64,
        /// As published; 0 also for none.
        priority: u8,
        /// Whether it vanishes at the next start.
        transient: bool,
        /// Length of the properties.
        properties_bytes: u64,
        /// Length of the body.
        body_bytes: u64,
        /// Who holds it.
        references: Vec<ReferenceInfo>,
    },
    /// Entries that are dead.
    Ack {
        /// Why: acked, expired, dropped or purged.
        reason: &'static str,
        /// Queue, first seq, how many.
        ranges: Vec<(QueueId, Seq, u64)>,
    },
    /// Entries that came back.
    Requeue {
        /// Queue, first seq, how many, and how often they came back.
        ranges: Vec<(QueueId, Seq, u64, Attempts)>,
    },
    /// Entries below may have been delivered.
    Delivered {
        /// Queue and mark.
        marks: Vec<(QueueId, Seq)>,
    },
    /// Entries that the log never held, for they were transient.
    Skip {
        /// Queue, first seq, how many.
        ranges: Vec<(QueueId, Seq, u64)>,
    },
    /// A queue's life.
    Queue {
        /// What happens to it: create, state or delete.
        action: &'static str,
        /// The queue.
        queue: QueueId,
        /// Whether it vanishes at the next start.
        transient: bool,
        /// The next message gets this.
        next_seq: Seq,
        /// All entries below are dead.
        floor: Seq,
        /// Dead entries above the floor.
        acked: u64,
        /// What the store's user calls it, as text.
        description: String,
    },
    /// Nothing happened.
    Mark {
        /// Milliseconds since the Unix epoch.
        wall_ms: u64,
    },
    /// Sound, but of a type that this version does not know.
    Unknown,
}

/// One queue's entry for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReferenceInfo {
    /// The queue.
    pub queue: QueueId,
    /// Its place there.
    pub seq: Seq,
    /// When it expires, milliseconds since the Unix epoch; 0 for never.
    pub expires_ms: u64,
}

/// What the newest sound checkpoint uses an index page for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageUse {
    /// Number of the slab.
    pub slab: u64,
    /// Number of the page in it.
    pub page: u64,
    /// The file, relative to the data directory.
    pub file: String,
    /// Offset in the file.
    pub offset: u64,
    /// The queue.
    pub queue: QueueId,
    /// The first seq that it has room for.
    pub first: Seq,
    /// Whether the bytes are those that the checkpoint recorded.
    pub sound: bool,
}

/// An index page and its entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageInfo {
    /// The page; `None` when the newest sound checkpoint does not use it.
    pub used: Option<PageUse>,
    /// What the page itself says: its queue and first seq.
    pub owner: (QueueId, Seq),
    /// The entries that are not absent.
    pub entries: Vec<EntryInfo>,
}

/// An entry of an index page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryInfo {
    /// The seq.
    pub seq: Seq,
    /// Where the message is.
    pub lsn: Lsn,
    /// The segment that holds this address; `None` when there is none.
    pub segment: Option<SegmentNumber>,
    /// Offset in that segment's file.
    pub offset: Option<u64>,
    /// Bytes of the record.
    pub bytes: u32,
    /// As published; 0 also for none.
    pub priority: u8,
    /// Whether it vanishes at the next start.
    pub transient: bool,
    /// When it expires, milliseconds since the Unix epoch; 0 for never.
    pub expires_ms: u64,
    /// Whether the checkpoint or the log says that it is dead.
    pub dead: bool,
}

/// A sound checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointInfo {
    /// The file, relative to the data directory.
    pub file: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Everything below is in it.
    pub lsn: Lsn,
    /// The last block in it.
    pub last_block: BlockNumber,
    /// Whether it is the last act of an orderly stop.
    pub clean: bool,
    /// The next message gets this.
    pub next_message_id: u64,
    /// The greatest queue id ever used.
    pub queue_ids_used: QueueId,
    /// Size of an index slab.
    pub slab_bytes: u64,
    /// Index pages that it refers to.
    pub pages: u64,
    /// Queues that were deleted and must not rise again.
    pub tombstones: u64,
    /// The queues.
    pub queues: Vec<QueueInfo>,
}

/// A queue, as a checkpoint knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueInfo {
    /// Its id.
    pub id: QueueId,
    /// What the store's user calls it, as text.
    pub description: String,
    /// Messages that it holds.
    pub messages: u64,
    /// Transient ones among them.
    pub transient_messages: u64,
    /// The next message gets this.
    pub next_seq: Seq,
    /// All entries below are dead.
    pub floor: Seq,
    /// Entries below may have been delivered.
    pub delivery_mark: Seq,
    /// Dead entries above the floor.
    pub acked: u64,
    /// Index pages.
    pub pages: u64,
    /// Segments in which its messages lie, and how many in each.
    pub segments: Vec<(SegmentNumber, u64)>,
}

/// A live entry of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CatalogEntryInfo {
    /// The key, as text.
    pub key: String,
    /// Length of the encoded value.
    pub value_bytes: u64,
    /// The encoded value, as lower-case hex.
    pub value: String,
}
