//! The footer of a sealed segment: the gists of its records, packed block by block (docs/format.md, "Footer").
//!
//! Invariants:
//! - A footer is valid for one segment of one store only: its checksum is bound to both and covers every byte.
//! - What was decoded is consistent: blocks rise, their packed gists fill the file exactly, the last one is the one that the header
//!   names.
//!
//! Elsewhere: how gists are packed (`packed`), who collects them (`footer`), whether the log still is what a footer says
//! (`recovery`).

use crate::checksum::Salt;
use crate::format::{byte_count, disk_len, memory_len};
use crate::ids::{BlockNumber, Epoch, Lsn, SegmentNumber};
use crate::limits::ALIGNMENT;
use byteorder::{ByteOrder, LittleEndian as LE};

const MAGIC: u64 = u64::from_le_bytes(*b"LPFOOTR2");
/// Bytes before the first block's.
pub(crate) const HEADER_LEN: usize = 128;
/// Bytes before the packed gists of each block.
pub(crate) const ENTRY_LEN: usize = 16;
const CRC_AT: usize = 8;
const COVERED_FROM: usize = 12;

/// What the first 128 bytes of a footer say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FooterHeader {
    pub segment: SegmentNumber,
    pub first_lsn: Lsn,
    pub epoch: Epoch,
    pub store: u128,
    /// Where the last block ends.
    pub end: Lsn,
    /// The address of the last block.
    pub last_lsn: Lsn,
    pub last_block: BlockNumber,
    /// The checksum of the last block's header.
    pub last_crc: u32,
    /// The checksum of the header before the first block, as that one names it.
    pub previous_crc: u32,
    /// Of all messages up to the last block.
    pub max_timestamp_ms: u64,
    pub block_count: u32,
}

/// What a footer says of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FooterBlock<'a> {
    /// Offset in the segment's file.
    pub offset: u64,
    /// The checksum of its header.
    pub crc: u32,
    pub record_count: u32,
    /// The gists of its records, packed.
    pub packed: &'a [u8],
}

impl FooterHeader {
    /// Writes the header into the first bytes of a footer of which everything else is complete.
    pub(crate) fn seal(&self, footer: &mut [u8]) {
        let payload = disk_len(footer.len() - HEADER_LEN);
        let out = &mut footer[..HEADER_LEN];
        out.fill(0);
        LE::write_u64(&mut out[0..], MAGIC);
        LE::write_u32(&mut out[12..], payload);
        LE::write_u64(&mut out[16..], self.segment.get());
        LE::write_u64(&mut out[24..], self.first_lsn.get());
        LE::write_u64(&mut out[32..], self.epoch.get());
        LE::write_u128(&mut out[40..], self.store);
        LE::write_u64(&mut out[56..], self.end.get());
        LE::write_u64(&mut out[64..], self.last_lsn.get());
        LE::write_u64(&mut out[72..], self.last_block.get());
        LE::write_u32(&mut out[80..], self.last_crc);
        LE::write_u32(&mut out[84..], self.previous_crc);
        LE::write_u64(&mut out[88..], self.max_timestamp_ms);
        LE::write_u32(&mut out[96..], self.block_count);
        let crc = checksum(footer, self.store, self.segment);
        LE::write_u32(&mut footer[CRC_AT..], crc);
    }

    /// Reads the header of exactly these bytes, once all of them are known to be a footer of this segment.
    pub(crate) fn decode(footer: &[u8], store: u128, segment: SegmentNumber) -> Option<Self> {
        if footer.len() < HEADER_LEN || LE::read_u64(&footer[0..]) != MAGIC {
            return None;
        }
        let header = Self {
            segment: SegmentNumber::new(LE::read_u64(&footer[16..])),
            first_lsn: Lsn::new(LE::read_u64(&footer[24..])),
            epoch: Epoch::new(LE::read_u64(&footer[32..])),
            store: LE::read_u128(&footer[40..]),
            end: Lsn::new(LE::read_u64(&footer[56..])),
            last_lsn: Lsn::new(LE::read_u64(&footer[64..])),
            last_block: BlockNumber::new(LE::read_u64(&footer[72..])),
            last_crc: LE::read_u32(&footer[80..]),
            previous_crc: LE::read_u32(&footer[84..]),
            max_timestamp_ms: LE::read_u64(&footer[88..]),
            block_count: LE::read_u32(&footer[96..]),
        };
        let is_whole = memory_len(LE::read_u32(&footer[12..])) == footer.len() - HEADER_LEN;
        let is_sound = checksum(footer, store, segment) == LE::read_u32(&footer[CRC_AT..]);
        let is_of_this = header.store == store && header.segment == segment;
        (is_whole && is_sound && is_of_this && header.agrees_with(footer)).then_some(header)
    }

