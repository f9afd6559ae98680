//! Bodies that carry their number and prove that they are whole.

use crate::random::mix;

/// Least length of a numbered body.
pub const NUMBERED_BYTES_MIN: usize = 16;

/// The first 16 bytes of a numbered body: the number, then a mix of it, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered(pub u64);

impl Numbered {
    /// As bytes.
    #[inline]
    pub fn bytes(self) -> [u8; NUMBERED_BYTES_MIN] {
        let mut bytes = [0; NUMBERED_BYTES_MIN];
        bytes[..8].copy_from_slice(&self.0.to_le_bytes());
        bytes[8..].copy_from_slice(&mix(!self.0).to_le_bytes());
        bytes
    }

    /// The number of a body, or nothing if it is damaged.
    #[inline]
    pub fn of(body: &[u8]) -> Option<Self> {
        let first: [u8; NUMBERED_BYTES_MIN] = body.get(..NUMBERED_BYTES_MIN)?.try_into().ok()?;
        let number = u64::from_le_bytes(first[..8].try_into().ok()?);
        (Self(number).bytes() == first).then_some(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::Numbered;

    #[test]
    fn a_number_survives_its_bytes() {
        assert_eq!(Numbered::of(&Numbered(99).bytes()), Some(Numbered(99)));
    }

    #[test]
    fn damage_is_seen() {
        let mut bytes = Numbered(99).bytes();
        bytes[3] ^= 1;
        assert_eq!(Numbered::of(&bytes), None);
        assert_eq!(Numbered::of(&bytes[..15]), None);
    }
}
