//! Records that follow each other, in memory.
//!
//! Invariant: the first piece of a unit lies in memory that can be written past the page cache, and so does the only one of a closed unit.
//! What follows while somebody reads the first takes no more than it needs: it is merged with that when the unit is closed.

use crate::disk::AlignedBuf;
use crate::format::byte_count;
use crate::ids::Lsn;

/// See the module's description.
pub(crate) struct Piece {
    pub(super) first_lsn: Lsn,
    pub(super) bytes: PieceBytes,
}

/// The memory of a piece.
pub(super) enum PieceBytes {
    /// In whole sectors.
    Sectors(AlignedBuf),
    /// As much as is needed, but for growing.
    Exact(Vec<u8>),
}

impl PieceBytes {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Sectors(bytes) => bytes,
            Self::Exact(bytes) => bytes,
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Sectors(bytes) => bytes.capacity(),
            Self::Exact(bytes) => bytes.capacity(),
        }
    }

    /// Appends records. Memory in sectors is doubled when it is full, but not beyond what a unit holds.
    pub(super) fn extend(&mut self, records: &[u8], unit_bytes: usize) {
        match self {
            Self::Sectors(bytes) => {
                let needed = bytes.len() + records.len();
                if needed > bytes.capacity() {
                    let doubled = bytes.capacity().saturating_mul(2).min(unit_bytes);
                    *bytes = moved(bytes, needed.max(doubled));
                }
                bytes.extend_from_slice(records);
            }
            Self::Exact(bytes) => bytes.extend_from_slice(records),
        }
    }

    /// Gives back what was asked for and not used. Memory that fits to a quarter, as a full unit's does, stays: it is used again as it is.
    pub(super) fn fit(&mut self) {
        if let Self::Sectors(bytes) = self
            && bytes.capacity() - bytes.len() > bytes.capacity() / 4
            && AlignedBuf::capacity_for(bytes.len()) < bytes.capacity()
        {
            *bytes = moved(bytes, bytes.len());
        }
    }
}

fn moved(bytes: &AlignedBuf, capacity: usize) -> AlignedBuf {
    let mut moved = AlignedBuf::with_capacity(capacity);
    moved.extend_from_slice(bytes);
    moved
}

impl Piece {
    /// The records, from the first byte on.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.bytes()
    }

    /// Where they begin.
    pub(crate) const fn first_lsn(&self) -> Lsn {
        self.first_lsn
    }

    /// The `len` bytes at `lsn`, when they lie here.
    pub(crate) fn at(&self, lsn: Lsn, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(lsn.get().checked_sub(self.first_lsn.get())?).ok()?;
        self.bytes().get(start..start.checked_add(len)?)
    }

    /// Whether the byte at `lsn` lies here.
    pub(crate) fn contains(&self, lsn: Lsn) -> bool {
        self.at(lsn, 1).is_some()
    }

    /// The records of a sealed piece and the zeros that fill up their last sector.
    pub(crate) fn sectors(&self) -> &[u8] {
        match &self.bytes {
            PieceBytes::Sectors(bytes) => bytes.sectors(),
            PieceBytes::Exact(_) => unreachable!("a sealed piece lies in whole sectors"),
        }
    }

    pub(super) fn end(&self) -> Lsn {
        self.first_lsn.plus(byte_count(self.bytes().len()))
    }

    /// Memory that it takes.
    pub(super) fn memory(&self) -> u64 {
        byte_count(self.bytes.capacity())
    }
}
