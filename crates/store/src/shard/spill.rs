//! The spill: units of transient messages that memory has no room for, in slots of files that no start reads.
//!
//! Invariants:
//! - A unit is in memory until its slot is written whole; nothing is synced, for nothing of it outlives the process.
//! - Two units are written at a time at most, by the housekeeper and beside it: a disk that gets the next one while the checksums of another are
//!   computed is never without work.
//! - The newest closed unit goes first, but each time after some the oldest: what nobody takes does not stay in memory for ever.
//! - What stands in the spill is checked like the log when it is read: checksums, place, queue and seq.
//! - A disk that does not take the spill stops nothing that is accepted; publishers wait from twice the memory on that is granted.
//!
//! Elsewhere: what a unit is (`units`), which slots are free (`units::slots`), reading (`reader`).

use super::housekeeping::RETRY_MS;
use super::{Compact, Job, Shard};
use crate::checksum::Salt;
use crate::disk::{AlignedBuf, DIRECT_IO_ALIGNMENT, Disk, DiskFile, FileKind, Now, is_full};
use crate::format::{byte_count, record};
use crate::ids::{Lsn, SegmentNumber};
use crate::limits::{SPILL_LATE_FRACTION, SPILLS_PER_OLDEST};
use crate::segments::SegmentFile;
use crate::units::{ClosedUnit, DeadFile, Lent, Piece, Sealed, Slack, Slot, SpillNumber, Units, Which};
use std::io;
use std::sync::Arc;

/// Directory of the spill of shard 0.
pub(crate) const SPILL_DIR: &str = "shard-00/s";

fn spill_path(number: SpillNumber) -> String {
    format!("{SPILL_DIR}/{:016x}", number.get())
}

/// So much of a unit is copied before its checksums are made: it is still in the cache next to the processor.
const COPY_BYTES: usize = 32 << 10;

/// Write a unit into a slot of a file.
pub(crate) struct Spill<D: Disk> {
    unit: SegmentNumber,
    first_lsn: Lsn,
    lent: Lent<D::File>,
    /// For a copy, if there has to be one.
    space: AlignedBuf,
}

/// What became of a unit that was to be spilled.
pub(crate) struct Spilled<D: Disk> {
    unit: SegmentNumber,
    slot: Slot,
    outcome: Outcome<D>,
    space: AlignedBuf,
    ended: Now,
}

enum Outcome<D: Disk> {
    /// It stands in a file, in this slot.
    Written(Arc<SegmentFile<D::File>>),
    /// It died before.
    NotNeeded,
    Refused(io::Error),
}

/// Remove files in which nothing lives.
pub(crate) struct Unspill {
    pub files: Vec<DeadFile>,
}

impl<D: Disk> Spilled<D> {
    /// Whether the disk did not take the unit.
    pub(crate) const fn is_refused(&self) -> bool {
        matches!(self.outcome, Outcome::Refused(_))
    }
}

impl<D: Disk> Spill<D> {
    /// Makes the unit ready and writes it. To be called without the shard's lock.
    pub(crate) fn perform(mut self, disk: &D, units: &Units<D>, salt: Salt) -> Spilled<D> {
        let written = match units.seal(self.unit, salt) {
            Sealed::InPlace(piece) => Some(self.write(disk, piece.sectors())),
            Sealed::ToCopy(piece) => {
                let mut space = std::mem::take(&mut self.space);
                copy_sealed(&mut space, &piece, self.unit, salt);
                let written = self.write(disk, &space);
                self.space = space;
                Some(written)
            }
            Sealed::Gone => None,
        };
        let (slot, outcome) = match written {
            Some(Ok((slot, file))) => (slot, Outcome::Written(file)),
            Some(Err(error)) => (self.lent.slot, Outcome::Refused(error)),
            None => (self.lent.slot, Outcome::NotNeeded),
        };
        Spilled {
            unit: self.unit,
            slot,
            outcome,
            space: self.space,
            ended: disk.now(),
        }
    }

