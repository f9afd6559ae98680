//! Records, the contents of a block (docs/format.md, "Records").
//!
//! Invariants:
//! - Records are 8-aligned and carry their own length, checksum and ordinal in the block.
//! - The checksum covers everything behind itself, the length included; a body above 256 bytes is
//!   covered by a checksum of its own, which stands in the covered part.
//! - Checksums of records are bound to the place (`checksum`), so they are computed when the place is known:
//!   an encoder leaves them open, [`seal`] sets them. That of a body is not: an encoder sets it or leaves it zero.

use crate::checksum::Salt;
use crate::format::message::{self, MessageRecord};
use crate::format::{disk_len, memory_len, pad8};
use crate::ids::{QueueId, SegmentNumber, Seq};
use byteorder::{ByteOrder, LittleEndian as LE};

pub(crate) const RANGES_HEADER_LEN: usize = 24;
pub(crate) const RANGE_LEN: usize = 24;
pub(crate) const QUEUE_HEADER_LEN: usize = 72;
pub(crate) const MARK_LEN: usize = 24;
const PREFIX_LEN: usize = 16;

const TYPE_ACK: u8 = 3;
const TYPE_REQUEUE: u8 = 4;
const TYPE_DELIVERED: u8 = 5;
const TYPE_QUEUE: u8 = 7;
const TYPE_MARK: u8 = 8;
const TYPE_SKIP: u8 = 13;

/// Why an entry is dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AckReason {
    /// A consumer acknowledged it.
    Acked,
    /// It outlived its time.
    Expired,
    /// A limit of the queue pushed it out.
    Dropped,
    /// Its queue was purged.
    Purged,
    /// A consumer did not want it.
    Rejected,
}

impl AckReason {
    const fn to_byte(self) -> u8 {
        match self {
            Self::Acked => 0,
            Self::Expired => 1,
            Self::Dropped => 2,
            Self::Purged => 3,
            Self::Rejected => 4,
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Acked,
            1 => Self::Expired,
            2 => Self::Dropped,
            3 => Self::Purged,
            4 => Self::Rejected,
            _ => return None,
        })
    }
}

/// What a QUEUE record does to its queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QueueAction {
    Create,
    /// The state so far, written again before the segments that it came from are recycled.
    State,
    Delete,
}

/// Entries of one queue that follow each other; for a delivery mark, `first` is the mark and `count` 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    pub queue: QueueId,
    pub first: Seq,
    pub count: u64,
}

/// The record types that list ranges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RangesKind {
    Ack(AckReason),
    Requeue,
    Delivered,
    /// Entries that the log never held, for they were transient.
    Skip,
}

/// Bytes of a record that lists `count` ranges.
pub(crate) fn ranges_len(count: usize) -> usize {
    RANGES_HEADER_LEN + RANGE_LEN * count
}

/// Writes a record that lists ranges into `out`, which has exactly its length.
pub(crate) fn put_ranges(out: &mut [u8], ordinal: u32, kind: RangesKind, ranges: &[Range]) {
    let (record_type, reason) = match kind {
        RangesKind::Ack(reason) => (TYPE_ACK, reason.to_byte()),
        RangesKind::Requeue => (TYPE_REQUEUE, 0),
        RangesKind::Delivered => (TYPE_DELIVERED, 0),
        RangesKind::Skip => (TYPE_SKIP, 0),
    };
    put_prefix(out, record_type, ordinal);
    LE::write_u32(&mut out[16..], disk_len(ranges.len()));
    LE::write_u32(&mut out[20..], u32::from(reason));
    for (range, out) in ranges
        .iter()
        .zip(out[RANGES_HEADER_LEN..].chunks_exact_mut(RANGE_LEN))
    {
        LE::write_u64(&mut out[0..], range.queue.get());
        LE::write_u64(&mut out[8..], range.first.get());
        LE::write_u64(&mut out[16..], range.count);
    }
}

/// A QUEUE record: the queue's life, and its state when it is written again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct QueueRecord<'a> {
    pub action: QueueAction,
    pub transient: bool,
    pub id: QueueId,
    pub next_seq: Seq,
    pub floor: Seq,
    pub delivery_mark: Seq,
    /// Acknowledged entries above the floor, a serialised roaring treemap.
    pub acked: &'a [u8],
    /// Entries that were delivered before, a serialised roaring treemap.
    pub redelivered: &'a [u8],
    /// How often entries came back, in runs of 16 bytes.
    pub attempts: &'a [u8],
    /// What the queue is, in the words of the store's user.
    pub meta: &'a [u8],
}

