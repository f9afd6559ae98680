//! A block while it is being filled: what is accepted, and not yet on its way to the disk.
//!
//! Invariants:
//! - The place of the block is not known yet, so checksums and header are open; `seal` closes them.
//! - Gaps between records and the padding at the end are zero, whatever the buffer held before.
//! - Acknowledgements, requeues and delivery marks are collected apart, merged where they touch, and
//!   written as one record each behind all messages when the block is closed.
//! - A block into which nothing but transient messages came is [`Fate::Unlogged`]: it is never written. What the log has to
//!   say of entries before those in it is then left out, too.

use crate::attempts::{Attempts, RANGE_MAX};
use crate::checksum::Salt;
use crate::disk::{AlignedBuf, Now};
use crate::encoded::EncodedMessages;
use crate::format::block::{BlockHeader, HEADER_LEN};
use crate::format::message::{self, MessageParts, MessageRecord, Persistence, Reference, Shape};
use crate::format::record::{self, AckReason, QueueRecord, Range, RangesKind};
use crate::format::{byte_count, disk_len, pad8};
use crate::ids::{BlockNumber, Epoch, Lsn, QueueId, SegmentNumber, Seq};
use crate::limits::ALIGNMENT;
use crate::planted::{self, Planted};
use crate::pool::BufferPool;
use std::sync::Arc;

/// What becomes of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It is written to the log.
    Logged,
    /// It is not: all in it ends with the process anyway.
    Unlogged,
}

/// A block that takes records.
pub(crate) struct BlockBuilder {
    number: BlockNumber,
    buf: AlignedBuf,
    record_count: u32,
    mark_count: u32,
    max_timestamp_ms: u64,
    acks: Vec<(AckReason, Range)>,
    requeues: Vec<(Attempts, Range)>,
    marks: Vec<Range>,
    /// Entries before those in this block that the log never held; said only if the block is written.
    skips: Vec<Range>,
    fate: Fate,
    /// Index pages that applying the block may take at most.
    pages: usize,
    /// Since when (monotonic ms) something waits that nobody is waiting for.
    lazy_since_ms: Option<u64>,
    urgent: bool,
}

impl BlockBuilder {
    pub(crate) fn new(number: BlockNumber, mut buf: AlignedBuf) -> Self {
        buf.clear();
        buf.resize_zeroed(HEADER_LEN);
        Self {
            number,
            buf,
            record_count: 0,
            mark_count: 0,
            max_timestamp_ms: 0,
            acks: Vec::new(),
            requeues: Vec::new(),
            marks: Vec::new(),
            skips: Vec::new(),
            fate: Fate::Unlogged,
            pages: 0,
            lazy_since_ms: None,
            urgent: false,
        }
    }

    /// A closed block with records that were encoded before.
    pub(crate) fn of_payload(
        number: BlockNumber,
        buf: AlignedBuf,
        payload: &[u8],
        record_count: u32,
    ) -> Self {
        let mut builder = Self::new(number, buf);
        builder.buf.extend_from_slice(payload);
        builder.record_count = record_count;
        builder.fate = Fate::Logged;
        builder.close(&mut BufferPool::new(0));
        builder
    }

    pub(crate) const fn number(&self) -> BlockNumber {
        self.number
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.record_count == 0 && self.acks.is_empty() && self.requeues.is_empty() && self.marks.is_empty()
    }

    /// What becomes of the block as it is now; an unlogged one may still become a logged one.
    pub(crate) const fn fate(&self) -> Fate {
        self.fate
    }

    /// Whether the closed block holds nothing but a MARK.
    pub(crate) const fn is_mark(&self) -> bool {
        self.mark_count == self.record_count
    }

    /// Index pages that applying the block may take at most.
    pub(crate) const fn pages(&self) -> usize {
        self.pages
    }

    pub(crate) const fn add_pages(&mut self, more: usize) {
        self.pages += more;
    }

    /// Whether somebody waits for this block.
    pub(crate) const fn is_urgent(&self) -> bool {
        self.urgent
    }

    pub(crate) const fn set_urgent(&mut self) {
        self.urgent = true;
    }

    /// Since when the oldest thing in here waits that nobody waits for.
    pub(crate) const fn lazy_since_ms(&self) -> Option<u64> {
        self.lazy_since_ms
    }