    /// Writes whole sectors to the slot, or to the one that there is room for.
    fn write(&self, disk: &D, sectors: &[u8]) -> io::Result<(Slot, Arc<SegmentFile<D::File>>)> {
        let bytes = byte_count(sectors.len());
        let mut slot = self.lent.slot;
        assert!(bytes <= slot.layout.slot_bytes, "a unit fits into its slot");
        let file = match &self.lent.file {
            Some(file) => {
                file.write_at(sectors, slot.offset())?;
                Arc::clone(file)
            }
            None => match make(disk, slot, sectors) {
                // There may be room for this unit, if not for more.
                Err(error) if is_full(&error) && slot.layout.slots > 1 => {
                    slot = slot.alone(bytes);
                    make(disk, slot, sectors)?
                }
                made => made?,
            },
        };
        let unit = SegmentFile::of_unit(self.unit, self.first_lsn, bytes, file, slot.offset());
        Ok((slot, Arc::new(unit)))
    }
}

/// Copies a unit, with its checksums, and fills up its last sector.
fn copy_sealed(to: &mut AlignedBuf, unit: &Piece, number: SegmentNumber, salt: Salt) {
    to.clear();
    to.reserve(unit.bytes().len());
    let mut sealed = 0;
    for copied in unit.bytes().chunks(COPY_BYTES) {
        to.extend_from_slice(copied);
        sealed += record::seal_whole(&mut to[sealed..], salt, number, byte_count(sealed));
    }
    assert_eq!(sealed, to.len(), "a unit has whole records");
    to.pad_to(DIRECT_IO_ALIGNMENT);
}

/// Makes a file, and writes a unit into its first slot.
fn make<D: Disk>(disk: &D, slot: Slot, unit: &[u8]) -> io::Result<Arc<D::File>> {
    let path = spill_path(slot.file);
    let file = disk.create(&path, FileKind::Journal)?;
    let allocated = file.allocate(slot.layout.file_bytes());
    let written = allocated.and_then(|()| file.write_at(unit, slot.offset()));
    match written {
        Ok(()) => Ok(Arc::new(file)),
        Err(error) => {
            // The next start empties the directory.
            let _ = disk.remove(&path);
            Err(error)
        }
    }
}

impl Unspill {
    pub(crate) fn perform<D: Disk>(&self, disk: &D) {
        for file in &self.files {
            let path = spill_path(file.number);
            // The next start empties the directory.
            if let Err(error) = disk.remove(&path) {
                tracing::warn!(%error, %path, "removing a file of the spill");
            }
        }
    }
}

