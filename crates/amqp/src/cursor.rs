//! Reads fields from the front of a payload.
//!
//! Invariants:
//! - A failed read takes nothing, and no length is believed before the octets are there.

use crate::decode_error::Malformed;
use crate::short_str::ShortStr;
use crate::table::Table;

/// The unread rest of a payload.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.rest.split_first_chunk::<N>() {
            Some((chunk, rest)) => {
                self.rest = rest;
                Ok(*chunk)
            }
            None => Err(self.truncated(N)),
        }
    }

    #[cold]
    fn truncated(&self, needed: usize) -> Malformed {
        Malformed::Truncated {
            needed: u64::try_from(needed).unwrap_or(u64::MAX),
            left: self.rest.len(),
        }
    }

    #[inline]
    pub fn octet(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[octet]| octet)
    }

    #[inline]
    pub fn short(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub fn long(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub fn long_long(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        match self.rest.split_at_checked(len) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.truncated(len)),
        }
    }

    #[inline]
    pub fn short_string(&mut self) -> Result<ShortStr<'a>, Malformed> {
        let start = self.rest;
        let len = usize::from(self.octet()?);
        let bytes = self.bytes(len).inspect_err(|_| self.rest = start)?;
        Ok(ShortStr::from_wire(bytes))
    }

    #[inline]
    pub fn long_string(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.rest;
        // Where usize has 16 bits no such slice exists, and the saturated length is refused as truncated.
        let len = usize::try_from(self.long()?).unwrap_or(usize::MAX);
        self.bytes(len).inspect_err(|_| self.rest = start)
    }

    /// A field table, validated in full.
    pub fn table(&mut self) -> Result<Table<'a>, Malformed> {
        let start = self.rest;
        let bytes = self.long_string()?;
        Table::parse(bytes).map_err(|error| {
            self.rest = start;
            error.into()
        })
    }

    /// Checks that nothing is left.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed::Trailing {
                left: self.rest.len(),
            })
        }
    }
}
