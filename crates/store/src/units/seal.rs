//! A closed unit is made ready to be written: its checksums are computed where it lies, so that it need not be copied.
//!
//! Invariants:
//! - Nobody reads a piece while it changes: it is taken out of its unit meanwhile, and whoever asks for it waits for the millisecond that 4 MiB take.
//! - A piece that somebody reads is left as it is, and so is one that is larger than units are: who spills it copies it.
//! - To seal a record again changes nothing.

use super::{PANICLESS, Piece, PieceBytes, Place, Table, Units};
use crate::checksum::Salt;
use crate::disk::{AlignedBuf, DIRECT_IO_ALIGNMENT, Disk};
use crate::format::{byte_count, record};
use crate::ids::{Lsn, SegmentNumber};
use std::sync::{Arc, Mutex};

/// A unit that is to be written.
pub(crate) enum Sealed {
    /// As it lies in memory.
    InPlace(Arc<Piece>),
    /// Its checksums are to be computed in a copy.
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
        drop(self.0.lock().expect(PANICLESS));
    }
}

impl<D: Disk> Units<D> {
    /// Computes the checksums of a closed unit, and fills up its last sector.
    pub(crate) fn seal(&self, number: SegmentNumber, salt: Salt) -> Sealed {
        let gate = Gate(Arc::new(Mutex::new(())));
        let closed = gate.0.lock().expect(PANICLESS);
        let taken = self.0.write().expect(PANICLESS).take_out(number, &gate);
        let mut taken = match taken {
            Ok(taken) => taken,
            Err(unchanged) => return unchanged,
        };
        let bytes = &mut taken.bytes;
        record::seal(bytes, salt, number, 0);
        let len = bytes.len();
        bytes.pad_to(DIRECT_IO_ALIGNMENT);
        bytes.truncate(len);
        let sealed = self.0.write().expect(PANICLESS).put_back(number, taken);
        drop(closed);
        sealed
    }
}

/// A piece that was taken out of its unit.
struct Taken {
    first_lsn: Lsn,
    bytes: AlignedBuf,
}

impl<D: Disk> Table<D> {
    fn take_out(&mut self, number: SegmentNumber, gate: &Gate) -> Result<Taken, Sealed> {
        let unit_bytes = byte_count(self.unit_bytes);
        let Some(at) = self.index_of(number) else {
            return Err(Sealed::Gone);
        };
        let unit = &mut self.list[at];
        let (memory, is_usual) = (unit.memory(), unit.len() <= unit_bytes);
        let Place::Memory(pieces) = &mut unit.place else {
            unreachable!("a unit on its way to a file is in memory");
        };
        let piece = pieces.pop().expect("a closed unit has a piece");
        let shared = match Arc::try_unwrap(piece) {
            Ok(Piece {
                first_lsn,
                bytes: PieceBytes::Sectors(bytes),
            }) if is_usual => {
                let gate = gate.clone();
                unit.place = Place::Sealing { gate, memory };
                return Ok(Taken { first_lsn, bytes });
            }
            Ok(piece) => Arc::new(piece),
            Err(shared) => shared,
        };
        pieces.push(Arc::clone(&shared));
        Err(Sealed::ToCopy(shared))
    }

    fn put_back(&mut self, number: SegmentNumber, taken: Taken) -> Sealed {
        let sealed = Arc::new(Piece {
            first_lsn: taken.first_lsn,
            bytes: PieceBytes::Sectors(taken.bytes),
        });
        let pieces = Place::Memory(vec![Arc::clone(&sealed)]);
        if let Some(at) = self.index_of(number) {
            self.list[at].place = pieces;
            return Sealed::InPlace(sealed);
        }
        drop(sealed);
        self.use_again(pieces);
        Sealed::Gone
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