impl QueueRecord<'_> {
    pub(crate) fn len(&self) -> usize {
        QUEUE_HEADER_LEN + self.acked.len() + self.redelivered.len() + self.attempts.len() + self.meta.len()
    }
}

/// Writes a QUEUE record into `out`, which has exactly its length.
pub(crate) fn put_queue(out: &mut [u8], ordinal: u32, record: &QueueRecord<'_>) {
    put_prefix(out, TYPE_QUEUE, ordinal);
    out[16] = match record.action {
        QueueAction::Create => 1,
        QueueAction::State => 2,
        QueueAction::Delete => 4,
    };
    out[17] = u8::from(record.transient);
    out[18..20].fill(0);
    LE::write_u32(&mut out[20..], disk_len(record.meta.len()));
    LE::write_u64(&mut out[24..], record.id.get());
    LE::write_u64(&mut out[32..], record.next_seq.get());
    LE::write_u64(&mut out[40..], record.floor.get());
    LE::write_u64(&mut out[48..], record.delivery_mark.get());
    LE::write_u32(&mut out[56..], disk_len(record.acked.len()));
    LE::write_u32(&mut out[60..], disk_len(record.redelivered.len()));
    LE::write_u32(&mut out[64..], disk_len(record.attempts.len()));
    LE::write_u32(&mut out[68..], 0);
    let mut at = QUEUE_HEADER_LEN;
    for part in [record.acked, record.redelivered, record.attempts, record.meta] {
        out[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
}

/// Writes a MARK into `out`: nothing happened, but what came before is covered.
pub(crate) fn put_mark(out: &mut [u8], ordinal: u32, wall_ms: u64) {
    put_prefix(out, TYPE_MARK, ordinal);
    LE::write_u64(&mut out[16..], wall_ms);
}

fn put_prefix(out: &mut [u8], record_type: u8, ordinal: u32) {
    LE::write_u32(&mut out[0..], 0);
    let len = disk_len(out.len());
    LE::write_u32(&mut out[4..], len);
    LE::write_u32(&mut out[8..], u32::from(record_type));
    LE::write_u32(&mut out[12..], ordinal);
}

/// Sets the checksums of all records in the payload of a block, whose first byte will stand at
/// `offset` of `segment`. That of a body is computed where it is zero: whoever encoded the record may have done it.
pub(crate) fn seal(payload: &mut [u8], salt: Salt, segment: SegmentNumber, offset: u64) {
    let sealed = seal_whole(payload, salt, segment, offset);
    assert_eq!(sealed, payload.len(), "a block has whole records");
}

/// Does as much to the records that `bytes` have whole, the first of them at `offset` of `segment`. Returns how many bytes these are.
pub(crate) fn seal_whole(bytes: &mut [u8], salt: Salt, segment: SegmentNumber, offset: u64) -> usize {
    // What the processor can do is asked once, not for each record.
    let fresh = crc32fast::Hasher::new();
    let mut at = 0;
    let mut place = offset;
    while let Some(len) = bytes.get(at + 4..at + 8).map(LE::read_u32).map(memory_len)
        && pad8(len) <= bytes.len() - at
    {
        seal_record(&mut bytes[at..at + len], salt.at(segment, place), &fresh);
        at += pad8(len);
        place += u64::from(disk_len(pad8(len)));
    }
    at
}

fn seal_record(record: &mut [u8], key: u32, fresh: &crc32fast::Hasher) {
    let crc_of = |bytes: &[u8]| {
        let mut hasher = fresh.clone();
        hasher.update(bytes);
        hasher.finalize()
    };
    let covered = match message::own_checksum(record) {
        Some(own) => {
            if LE::read_u32(&record[own.at..]) == 0 {
                let body_crc = crc_of(&record[own.body_at..]);
                LE::write_u32(&mut record[own.at..], body_crc);
            }
            own.body_at
        }
        None => record.len(),
    };
    let crc = crc_of(&record[4..covered]) ^ key;
    LE::write_u32(record, crc);
}

/// Whether the checksums of `record`, which stands at `offset` of `segment`, are right.
pub(crate) fn is_intact(record: &[u8], salt: Salt, segment: SegmentNumber, offset: u64) -> bool {
    if record.len() < PREFIX_LEN {
        return false;
    }
    let own = message::own_checksum(record);
    let covered = own.as_ref().map_or(record.len(), |own| own.body_at);
    crc32fast::hash(&record[4..covered]) ^ salt.at(segment, offset) == LE::read_u32(record)
        && own.is_none_or(|own| crc32fast::hash(&record[own.body_at..]) == LE::read_u32(&record[own.at..]))
}

/// One record, read in place. What its lengths say was checked against the bytes that are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Record<'a> {
    Message(MessageRecord<'a>),
    Ranges { kind: RangesKind, ranges: Ranges<'a> },
    Queue(QueueRecord<'a>),
    Mark { wall_ms: u64 },
}

/// A list of ranges, read in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ranges<'a>(&'a [u8]);

impl<'a> Ranges<'a> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range> + 'a {
        self.0.chunks_exact(RANGE_LEN).map(|bytes| Range {
            queue: QueueId::new(LE::read_u64(&bytes[0..])),
            first: Seq::new(LE::read_u64(&bytes[8..])),
            count: LE::read_u64(&bytes[16..]),
        })
    }
}

/// Bytes of the shortest record.
pub(crate) const MARK_BYTES: u64 = 24;

/// The length that the record at the beginning of `bytes` claims to have.
pub(crate) fn claimed_len(bytes: &[u8]) -> u64 {
    u64::from(LE::read_u32(&bytes[4..]))
}

/// Length and ordinal of the record that begins at `bytes`, if that much can be one at all.
pub(crate) fn peek(bytes: &[u8]) -> Option<(usize, u32)> {
    if bytes.len() < PREFIX_LEN {
        return None;
    }
    let len = memory_len(LE::read_u32(&bytes[4..]));
    (len >= PREFIX_LEN && len <= bytes.len()).then(|| (len, LE::read_u32(&bytes[12..])))
}

/// Reads a record of exactly these bytes. `None` when they make no sense, which a record that
/// [`is_intact`] never does.
pub(crate) fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    if bytes.len() < MARK_LEN {
        return None;
    }
    match bytes[8] {
        record_type if message::is_message(record_type) => {
            message::decode_message(bytes).map(Record::Message)
        }
        TYPE_ACK => ranges(bytes, RangesKind::Ack(AckReason::from_byte(bytes[20])?)),
        TYPE_REQUEUE => ranges(bytes, RangesKind::Requeue),
        TYPE_DELIVERED => ranges(bytes, RangesKind::Delivered),
        TYPE_SKIP => ranges(bytes, RangesKind::Skip),
        TYPE_QUEUE => decode_queue(bytes).map(Record::Queue),
        TYPE_MARK => (bytes.len() == MARK_LEN).then(|| Record::Mark {
            wall_ms: LE::read_u64(&bytes[16..]),
        }),
        _ => None,
    }
}

fn ranges(bytes: &[u8], kind: RangesKind) -> Option<Record<'_>> {
    let count = memory_len(LE::read_u32(&bytes[16..]));
    (bytes.len() == RANGES_HEADER_LEN.checked_add(RANGE_LEN.checked_mul(count)?)?).then(|| Record::Ranges {
        kind,
        ranges: Ranges(&bytes[RANGES_HEADER_LEN..]),
    })
}

