//! The records of a block, the sound ones and what stands between them.
//!
//! Invariants:
//! - A record counts only when its checksums hold at its place; records behind a damaged one are found by trying
//!   every 8 bytes, as recovery does.

use super::finding::Part;
use crate::checksum::Salt;
use crate::format::block::{BlockHeader, HEADER_LEN};
use crate::format::{byte_count, memory_len, pad8, record};
use crate::ids::SegmentNumber;
use std::ops::Range;

/// Where bytes of the journal stand, and what their checksums are bound to.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub salt: Salt,
    pub segment: SegmentNumber,
    /// Offset in the file of the first byte.
    pub offset: u64,
}

/// What a block or a stretch without a header holds; positions count from its first byte.
#[derive(Default)]
pub(super) struct Contents {
    pub records: Vec<Range<usize>>,
    pub faults: Vec<Fault>,
}

/// Bytes that are not what they should be.
pub(super) struct Fault {
    pub range: Range<usize>,
    pub part: Part,
    /// Whether recovery takes the block for a damaged one because of it.
    pub weight: Weight,
}

/// How recovery takes a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// The block is damaged.
    Damages,
    /// It reads no such bytes.
    Unread,
}

impl Contents {
    /// Whether recovery takes the block for a whole one.
    pub(super) fn is_whole(&self) -> bool {
        self.faults.iter().all(|fault| fault.weight == Weight::Unread)
    }

    /// The contents of a whole block, whose header is sound.
    pub(super) fn of_block(header: &BlockHeader, block: &[u8], place: Place) -> Self {
        let mut contents = Self::default();
        let end = HEADER_LEN + memory_len(header.payload_len);
        let mut at = HEADER_LEN;
        let mut ordinal = 0;
        while at < end {
            match sound(&block[at..end], place, at) {
                Some((len, found)) if found == ordinal => {
                    contents.records.push(at..at + len);
                    contents.expect_zeros(block, at + len..end.min(at + pad8(len)), Weight::Unread);
                    at += pad8(len);
                    ordinal += 1;
                }
                _ => {
                    let next = (at + 8..end)
                        .step_by(8)
                        .find_map(|next| Some((next, sound(&block[next..end], place, next)?.1)))
                        .filter(|(_, found)| *found > ordinal);
                    let to = next.map_or(end, |(next, _)| next);
                    contents.damaged(at..to, Part::Record);
                    at = to;
                    ordinal = next.map_or(header.record_count, |(_, found)| found);
                }
            }
        }
        if ordinal != header.record_count && contents.is_whole() {
            contents.damaged(HEADER_LEN..end.max(HEADER_LEN + 1), Part::Record);
        }
        contents.expect_zeros(block, end..block.len(), Weight::Damages);
        contents
    }

    /// The sound records in a stretch that has no header.
    pub(super) fn of_stretch(bytes: &[u8], place: Place) -> Self {
        let mut contents = Self::default();
        let mut at = 0;
        while at < bytes.len() {
            let plausible = |(_, ordinal): &(usize, u32)| memory_len(*ordinal) <= bytes.len() / 16;
            match sound(&bytes[at..], place, at).filter(plausible) {
                Some((len, _)) => {
                    contents.records.push(at..at + len);
                    at += pad8(len);
                }
                None => at += 8,
            }
        }
        contents
    }

    fn damaged(&mut self, range: Range<usize>, part: Part) {
        let weight = Weight::Damages;
        self.faults.push(Fault { range, part, weight });
    }

    fn expect_zeros(&mut self, block: &[u8], range: Range<usize>, weight: Weight) {
        let zeros = &block[range.clone()];
        let first = zeros.iter().position(|byte| *byte != 0);
        let last = zeros.iter().rposition(|byte| *byte != 0);
        if let (Some(first), Some(last)) = (first, last) {
            let range = range.start + first..range.start + last + 1;
            let part = Part::Padding;
            self.faults.push(Fault { range, part, weight });
        }
    }
}

/// Length and ordinal of the record that begins `bytes`, which stand `at` bytes behind `place`, if it is sound.
fn sound(bytes: &[u8], place: Place, at: usize) -> Option<(usize, u32)> {
    let (len, ordinal) = record::peek(bytes)?;
    // The checksum comes last: it costs the length, and any bytes can claim to be long.
    record::decode(&bytes[..len])?;
    let offset = place.offset + byte_count(at);
    record::is_intact(&bytes[..len], place.salt, place.segment, offset).then_some((len, ordinal))
}
