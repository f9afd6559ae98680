//! One unit: records that follow each other, in memory or in a file.
//!
//! Invariant: the pieces of a unit in memory follow each other without a gap, from its first address to its end.
//!
//! Elsewhere: the order of units, and what they take together (`table`).

use super::piece::{Piece, PieceBytes};
use super::seal::Gate;
use super::slots::Slot;
use crate::disk::{AlignedBuf, Disk};
use crate::format::byte_count;
use crate::ids::{Lsn, SegmentNumber};
use crate::live::Live;
use crate::segments::SegmentFile;
use std::sync::Arc;

/// Where a unit is.
pub(super) enum Place<D: Disk> {
    Memory(Vec<Arc<Piece>>),
    /// In memory, and taken out for a moment.
    Sealing {
        gate: Gate,
        memory: u64,
    },
    File(Arc<SegmentFile<D::File>>, Slot),
}

pub(super) struct Unit<D: Disk> {
    pub(super) number: SegmentNumber,
    pub(super) first_lsn: Lsn,
    pub(super) end: Lsn,
    pub(super) live: Live,
    pub(super) place: Place<D>,
    /// The memory that it begins with.
    pub(super) memory_at_first: usize,
    /// Whether what lives in it can be moved; not when damage was met in it.
    pub(super) is_movable: bool,
    /// Whether it is on its way to a file.
    pub(super) is_leaving: bool,
}

impl<D: Disk> Unit<D> {
    pub(super) fn memory(&self) -> u64 {
        match &self.place {
            Place::Memory(pieces) => pieces.iter().map(|piece| piece.memory()).sum(),
            Place::Sealing { memory, .. } => *memory,
            Place::File(..) => 0,
        }
    }

    /// Memory that it will give back.
    pub(super) fn leaving(&self) -> u64 {
        if self.is_leaving { self.memory() } else { 0 }
    }

    pub(super) fn len(&self) -> u64 {
        self.end.get() - self.first_lsn.get()
    }

    /// Whether so little lives in it that moving that gives back more than half of `bytes`.
    pub(super) fn is_sparse(&self, bytes: u64) -> bool {
        self.is_movable && self.live.entries > 0 && self.live.bytes * 2 < bytes
    }

    /// Appends to the last piece, or makes one, of a spare if that is large enough, when somebody reads that. Returns how much
    /// more memory that takes.
    pub(super) fn append(&mut self, records: &[u8], spares: &mut Vec<AlignedBuf>, unit_bytes: usize) -> u64 {
        let Place::Memory(pieces) = &mut self.place else {
            unreachable!("the open unit is in memory");
        };
        self.end = self.end.plus(byte_count(records.len()));
        if let Some(piece) = pieces.last_mut().and_then(Arc::get_mut) {
            let before = piece.memory();
            piece.bytes.extend(records, unit_bytes);
            return piece.memory() - before;
        }
        let first_lsn = pieces.last().map_or(self.first_lsn, |piece| piece.end());
        let bytes = if pieces.is_empty() {
            let capacity = records.len().max(self.memory_at_first);
            let spare = spares.pop_if(|spare| spare.capacity() >= capacity);
            let mut bytes = spare.unwrap_or_else(|| AlignedBuf::with_capacity(capacity));
            bytes.extend_from_slice(records);
            PieceBytes::Sectors(bytes)
        } else {
            PieceBytes::Exact(records.to_vec())
        };
        let piece = Piece { first_lsn, bytes };
        let memory = piece.memory();
        pieces.push(Arc::new(piece));
        memory
    }

    /// Nothing more comes: the pieces become one, and none takes much more memory than it needs.
    pub(super) fn close(&mut self) {
        let Place::Memory(pieces) = &mut self.place else {
            return;
        };
        if let [piece] = pieces.as_mut_slice()
            && let Some(piece) = Arc::get_mut(piece)
        {
            piece.bytes.fit();
            return;
        }
        let mut bytes = AlignedBuf::with_capacity(pieces.iter().map(|piece| piece.bytes().len()).sum());
        for piece in pieces.iter() {
            bytes.extend_from_slice(piece.bytes());
        }
        let bytes = PieceBytes::Sectors(bytes);
        let first_lsn = self.first_lsn;
        *pieces = vec![Arc::new(Piece { first_lsn, bytes })];
    }

    /// Begins anew behind what died; memory that nobody reads is used again.
    pub(super) fn begin_anew(&mut self) {
        self.first_lsn = self.end;
        let Place::Memory(pieces) = &mut self.place else {
            return;
        };
        pieces.truncate(1);
        match pieces.last_mut().and_then(Arc::get_mut) {
            Some(Piece {
                first_lsn,
                bytes: PieceBytes::Sectors(bytes),
            }) => {
                *first_lsn = self.end;
                bytes.clear();
            }
            _ => pieces.clear(),
        }
    }
}