fn decode_queue(bytes: &[u8]) -> Option<QueueRecord<'_>> {
    if bytes.len() < QUEUE_HEADER_LEN {
        return None;
    }
    let part = |at: usize| memory_len(LE::read_u32(&bytes[at..]));
    let acked_end = QUEUE_HEADER_LEN.checked_add(part(56))?;
    let redelivered_end = acked_end.checked_add(part(60))?;
    let attempts_end = redelivered_end.checked_add(part(64))?;
    if attempts_end.checked_add(part(20))? != bytes.len() {
        return None;
    }
    Some(QueueRecord {
        action: match bytes[16] {
            1 => QueueAction::Create,
            2 => QueueAction::State,
            4 => QueueAction::Delete,
            _ => return None,
        },
        transient: bytes[17] != 0,
        id: QueueId::new(LE::read_u64(&bytes[24..])),
        next_seq: Seq::new(LE::read_u64(&bytes[32..])),
        floor: Seq::new(LE::read_u64(&bytes[40..])),
        delivery_mark: Seq::new(LE::read_u64(&bytes[48..])),
        acked: &bytes[QUEUE_HEADER_LEN..acked_end],
        redelivered: &bytes[acked_end..redelivered_end],
        attempts: &bytes[redelivered_end..attempts_end],
        meta: &bytes[attempts_end..],
    })
}

#[cfg(test)]
mod tests;