    /// Whether the blocks are as many as the header says, in order, and the last one is the one that it names.
    fn agrees_with(&self, footer: &[u8]) -> bool {
        let (mut count, mut reached, mut used) = (0_u32, 0, HEADER_LEN);
        let mut last = None;
        for block in FooterBlocks::of(footer) {
            if !block.offset.is_multiple_of(ALIGNMENT) || block.offset <= reached {
                return false;
            }
            count = count.saturating_add(1);
            reached = block.offset;
            used += ENTRY_LEN + block.packed.len();
            last = Some((self.first_lsn.get().checked_add(block.offset), block.crc));
        }
        used == footer.len()
            && count == self.block_count
            && last == Some((Some(self.last_lsn.get()), self.last_crc))
            && self.end > self.last_lsn
    }
}

/// The blocks of a footer, in the order of the log.
pub(crate) struct FooterBlocks<'a>(&'a [u8]);

impl<'a> FooterBlocks<'a> {
    pub(crate) fn of(footer: &'a [u8]) -> Self {
        Self(footer.get(HEADER_LEN..).unwrap_or_default())
    }
}

impl<'a> Iterator for FooterBlocks<'a> {
    type Item = FooterBlock<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, rest) = self.0.split_at_checked(ENTRY_LEN)?;
        let (packed, rest) = rest.split_at_checked(memory_len(LE::read_u32(&entry[8..])))?;
        self.0 = rest;
        Some(FooterBlock {
            offset: u64::from(LE::read_u32(&entry[0..])),
            crc: LE::read_u32(&entry[4..]),
            record_count: LE::read_u32(&entry[12..]),
            packed,
        })
    }
}

/// Writes what stands before the packed gists of a block into `out`, which has exactly its length.
pub(crate) fn put_entry(out: &mut [u8], block: &FooterBlock<'_>) {
    let offset = u32::try_from(block.offset).expect("offsets in a segment fit in 32 bits");
    LE::write_u32(&mut out[0..], offset);
    LE::write_u32(&mut out[4..], block.crc);
    LE::write_u32(&mut out[8..], disk_len(block.packed.len()));
    LE::write_u32(&mut out[12..], block.record_count);
}

