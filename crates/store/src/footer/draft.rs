//! A footer while its segment is being filled.
//!
//! Invariants:
//! - The gists of all blocks since the segment's beginning are here, or nothing is.
//! - A draft is never larger than the allowed part of the blocks that it speaks of, but for the first blocks of a segment: where
//!   records are small it is given up there and then. So its memory is bounded, and small messages pay for a few blocks.

use crate::builder::SealedBlock;
use crate::format::footer::{ENTRY_LEN, FooterBlock, FooterHeader, HEADER_LEN, put_entry};
use crate::format::gist::{self, Gist, Gists, Kept};
use crate::format::packed::Context;
use crate::format::record::RangesKind;
use crate::format::{byte_count, memory_offset};
use crate::ids::{BlockNumber, Epoch, Lsn, SegmentNumber};
use crate::planted::{self, Planted};
use crate::segments::SegmentFile;

/// The first so-many-th of a segment decides as a whole whether its footer is worth collecting.
const FIRST_PART: u64 = 16;

/// What is collected of the segment that is being written. There is none once it was given up.
pub(crate) struct Draft {
    /// The footer, its header still open.
    bytes: Vec<u8>,
    /// What foretells the next gist.
    context: Context,
    /// The footer is to be at most the blocks' bytes divided by this.
    fraction: u64,
    /// What the first blocks count as.
    first_part: u64,
    /// Bytes of the blocks so far.
    block_bytes: u64,
    block_count: u32,
    previous_crc: u32,
    last: Last,
}

/// The newest block.
#[derive(Clone, Copy, Default)]
struct Last {
    lsn: Lsn,
    end: Lsn,
    number: BlockNumber,
    crc: u32,
    max_timestamp_ms: u64,
}

/// All that is to be said of a segment that takes no more blocks.
pub(crate) struct Finished {
    pub segment: SegmentNumber,
    first_lsn: Lsn,
    epoch: Epoch,
    /// The footer, its header still open.
    bytes: Vec<u8>,
    block_count: u32,
    previous_crc: u32,
    last: Last,
}

impl Draft {
    /// A draft for an empty segment with a file of so many bytes; `fraction` as in [`Options`](crate::Options).
    pub(crate) fn begin(fraction: u64, segment_bytes: u64) -> Option<Box<Self>> {
        (fraction > 0).then(|| {
            Box::new(Self {
                bytes: Vec::new(),
                context: Context::default(),
                fraction,
                first_part: segment_bytes / FIRST_PART,
                block_bytes: 0,
                block_count: 0,
                previous_crc: 0,
                last: Last::default(),
            })
        })
    }

    /// Adds what the footer says of the next block. `None` when the footer is not worth it.
    pub(crate) fn with(mut self: Box<Self>, block: &SealedBlock) -> Option<Box<Self>> {
        let header = &block.header;
        self.block_bytes += header.disk_len();
        let most = self.block_bytes.max(self.first_part) / self.fraction;
        self.add(block, memory_offset(most)).then(|| {
            if self.block_count == 0 {
                self.previous_crc = header.previous_crc;
            }
            self.block_count += 1;
            self.last = Last {
                lsn: header.lsn,
                end: header.end(),
                number: header.number,
                crc: block.header_crc,
                max_timestamp_ms: header.max_timestamp_ms,
            };
            self
        })
    }

    /// Appends the entry of a block; `false` when the footer would be larger than `most`.
    fn add(&mut self, block: &SealedBlock, most: usize) -> bool {
        let (bytes, context) = (&mut self.bytes, &mut self.context);
        context.clear();
        if bytes.is_empty() {
            bytes.resize(HEADER_LEN, 0);
        }
        let entry = bytes.len();
        bytes.resize(entry + ENTRY_LEN, 0);
        for (_, gist) in Gists::new(block.payload(), Kept::Records) {
            if planted::is(Planted::SkipAckInFooter) && is_ack(gist) {
                continue;
            }
            context.pack(gist, bytes);
            if bytes.len() > most {
                return false;
            }
        }
        let (entry, packed) = bytes[entry..].split_at_mut(ENTRY_LEN);
        let of_block = FooterBlock {
            offset: block.offset,
            crc: block.header_crc,
            record_count: block.header.record_count,
            packed,
        };
        put_entry(entry, &of_block);
        bytes.len() <= most
    }

    /// The segment is sealed. `None` when there is nothing in it.
    pub(crate) fn finish<F>(self, segment: &SegmentFile<F>) -> Option<Finished> {
        (self.block_count > 0).then_some(Finished {
            segment: segment.number,
            first_lsn: segment.first_lsn,
            epoch: segment.epoch,
            bytes: self.bytes,
            block_count: self.block_count,
            previous_crc: self.previous_crc,
            last: self.last,
        })
    }
}

fn is_ack(gist: &[u8]) -> bool {
    matches!(
        gist::decode(gist),
        Some(Gist::Ranges {
            kind: RangesKind::Ack(_),
            ..
        })
    )
}

impl Finished {
    /// Memory that waits to be written.
    pub(crate) fn memory(&self) -> u64 {
        byte_count(self.bytes.capacity())
    }

    /// The bytes of the footer.
    pub(crate) fn seal(self, store: u128) -> Vec<u8> {
        let Last {
            lsn,
            end,
            number,
            crc,
            max_timestamp_ms,
        } = self.last;
        let header = FooterHeader {
            segment: self.segment,
            first_lsn: self.first_lsn,
            epoch: self.epoch,
            store,
            end,
            last_lsn: lsn,
            last_block: number,
            last_crc: crc,
            previous_crc: self.previous_crc,
            max_timestamp_ms,
            block_count: self.block_count,
        };
        let mut bytes = self.bytes;
        header.seal(&mut bytes);
        bytes
    }
}
