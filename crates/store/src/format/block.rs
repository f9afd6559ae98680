//! The header of a block: one commit, from one 4096-byte boundary to another
//! (docs/format.md, "Block header").
//!
//! Invariants:
//! - A block is valid only at the place that its lsn, segment and checksum name.
//! - Padding behind the records is zero, and is checked.

use crate::checksum::Salt;
use crate::format::{memory_len, memory_offset};
use crate::ids::{BlockNumber, Epoch, Lsn, SegmentNumber};
use crate::limits::{ALIGNMENT, BLOCK_HEADER_BYTES};
use byteorder::{ByteOrder, LittleEndian as LE};

const MAGIC: u64 = u64::from_le_bytes(*b"LPBLOCK1");
/// Size of the header in memory terms.
pub(crate) const HEADER_LEN: usize = 128;
const _: () = assert!(BLOCK_HEADER_BYTES == 128);

/// What the first 128 bytes of a block say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockHeader {
    pub segment: SegmentNumber,
    pub lsn: Lsn,
    pub number: BlockNumber,
    /// All of the log below this address was synced when the block was built.
    pub durable_lsn: Lsn,
    /// The checksum of the header before this one in the log: a chain.
    pub previous_crc: u32,
    /// Bytes of records behind the header, padding not counted.
    pub payload_len: u32,
    pub record_count: u32,
    pub epoch: Epoch,
    pub max_timestamp_ms: u64,
}

impl BlockHeader {
    /// Bytes of the block on disk, padding included.
    pub(crate) fn disk_len(&self) -> u64 {
        (BLOCK_HEADER_BYTES + u64::from(self.payload_len)).next_multiple_of(ALIGNMENT)
    }

    /// Where the next block of the same segment begins.
    pub(crate) fn end(&self) -> Lsn {
        self.lsn.plus(self.disk_len())
    }

    /// Writes the header and returns its checksum, which the next block names.
    pub(crate) fn encode(&self, salt: Salt, offset: u64, out: &mut [u8]) -> u32 {
        let out = &mut out[..HEADER_LEN];
        out.fill(0);
        LE::write_u64(&mut out[0..], MAGIC);
        LE::write_u64(&mut out[16..], self.segment.get());
        LE::write_u64(&mut out[24..], self.lsn.get());
        LE::write_u64(&mut out[32..], self.number.get());
        LE::write_u64(&mut out[40..], self.durable_lsn.get());
        LE::write_u32(&mut out[48..], self.previous_crc);
        LE::write_u32(&mut out[52..], self.payload_len);
        LE::write_u32(&mut out[56..], self.record_count);
        LE::write_u64(&mut out[64..], self.epoch.get());
        LE::write_u64(&mut out[72..], self.max_timestamp_ms);
        // Bytes 80 to 92 are the batch id and its flags: 0, for a batch never spans blocks yet.
        let crc = crc32fast::hash(&out[12..]) ^ salt.at(self.segment, offset);
        LE::write_u32(&mut out[8..], crc);
        crc
    }

    /// Reads a header that stands at `offset` of `segment`, whose first lsn is `first_lsn`.
    /// `None` when there is none: never written, torn, damaged, or left over from an earlier use.
    pub(crate) fn decode(
        bytes: &[u8],
        salt: Salt,
        segment: SegmentNumber,
        first_lsn: Lsn,
        offset: u64,
    ) -> Option<(Self, u32)> {
        let bytes = bytes.get(..HEADER_LEN)?;
        if LE::read_u64(&bytes[0..]) != MAGIC {
            return None;
        }
        let crc = LE::read_u32(&bytes[8..]);
        if crc != crc32fast::hash(&bytes[12..]) ^ salt.at(segment, offset) {
            return None;
        }
        let header = Self {
            segment: SegmentNumber::new(LE::read_u64(&bytes[16..])),
            lsn: Lsn::new(LE::read_u64(&bytes[24..])),
            number: BlockNumber::new(LE::read_u64(&bytes[32..])),
            durable_lsn: Lsn::new(LE::read_u64(&bytes[40..])),
            previous_crc: LE::read_u32(&bytes[48..]),
            payload_len: LE::read_u32(&bytes[52..]),
            record_count: LE::read_u32(&bytes[56..]),
            epoch: Epoch::new(LE::read_u64(&bytes[64..])),
            max_timestamp_ms: LE::read_u64(&bytes[72..]),
        };
        let in_place = header.segment == segment && header.lsn == first_lsn.plus(offset);
        in_place.then_some((header, crc))
    }