    /// Bytes that the block would have on disk if it were closed now.
    pub(crate) fn disk_len(&self) -> u64 {
        byte_count(self.buf.len() + self.lists_len()).next_multiple_of(ALIGNMENT)
    }

    /// Bytes that the block would have on disk with `more` bytes of records.
    pub(crate) fn disk_len_with(&self, more: usize) -> u64 {
        byte_count(self.buf.len() + self.lists_len() + pad8(more)).next_multiple_of(ALIGNMENT)
    }

    /// Upper bound of what the collected lists take when the block is closed.
    fn lists_len(&self) -> usize {
        let ranges = self.acks.len() + self.requeues.len() + self.marks.len() + self.skips.len();
        lists_len(ranges)
    }

    /// Appends a message of this shape, with these references.
    pub(crate) fn message(
        &mut self,
        shape: &Shape,
        parts: &MessageParts<'_>,
        references: &[Reference],
        pool: &mut BufferPool,
    ) {
        let ordinal = self.record_count;
        let out = self.open_record(shape.record_len(), pool);
        if planted::is(Planted::ForgetReferenceInFanOut) {
            message::put_message(out, ordinal, shape, parts, &without_third(references));
        } else {
            message::put_message(out, ordinal, shape, parts, references);
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(parts.timestamp_ms);
        if parts.persistence == Persistence::Persistent && !planted::is(Planted::LeavePersistentUnlogged) {
            self.fate = Fate::Logged;
        }
        self.urgent = true;
    }

    /// Appends persistent messages that were encoded before: takes their memory over if the block has nothing else and they are
    /// many, and copies them otherwise. Returns their records, to be completed, and the ordinal of the first.
    pub(crate) fn messages(
        &mut self,
        messages: &mut EncodedMessages,
        timestamp_ms: u64,
        pool: &mut BufferPool,
    ) -> (&mut [u8], u32) {
        let ordinal = self.record_count;
        let start = self.buf.len();
        self.record_count += disk_len(messages.count());
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        if !planted::is(Planted::LeavePersistentUnlogged) {
            self.fate = Fate::Logged;
        }
        self.urgent = true;
        let own = if start == HEADER_LEN {
            messages.take_block()
        } else {
            None
        };
        if let Some(block) = own {
            pool.give(std::mem::replace(&mut self.buf, block));
        } else {
            let end = start + messages.bytes().len();
            if end > self.buf.capacity() {
                self.grow(end, pool);
            }
            self.buf.extend_from_slice(messages.bytes());
        }
        (&mut self.buf[start..], ordinal)
    }

    /// Appends an evacuated message with those references that still live.
    pub(crate) fn copy(&mut self, message: &MessageRecord<'_>, kept: &[Reference], pool: &mut BufferPool) {
        let ordinal = self.record_count;
        let len = message::shape_of_copy(message, kept).record_len();
        message::put_copy(self.open_record(len, pool), ordinal, message, kept);
        self.fate = Fate::Logged;
        self.max_timestamp_ms = self.max_timestamp_ms.max(message.timestamp_ms);
    }

    /// Appends a QUEUE record.
    pub(crate) fn queue(&mut self, record: &QueueRecord<'_>, pool: &mut BufferPool) {
        let ordinal = self.record_count;
        record::put_queue(self.open_record(record.len(), pool), ordinal, record);
        self.fate = Fate::Logged;
        self.urgent = true;
    }

    /// Appends a MARK.
    pub(crate) fn mark(&mut self, now: Now, pool: &mut BufferPool) {
        let ordinal = self.record_count;
        record::put_mark(self.open_record(record::MARK_LEN, pool), ordinal, now.wall_ms);
        self.mark_count += 1;
        self.fate = Fate::Logged;
        self.urgent = true;
    }

    /// Adds a range of dead entries.
    pub(crate) fn ack(&mut self, reason: AckReason, range: Range, now: Now) {
        self.fate = Fate::Logged;
        self.lazy_since_ms.get_or_insert(now.mono_ms);
        if let Some((last_reason, last)) = self.acks.last_mut()
            && *last_reason == reason
            && extend(last, range)
        {
            return;
        }
        self.acks.push((reason, range));
    }

    /// Adds a range of entries that are ready again, and came back so often.
    pub(crate) fn requeue(&mut self, range: Range, attempts: Attempts, now: Now) {
        self.fate = Fate::Logged;
        self.lazy_since_ms.get_or_insert(now.mono_ms);
        if let Some((said, last)) = self.requeues.last_mut()
            && *said == attempts
            && last.count + range.count <= RANGE_MAX
            && extend(last, range)
        {
            return;
        }
        self.requeues.push((attempts, range));
    }

    /// Adds a delivery mark: entries below `mark` may be delivered once this block is durable.
    pub(crate) fn delivered(&mut self, queue: QueueId, mark: Seq) {
        self.fate = Fate::Logged;
        self.urgent = true;
        // A queue asks for its next mark only when the one before has arrived.
        self.marks.push(Range {
            queue,
            first: mark,
            count: 0,
        });
    }

    /// Should the block be written, it says that the log never held these entries.
    pub(crate) fn skip(&mut self, range: Range) {
        self.skips.push(range);
    }

    fn open_record(&mut self, len: usize, pool: &mut BufferPool) -> &mut [u8] {
        let start = self.buf.len();
        let end = start + pad8(len);
        if end > self.buf.capacity() {
            self.grow(end, pool);
        }
        self.buf.resize_stale(end);
        self.record_count += 1;
        let record = &mut self.buf[start..end];
        // No record is shorter than a word: what the last one has of it is written over.
        if let Some(padded) = record.last_chunk_mut::<8>() {
            *padded = [0; 8];
        }
        &mut record[..len]
    }

    fn grow(&mut self, end: usize, pool: &mut BufferPool) {
        let mut larger = pool.take(end.max(self.buf.capacity().saturating_mul(2)));
        larger.extend_from_slice(&self.buf);
        pool.give(std::mem::replace(&mut self.buf, larger));
    }

    /// Writes the collected lists as records; afterwards the length is final.
    pub(crate) fn close(&mut self, pool: &mut BufferPool) {
        let skips = std::mem::take(&mut self.skips);
        if self.fate == Fate::Unlogged {
            return;
        }
        if !planted::is(Planted::ForgetSkipped) {
            self.list(RangesKind::Skip, &skips, pool);
        }
        for reason in ACK_REASONS {
            let ranges: Vec<Range> = self
                .acks
                .iter()
                .filter(|(other, _)| *other == reason)
                .map(|(_, range)| *range)
                .collect();
            self.list(RangesKind::Ack(reason), &ranges, pool);
        }
        let requeues = std::mem::take(&mut self.requeues).into_iter();
        let requeues: Vec<Range> = requeues.map(|(attempts, range)| attempts.pack(range)).collect();
        self.list(RangesKind::Requeue, &requeues, pool);
        let marks = std::mem::take(&mut self.marks);
        self.list(RangesKind::Delivered, &marks, pool);
        self.acks.clear();
        // Padding of the last sector is zero, whatever the buffer held before.
        let end = self.buf.len();
        let padded = end.next_multiple_of(4096);
        if padded > self.buf.capacity() {
            self.grow(padded, pool);
        }
        self.buf.resize_zeroed(padded);
        self.buf.truncate(end);
    }

    fn list(&mut self, kind: RangesKind, ranges: &[Range], pool: &mut BufferPool) {
        if !ranges.is_empty() {
            let ordinal = self.record_count;
            record::put_ranges(
                self.open_record(record::ranges_len(ranges.len()), pool),
                ordinal,
                kind,
                ranges,
            );
        }
    }

    /// The records of a closed block that is not written, their checksums open.
    pub(crate) fn unlogged(&self) -> &[u8] {
        debug_assert!(self.fate == Fate::Unlogged);
        &self.buf[HEADER_LEN..]
    }

    /// The buffer, to be used again.
    pub(crate) fn into_buf(self) -> AlignedBuf {
        self.buf
    }

    /// Gives the closed block its place.
    pub(crate) fn place(self, place: Place) -> PlacedBlock {
        let header = BlockHeader {
            segment: place.segment,
            lsn: place.lsn,
            number: self.number,
            durable_lsn: place.durable_lsn,
            previous_crc: place.previous_crc,
            payload_len: disk_len(self.buf.len() - HEADER_LEN),
            record_count: self.record_count,
            epoch: place.epoch,
            max_timestamp_ms: self.max_timestamp_ms.max(place.max_timestamp_ms),
        };
        PlacedBlock {
            header,
            offset: place.offset,
            buf: self.buf,
        }
    }
}

/// The reasons of an ACK, in the order of their lists in a block.
const ACK_REASONS: [AckReason; 5] = [
    AckReason::Acked,
    AckReason::Expired,
    AckReason::Dropped,
    AckReason::Purged,
    AckReason::Rejected,
];

/// Most lists that a block has: one for each reason of an ACK, and one for each other kind.
pub(crate) const LISTS: usize = ACK_REASONS.len() + 3;

/// Upper bound of what so many ranges more take in a block, in whatever lists.
pub(crate) fn lists_len(ranges: usize) -> usize {
    if ranges == 0 {
        0
    } else {
        record::ranges_len(0) * LISTS + record::RANGE_LEN * ranges
    }
}

/// These references, the third and those behind it pointing nowhere: a planted bug.
fn without_third(references: &[Reference]) -> Vec<Reference> {
    let mut broken = references.to_vec();
    for reference in broken.iter_mut().skip(2) {
        (reference.queue, reference.seq) = (QueueId::new(0), Seq::new(0));
    }
    broken
}

fn extend(last: &mut Range, range: Range) -> bool {
    let touches = last.queue == range.queue && last.first.plus(last.count) == range.first;
    if touches {
        last.count += range.count;
    }
    touches
}

/// Where a block goes, and what its header says of the log before it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub segment: SegmentNumber,
    pub offset: u64,
    pub lsn: Lsn,
    pub durable_lsn: Lsn,
    pub previous_crc: u32,
    pub epoch: Epoch,
    pub max_timestamp_ms: u64,
}

