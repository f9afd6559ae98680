//! The header of a segment file (docs/format.md, "Segment header").

use crate::checksum::Salt;
use crate::format::VERSION;
use crate::ids::{Epoch, Lsn, SegmentNumber};
use crate::limits::SEGMENT_HEADER_BYTES;
use byteorder::{ByteOrder, LittleEndian as LE};

const MAGIC: u64 = u64::from_le_bytes(*b"LPSEGMT1");
const HEADER_LEN: usize = 4096;
const CRC_AT: usize = HEADER_LEN - 4;
const _: () = assert!(SEGMENT_HEADER_BYTES == 4096);

/// There may be compact messages in the segment.
const FEATURE_COMPACT: u64 = 1;
/// Feature bits that this code understands, and says of the segments that it writes. A segment with any other bit is refused.
const KNOWN_FEATURES: u64 = FEATURE_COMPACT;
const KIND_JOURNAL: u8 = 1;
const KIND_COLD: u8 = 2;

/// What the first 4096 bytes of a segment say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub number: SegmentNumber,
    pub first_lsn: Lsn,
    pub epoch: Epoch,
    pub uuid: u128,
    pub created_ms: u64,
    pub bytes: u64,
}

/// Why 4096 bytes are no segment header of this store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum HeaderProblem {
    /// Never written, torn, damaged, of another store or of another segment.
    Invalid,
    /// Sound, but written by a version that does things this one does not know.
    Unsupported { version: u32, features: u64 },
}

impl SegmentHeader {
    pub(crate) fn encode(&self, out: &mut [u8]) {
        assert!(out.len() == HEADER_LEN, "a segment header has a size of its own");
        out.fill(0);
        LE::write_u64(&mut out[0..], MAGIC);
        LE::write_u32(&mut out[8..], 4096);
        LE::write_u32(&mut out[12..], VERSION);
        LE::write_u64(&mut out[16..], KNOWN_FEATURES);
        out[24] = kind(self.number);
        LE::write_u64(&mut out[32..], self.number.get());
        LE::write_u64(&mut out[40..], self.first_lsn.get());
        LE::write_u64(&mut out[48..], self.epoch.get());
        LE::write_u128(&mut out[56..], self.uuid);
        LE::write_u64(&mut out[72..], self.created_ms);
        LE::write_u64(&mut out[80..], self.bytes);
        let crc = crc32fast::hash(&out[..CRC_AT]) ^ Salt::of(self.uuid).at(self.number, 0);
        LE::write_u32(&mut out[CRC_AT..], crc);
    }

    /// Reads the header of the segment that its file name says it is.
    pub(crate) fn decode(bytes: &[u8], expected: SegmentNumber) -> Result<Self, HeaderProblem> {
        if bytes.len() < HEADER_LEN || LE::read_u64(&bytes[0..]) != MAGIC {
            return Err(HeaderProblem::Invalid);
        }
        let header = Self {
            number: SegmentNumber::new(LE::read_u64(&bytes[32..])),
            first_lsn: Lsn::new(LE::read_u64(&bytes[40..])),
            epoch: Epoch::new(LE::read_u64(&bytes[48..])),
            uuid: LE::read_u128(&bytes[56..]),
            created_ms: LE::read_u64(&bytes[72..]),
            bytes: LE::read_u64(&bytes[80..]),
        };
        let crc = crc32fast::hash(&bytes[..CRC_AT]) ^ Salt::of(header.uuid).at(header.number, 0);
        if crc != LE::read_u32(&bytes[CRC_AT..]) || header.number != expected {
            return Err(HeaderProblem::Invalid);
        }
        let (version, features) = (LE::read_u32(&bytes[12..]), LE::read_u64(&bytes[16..]));
        if version != VERSION || features & !KNOWN_FEATURES != 0 || bytes[24] != kind(header.number) {
            return Err(HeaderProblem::Unsupported { version, features });
        }
        Ok(header)
    }

    /// Whether a header of this segment once stood here: most of what only it could say is still there.
    pub(crate) fn resembles(bytes: &[u8], store: u128, number: SegmentNumber) -> bool {
        let says = [
            LE::read_u64(&bytes[0..]) == MAGIC,
            LE::read_u64(&bytes[32..]) == number.get(),
            LE::read_u128(&bytes[56..]) == store,
        ];
        says.into_iter().filter(|said| *said).count() >= 2
    }

    /// Whether the bytes are the sound header of another segment: the file was used before, and not yet again.
    pub(crate) fn is_of_earlier_use(bytes: &[u8], number: SegmentNumber) -> bool {
        let claimed = SegmentNumber::new(LE::read_u64(&bytes[32..]));
        claimed != number && Self::decode(bytes, claimed).is_ok()
    }
}

const fn kind(number: SegmentNumber) -> u8 {
    if number.is_cold() { KIND_COLD } else { KIND_JOURNAL }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            number: SegmentNumber::new(7),
            first_lsn: Lsn::new(1 << 30),
            epoch: Epoch::new(3),
            uuid: 0x1234_5678,
            created_ms: 99,
            bytes: 65536,
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_golden_file() {
        let mut bytes = [0; HEADER_LEN];
        header().encode(&mut bytes);
        assert_eq!(
            bytes[..],
            include_bytes!("../../tests/golden/segment-header.bin")[..]
        );
    }

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        let mut bytes = [0; HEADER_LEN];
        header().encode(&mut bytes);
        assert_eq!(SegmentHeader::decode(&bytes, SegmentNumber::new(7)), Ok(header()));
    }

    #[test]
    fn a_cold_segment_says_so_in_its_header() {
        let cold = SegmentHeader {
            number: SegmentNumber::cold(7),
            first_lsn: SegmentNumber::cold(7).cold_first_lsn(),
            ..header()
        };
        let mut bytes = [0; HEADER_LEN];
        cold.encode(&mut bytes);
        assert_eq!((bytes[24], bytes[32], bytes[39]), (2, 7, 0x80));
        assert_eq!(SegmentHeader::decode(&bytes, cold.number), Ok(cold));
    }

    #[test]
    fn a_header_under_the_name_of_another_segment_is_invalid() {
        let mut bytes = [0; HEADER_LEN];
        header().encode(&mut bytes);
        assert_eq!(
            SegmentHeader::decode(&bytes, SegmentNumber::new(8)),
            Err(HeaderProblem::Invalid)
        );
    }

    #[test]
    fn each_flipped_byte_of_a_header_is_noticed() {
        let mut bytes = [0; HEADER_LEN];
        header().encode(&mut bytes);
        for at in 0..HEADER_LEN {
            bytes[at] ^= 0x40;
            assert!(
                SegmentHeader::decode(&bytes, SegmentNumber::new(7)).is_err(),
                "byte {at}"
            );
            bytes[at] ^= 0x40;
        }
    }
}