fn checksum(footer: &[u8], store: u128, segment: SegmentNumber) -> u32 {
    crc32fast::hash(&footer[COVERED_FROM..]) ^ Salt::of(store).at(segment, byte_count(CRC_AT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::message::{MessageParts, Origin, Persistence, record_of};
    use crate::format::packed::Context;
    use crate::format::record;

    const STORE: u128 = 0x1234_5678;
    const SEGMENT: SegmentNumber = SegmentNumber::new(7);

    fn header() -> FooterHeader {
        FooterHeader {
            segment: SEGMENT,
            first_lsn: Lsn::new(1 << 30),
            epoch: Epoch::new(3),
            store: STORE,
            end: Lsn::new((1 << 30) + 24576),
            last_lsn: Lsn::new((1 << 30) + 20480),
            last_block: BlockNumber::new(12),
            last_crc: 0x0bad_cafe,
            previous_crc: 0x00c0_ffee,
            max_timestamp_ms: 99,
            block_count: 2,
        }
    }

    fn message(ordinal: u32, body: &[u8]) -> Vec<u8> {
        let parts = MessageParts {
            origin: Origin::Published,
            persistence: Persistence::Persistent,
            priority: crate::Priority::new(4),
            message_id: 5 + u64::from(ordinal),
            timestamp_ms: 6,
            properties: &[b"p"],
            body: &[body],
        };
        let mut message = record_of(ordinal, &parts, &[(1, 10 + u64::from(ordinal), 0)]);
        message.truncate(crate::format::gist::len(&message).unwrap());
        message
    }

    /// A footer of a block with three messages of 5000 bytes, and of one with a MARK.
    fn footer() -> Vec<u8> {
        let mut mark = vec![0; record::MARK_LEN];
        record::put_mark(&mut mark, 0, 98);
        let messages = [
            message(0, &[7; 5000]),
            message(1, &[8; 5000]),
            message(2, &[9; 5000]),
        ];
        let mut bytes = vec![0; HEADER_LEN];
        for (offset, crc, gists) in [(4096, 0x0a0b_0c0d, &messages[..]), (20480, 0x0bad_cafe, &[mark])] {
            let (mut packed, mut context) = (Vec::new(), Context::default());
            gists.iter().for_each(|gist| context.pack(gist, &mut packed));
            let block = FooterBlock {
                offset,
                crc,
                record_count: disk_len(gists.len()),
                packed: &packed,
            };
            let mut entry = [0; ENTRY_LEN];
            put_entry(&mut entry, &block);
            bytes.extend_from_slice(&entry);
            bytes.extend_from_slice(&packed);
        }
        header().seal(&mut bytes);
        bytes
    }

    #[test]
    fn the_bytes_are_those_of_the_golden_file() {
        assert_eq!(footer(), include_bytes!("../../tests/golden/footer.bin"));
    }

    #[test]
    fn a_footer_reads_back_as_it_was_written() {
        let bytes = footer();
        assert_eq!(FooterHeader::decode(&bytes, STORE, SEGMENT), Some(header()));
        let blocks: Vec<_> = FooterBlocks::of(&bytes)
            .map(|block| (block.offset, block.crc, block.record_count, block.packed.len()))
            .collect();
        assert_eq!(
            blocks,
            [(4096, 0x0a0b_0c0d, 3, 1 + 44 + 14), (20480, 0x0bad_cafe, 1, 25)]
        );
    }

    #[test]
    fn a_footer_is_no_footer_of_another_segment_or_store() {
        let bytes = footer();
        assert_eq!(FooterHeader::decode(&bytes, STORE + 1, SEGMENT), None);
        assert_eq!(FooterHeader::decode(&bytes, STORE, SEGMENT.next()), None);
    }

    #[test]
    fn each_flipped_byte_and_each_missing_end_of_a_footer_is_noticed() {
        let mut bytes = footer();
        for at in 0..bytes.len() {
            bytes[at] ^= 0x40;
            assert_eq!(FooterHeader::decode(&bytes, STORE, SEGMENT), None, "byte {at}");
            bytes[at] ^= 0x40;
            assert_eq!(FooterHeader::decode(&bytes[..at], STORE, SEGMENT), None);
        }
    }

    #[test]
    fn a_footer_that_contradicts_itself_is_none_whatever_its_checksum() {
        let contradictions: [&dyn Fn(&mut FooterHeader); 4] = [
            &|header| header.block_count = 3,
            &|header| header.last_crc = 1,
            &|header| header.last_lsn = Lsn::new(u64::MAX),
            &|header| header.end = header.last_lsn,
        ];
        for contradict in contradictions {
            let (mut bytes, mut header) = (footer(), header());
            contradict(&mut header);
            header.seal(&mut bytes);
            assert_eq!(FooterHeader::decode(&bytes, STORE, SEGMENT), None);
        }
        // A block that reaches beyond the file.
        let mut bytes = footer();
        LE::write_u32(&mut bytes[HEADER_LEN + 8..], u32::MAX);
        header().seal(&mut bytes);
        assert_eq!(FooterHeader::decode(&bytes, STORE, SEGMENT), None);
    }
}
