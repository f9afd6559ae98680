//! A segment that is held, block by block, and the places of a queue's messages in it.

use crate::checksum::Salt;
use crate::disk::Disk;
use crate::format::message::{self, MessageRecord, Persistence};
use crate::format::record;
use crate::format::{byte_count, disk_len, pad8};
use crate::ids::{Lsn, QueueId, SegmentNumber};
use crate::limits::{ALIGNMENT, BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::segment_view::{SegmentView, Verdict};
use crate::segments::{Pin, Segment, SegmentFile};
use std::io;
use std::sync::Arc;

/// A segment that is not recycled while this is there.
pub(crate) struct HeldSegment<D: Disk> {
    pub file: Arc<SegmentFile<D::File>>,
    /// Where its blocks end.
    pub end: Lsn,
    _pin: Pin,
}

impl<D: Disk> HeldSegment<D> {
    /// To be called under the shard's lock.
    pub(crate) fn new(segment: &Segment<D::File>) -> Self {
        Self {
            file: Arc::clone(&segment.file),
            end: segment.end,
            _pin: segment.file.pin(),
        }
    }
}

/// Where a message of a queue lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub seq: u64,
    pub lsn: Lsn,
    /// Bytes of its record.
    pub len: u32,
    pub is_transient: bool,
}

/// The valid blocks of a segment, one after the other. Damaged ones are passed over.
pub(crate) struct Blocks<D: Disk> {
    held: HeldSegment<D>,
    view: SegmentView<D::File>,
    at: Lsn,
}

impl<D: Disk> Blocks<D> {
    pub(crate) fn new(held: HeldSegment<D>, salt: Salt) -> Self {
        Self {
            view: SegmentView::new(Arc::clone(&held.file), salt, None, held.end),
            at: held.file.first_lsn.plus(SEGMENT_HEADER_BYTES),
            held,
        }
    }

    /// The segment, and the offset of the next block in it.
    pub(crate) fn position(&self) -> (SegmentNumber, u64) {
        (self.held.file.number, self.held.file.offset(self.at))
    }

    /// The records of the next block, and where they begin.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Lsn, &[u8])>> {
        while self.at < self.held.end {
            if let Verdict::Valid(header, _) = self.view.block(self.at)? {
                self.at = header.end();
                let lsn = header.lsn.plus(BLOCK_HEADER_BYTES);
                return Ok(Some((lsn, self.view.payload(&header)?)));
            }
            let next = self.view.next_header(self.at.plus(ALIGNMENT))?;
            self.at = next.unwrap_or(self.held.end);
        }
        Ok(None)
    }
}

/// The messages of a payload that begins at `lsn`: address, bytes of the record, contents.
pub(crate) fn messages(payload: &[u8], lsn: Lsn) -> impl Iterator<Item = (Lsn, u32, MessageRecord<'_>)> {
    let mut at = 0;
    let records = std::iter::from_fn(move || {
        let (len, _) = record::peek(payload.get(at..)?)?;
        let found = (lsn.plus(byte_count(at)), &payload[at..at + len]);
        at += pad8(len);
        Some(found)
    });
    records.filter_map(|(lsn, bytes)| Some((lsn, disk_len(bytes.len()), message::decode_message(bytes)?)))
}

/// The places of a queue's messages in a payload, one after the other.
pub(super) fn each_place(payload: &[u8], lsn: Lsn, queue: QueueId, mut take: impl FnMut(Place)) {
    for (lsn, len, message) in messages(payload, lsn) {
        let is_transient = message.persistence == Persistence::Transient;
        for reference in message.references().filter(|found| found.queue == queue) {
            let seq = reference.seq.get();
            take(Place {
                seq,
                lsn,
                len,
                is_transient,
            });
        }
    }
}