/// A block with a place; its checksums are still open.
pub(crate) struct PlacedBlock {
    header: BlockHeader,
    offset: u64,
    buf: AlignedBuf,
}

impl PlacedBlock {
    /// Computes all checksums. The expensive part of a commit: done without any lock.
    pub(crate) fn seal(mut self, salt: Salt) -> SealedBlock {
        let header_len = byte_count(HEADER_LEN);
        record::seal(
            &mut self.buf[HEADER_LEN..],
            salt,
            self.header.segment,
            self.offset + header_len,
        );
        let header_crc = self.header.encode(salt, self.offset, &mut self.buf);
        let end = self.buf.len().next_multiple_of(4096);
        self.buf.resize_stale(end);
        SealedBlock {
            header: self.header,
            header_crc,
            offset: self.offset,
            buf: self.buf,
        }
    }
}

/// A finished block: exactly the bytes that stand, or will stand, on disk.
pub(crate) struct SealedBlock {
    pub(crate) header: BlockHeader,
    pub(crate) header_crc: u32,
    pub(crate) offset: u64,
    buf: AlignedBuf,
}

impl SealedBlock {
    /// The whole block, padding included.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buf
    }

    /// The records.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.buf[HEADER_LEN..HEADER_LEN + crate::format::memory_len(self.header.payload_len)]
    }

    /// The `len` bytes at `lsn`, when they lie in this block.
    pub(crate) fn at(&self, lsn: Lsn, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(lsn.get().checked_sub(self.header.lsn.get())?).ok()?;
        self.buf.get(start..start.checked_add(len)?)
    }

    /// Whether the byte at `lsn` is one of this block.
    pub(crate) fn contains(&self, lsn: Lsn) -> bool {
        lsn >= self.header.lsn && lsn.get() - self.header.lsn.get() < byte_count(self.buf.len())
    }

    /// Memory that this block holds.
    pub(crate) fn memory(&self) -> usize {
        self.buf.memory_bytes()
    }

    /// Gives the buffer back to the pool when nobody reads it any more.
    pub(crate) fn recycle(block: Arc<Self>, pool: &mut BufferPool) {
        if let Ok(block) = Arc::try_unwrap(block) {
            pool.give(block.buf);
        }
    }
}

#[cfg(test)]
mod tests;
