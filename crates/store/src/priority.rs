//! The priority of a message, if somebody gave it one.
//!
//! Invariant: none is told from 0, also in records and index entries, which have a byte for it and a flag for a 0 that was given.
//! It is one number: two that are written apart and read together would make the processor wait for each message.

/// Which messages go first where that counts: see [`Shard::set_priorities`](crate::Shard::set_priorities).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Priority(u16);

/// A 0 that was given.
const ZERO: u16 = 0x100;

impl Priority {
    /// Nobody gave it one.
    pub const NONE: Self = Self(0);

    /// The one that it was given.
    #[must_use]
    pub const fn new(priority: u8) -> Self {
        Self::of_parts(priority, if priority == 0 { 1 } else { 0 })
    }

    /// The one that it was given.
    #[must_use]
    pub const fn get(self) -> Option<u8> {
        match self.0 {
            0 => None,
            _ => Some(self.byte()),
        }
    }

    /// From its byte, and 1 if a 0 in it was given.
    #[inline]
    pub(crate) const fn of_parts(byte: u8, zero_given: u8) -> Self {
        let [low, high] = [byte, zero_given];
        Self(u16::from_le_bytes([low, high]))
    }

    /// Its byte.
    #[inline]
    pub(crate) const fn byte(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// 1 if it is a 0 that was given.
    #[inline]
    pub(crate) const fn zero_given(self) -> u8 {
        self.0.to_le_bytes()[1]
    }

    /// Zero when both are the same.
    #[inline]
    pub(crate) const fn difference(self, other: Self) -> u16 {
        self.0 ^ other.0
    }
}

impl std::fmt::Debug for Priority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(formatter)
    }
}

const _: () = assert!(Priority::new(0).0 == ZERO && Priority::new(255).0 == 255);