/// Removes what an earlier process has spilled: nobody can ask for it any more.
pub(crate) fn empty_spill<D: Disk>(disk: &D) -> io::Result<()> {
    for name in disk.list(SPILL_DIR)? {
        match disk.remove(&format!("{SPILL_DIR}/{name}")) {
            // Whoever looks at a store that runs may meet a file that goes.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

impl<D: Disk> Shard<D> {
    /// Whether transient messages take more memory than they may for long.
    pub(crate) fn spill_is_due(&self) -> bool {
        let bytes = self.state.units.bytes();
        bytes.memory - bytes.leaving > self.options.transient_bytes
    }

    /// Whether they come faster than they are spilled by one thread.
    pub(crate) fn spill_is_late(&self) -> bool {
        let bytes = self.state.units.bytes();
        let granted = self.options.transient_bytes;
        bytes.memory - bytes.leaving > granted.saturating_add(granted / SPILL_LATE_FRACTION)
    }

    /// Whether a second thread is to spill.
    pub(crate) fn wants_second_spill(&self, now: Now) -> bool {
        self.spill_is_late() && now.mono_ms >= self.chores.spill_at_ms
    }

    /// Whether memory takes more of them.
    pub(super) fn has_memory(&self) -> bool {
        self.state.units.bytes().memory < self.options.transient_bytes.saturating_mul(2)
    }

    /// Whether nothing will be spilled for some time.
    fn memory_is_low(&self) -> bool {
        self.state.units.bytes().memory < self.options.transient_bytes / 2
    }

    /// What gives memory back: a unit is spilled or, when little lives in it, moved.
    pub(super) fn spill_job(&mut self, now: Now) -> Option<Job<D>> {
        if self.memory_is_low() {
            self.chores.spill_space = Vec::new();
            self.state.units.free_spares();
        }
        if !self.spill_is_due() || now.mono_ms < self.chores.spill_at_ms {
            return None;
        }
        // Who takes messages in their order needs the newest last, and the processor still has it at hand.
        let which = if self.chores.newest_spilled + 1 < SPILLS_PER_OLDEST {
            Which::Newest
        } else {
            Which::Oldest
        };
        match self.state.units.in_memory(which)? {
            unit if unit.is_sparse && self.has_pages() => Some(Job::Compact(Compact::Memory(unit))),
            unit => Some(Job::Spill(self.spill(&unit, which))),
        }
    }

    /// The newest unit, to be written while the housekeeper writes another, or does something else.
    pub(crate) fn next_spill(&mut self, now: Now) -> Option<Spill<D>> {
        if self.poisoned.is_some() || !self.wants_second_spill(now) {
            return None;
        }
        let newest = self.state.units.in_memory(Which::Newest);
        let unit = newest.filter(|unit| !unit.is_sparse)?;
        Some(self.spill(&unit, Which::Newest))
    }

    fn spill(&mut self, unit: &ClosedUnit, which: Which) -> Spill<D> {
        self.chores.newest_spilled = match which {
            Which::Newest => self.chores.newest_spilled + 1,
            Which::Oldest => 0,
        };
        let bytes = unit.pieces.iter().map(|piece| piece.bytes().len()).sum();
        Spill {
            unit: unit.number,
            first_lsn: unit.first_lsn,
            lent: self.state.units.lend_slot(unit.number, byte_count(bytes)),
            space: self.chores.spill_space.pop().unwrap_or_default(),
        }
    }

    pub(super) fn unspill_job(&mut self, now: Now) -> Option<Unspill> {
        let bytes = self.options.spill_layout().file_bytes();
        let has_failed = self.chores.is_full || now.mono_ms < self.chores.spill_at_ms;
        // What is spilled next would find its slots written before.
        let slack = if self.memory_is_low() || has_failed {
            Slack::None
        } else {
            Slack::OneFile
        };
        let dead = self.state.units.dead_files(slack);
        let granted = if has_failed {
            dead
        } else {
            self.chores.removal.grant(dead, bytes, now)
        };
        let files = self.state.units.take_dead_files(granted);
        (!files.is_empty()).then_some(Unspill { files })
    }

    /// Takes note of what was spilled beside the housekeeper.
    pub(crate) fn finish_spill(&mut self, spilled: Spilled<D>) {
        self.note_spilled(spilled);
        self.note_room();
    }

    /// A unit has left memory, or stays there because the disk did not take it.
    pub(super) fn note_spilled(&mut self, spilled: Spilled<D>) {
        self.chores.spill_space.push(spilled.space);
        match spilled.outcome {
            Outcome::Written(file) => {
                self.state.units.spilled(file, spilled.slot);
                self.chores.spills += 1;
            }
            Outcome::NotNeeded => self.state.units.not_needed(spilled.slot),
            Outcome::Refused(error) => {
                tracing::warn!(%error, "spilling transient messages");
                self.state.units.refused(spilled.unit, spilled.slot);
                self.wait_to_spill(spilled.ended);
            }
        }
    }

    /// What was to give memory back could not.
    pub(super) fn wait_to_spill(&mut self, now: Now) {
        self.chores.spill_at_ms = self.chores.spill_at_ms.max(now.mono_ms + RETRY_MS);
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