    /// Reads a header of `segment` at `offset` whose first lsn nobody knows; returns that too.
    pub(crate) fn identify(
        bytes: &[u8],
        salt: Salt,
        segment: SegmentNumber,
        offset: u64,
    ) -> Option<(Self, Lsn)> {
        let claimed_lsn = LE::read_u64(&bytes[24..]);
        let first_lsn = Lsn::new(claimed_lsn.checked_sub(offset)?);
        let (header, _) = Self::decode(bytes, salt, segment, first_lsn, offset)?;
        Some((header, first_lsn))
    }

    /// The same for a header in which one bit has flipped: the checksum tells which one it was.
    pub(crate) fn identify_mended(
        bytes: &[u8],
        salt: Salt,
        segment: SegmentNumber,
        offset: u64,
    ) -> Option<(Self, Lsn)> {
        let was_header = LE::read_u64(&bytes[0..]) == MAGIC || LE::read_u64(&bytes[16..]) == segment.get();
        let mut mended: [u8; HEADER_LEN] = bytes.get(..HEADER_LEN)?.try_into().ok()?;
        let mut bits = (0..HEADER_LEN * 8).filter(|_| was_header);
        bits.find_map(|bit| {
            mended[bit / 8] ^= 1 << (bit % 8);
            let found = Self::identify(&mended, salt, segment, offset);
            mended[bit / 8] ^= 1 << (bit % 8);
            found
        })
    }

    /// Whether a header of this place once stood here: most of what only it could say is still there.
    pub(crate) fn resembles(bytes: &[u8], segment: SegmentNumber, lsn: Lsn) -> bool {
        let says = [
            LE::read_u64(&bytes[0..]) == MAGIC,
            LE::read_u64(&bytes[16..]) == segment.get(),
            LE::read_u64(&bytes[24..]) == lsn.get(),
        ];
        says.into_iter().filter(|said| *said).count() >= 2
    }

    /// The records of a whole block, when the padding behind them is zero as it must be.
    pub(crate) fn records<'a>(&self, block: &'a [u8]) -> Option<&'a [u8]> {
        let end = HEADER_LEN + memory_len(self.payload_len);
        let padding = block.get(end..memory_offset(self.disk_len()))?;
        padding
            .iter()
            .all(|byte| *byte == 0)
            .then(|| &block[HEADER_LEN..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BlockHeader {
        BlockHeader {
            segment: SegmentNumber::new(2),
            lsn: Lsn::new(65536 + 8192),
            number: BlockNumber::new(9),
            durable_lsn: Lsn::new(65536 + 4096),
            previous_crc: 77,
            payload_len: 4096,
            record_count: 3,
            epoch: Epoch::new(1),
            max_timestamp_ms: 5,
        }
    }

    #[test]
    fn a_header_reads_back_only_at_its_own_place() {
        let salt = Salt::of(42);
        let mut bytes = [0; HEADER_LEN];
        let crc = header().encode(salt, 8192, &mut bytes);
        let decode = |segment, first, offset| {
            BlockHeader::decode(&bytes, salt, SegmentNumber::new(segment), Lsn::new(first), offset)
        };
        assert_eq!(decode(2, 65536, 8192), Some((header(), crc)));
        assert_eq!(decode(3, 65536, 8192), None);
        assert_eq!(decode(2, 65536 + 4096, 4096), None);
        assert_eq!(
            BlockHeader::decode(&bytes, Salt::of(43), SegmentNumber::new(2), Lsn::new(65536), 8192),
            None
        );
    }

    #[test]
    fn a_header_with_one_flipped_bit_still_says_where_its_segment_begins() {
        let (salt, segment) = (Salt::of(42), SegmentNumber::new(2));
        let mut bytes = [0; HEADER_LEN];
        header().encode(salt, 8192, &mut bytes);
        for bit in 0..HEADER_LEN * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BlockHeader::identify(&bytes, salt, segment, 8192), None);
            let mended = BlockHeader::identify_mended(&bytes, salt, segment, 8192);
            assert_eq!(mended, Some((header(), Lsn::new(65536))));
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        bytes[40] ^= 3;
        assert_eq!(BlockHeader::identify_mended(&bytes, salt, segment, 8192), None);
    }

    #[test]
    fn a_block_ends_on_the_boundary_behind_its_records() {
        assert_eq!(header().disk_len(), 8192);
        assert_eq!(
            BlockHeader {
                payload_len: 4096 - 128,
                ..header()
            }
            .disk_len(),
            4096
        );
    }

    #[test]
    fn padding_that_is_not_zero_is_damage() {
        let header = BlockHeader {
            payload_len: 8,
            ..header()
        };
        let mut block = vec![0; 4096];
        assert!(header.records(&block).is_some());
        block[4095] = 1;
        assert!(header.records(&block).is_none());
    }
}
