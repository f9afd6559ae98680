//! Checksums that bind bytes to their place.
//!
//! The stored value is crc32 of the bytes, XORed with a mix of store, segment and offset: bytes of
//! another store, of a recycled segment or of another place in the file never validate, and no
//! message body can pose as a header (docs/format.md, "Checksums").

use crate::ids::SegmentNumber;

/// Binds checksums to one store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Salt(u64);

impl Salt {
    /// The salt of the store with this uuid.
    #[must_use]
    pub const fn of(uuid: u128) -> Self {
        let [a, b] = split(uuid);
        Self(finalize(a ^ finalize(b)))
    }

    /// The value that a checksum at this place is XORed with.
    #[must_use]
    pub const fn at(self, segment: SegmentNumber, offset: u64) -> u32 {
        let mixed =
            finalize(self.0 ^ segment.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ offset.rotate_left(32));
        let [a, b, c, d, ..] = mixed.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

const fn split(uuid: u128) -> [u64; 2] {
    let [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7] = uuid.to_le_bytes();
    [
        u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
        u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
    ]
}

/// The finalizer of a 64-bit mixing function: each input bit reaches each output bit.
const fn finalize(mut x: u64) -> u64 {
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^= x >> 32;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_have_another_checksum_in_another_store_segment_or_place() {
        let here = Salt::of(1).at(SegmentNumber::new(1), 4096);
        assert_ne!(here, Salt::of(2).at(SegmentNumber::new(1), 4096));
        assert_ne!(here, Salt::of(1).at(SegmentNumber::new(2), 4096));
        assert_ne!(here, Salt::of(1).at(SegmentNumber::new(1), 4104));
    }
}
