//! A closed unit is made ready to be written: its checksums are computed where it lies, so that it need not be copied.
//!
//! Invariants:
//! - Nobody reads a piece while it changes: it is taken out of its unit meanwhile, and whoever asks for it waits for the millisecond that this takes.
//! - A piece that somebody reads is left as it is: who spills it copies it.
//! - To seal a record again changes nothing.

use super::{PANICLESS, Piece, Place, Table, Units};
use crate::checksum::Salt;
use crate::disk::{DIRECT_IO_ALIGNMENT, Disk};
use crate::format::record;
use crate::ids::SegmentNumber;
use std::sync::{Arc, Mutex, PoisonError};

/// A unit that is to be written.
pub(crate) enum Sealed {
    /// As it lies in memory.
    InPlace(Arc<Piece>),
    /// Somebody reads it: its checksums are to be computed in a copy.
    ToCopy(Arc<Piece>),
    /// It died, and nobody needs it.
    Gone,
}

/// Whoever finds a piece taken out waits here until it is back.
#[derive(Clone)]
pub(super) struct Gate(Arc<Mutex<()>>);

impl Gate {
    /// Waits until it is open.
    pub(super) fn pass(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl<D: Disk> Units<D> {
    /// Computes the checksums of a closed unit, and fills up its last sector.
    pub(crate) fn seal(&self, number: SegmentNumber, salt: Salt) -> Sealed {
        let gate = Gate(Arc::new(Mutex::new(())));
        let closed = gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.0.write().expect(PANICLESS).take_out(number, &gate);
        let mut piece = match taken {
            Ok(piece) => piece,
            Err(unchanged) => return unchanged,
        };
        record::seal(&mut piece.bytes, salt, number, 0);
        let len = piece.bytes.len();
        piece.bytes.pad_to(DIRECT_IO_ALIGNMENT);
        piece.bytes.truncate(len);
        let sealed = self.0.write().expect(PANICLESS).put_back(number, piece);
        drop(closed);
        sealed
    }
}

impl<D: Disk> Table<D> {
    fn take_out(&mut self, number: SegmentNumber, gate: &Gate) -> Result<Piece, Sealed> {
        let unit = self.index_of(number).map(|at| &mut self.list[at]);
        let Some(unit) = unit else {
            return Err(Sealed::Gone);
        };
        let memory = unit.memory();
        let Place::Memory(pieces) = &mut unit.place else {
            return Err(Sealed::Gone);
        };
        match pieces.pop().map(Arc::try_unwrap) {
            Some(Ok(piece)) => {
                unit.place = Place::Sealing(gate.clone(), memory);
                Ok(piece)
            }
            Some(Err(shared)) => {
                pieces.push(Arc::clone(&shared));
                Err(Sealed::ToCopy(shared))
            }
            None => Err(Sealed::Gone),
        }
    }

    fn put_back(&mut self, number: SegmentNumber, piece: Piece) -> Sealed {
        let sealed = Arc::new(piece);
        let pieces = Place::Memory(vec![Arc::clone(&sealed)]);
        match self.index_of(number) {
            Some(at) => {
                self.list[at].place = pieces;
                Sealed::InPlace(sealed)
            }
            None => {
                drop(sealed);
                self.use_again(pieces);
                Sealed::Gone
            }
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
