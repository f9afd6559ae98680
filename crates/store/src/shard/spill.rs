//! The spill: units of transient messages that memory has no room for, in slots of files that no start reads.
//!
//! Invariants:
//! - A unit is in memory until its slot is written whole; nothing is synced, for nothing of it outlives the process.
//! - The newest closed unit goes first, but each time after some the oldest: what nobody takes does not stay in memory for ever.
//! - What stands in the spill is checked like the log when it is read: checksums, place, queue and seq.
//! - A disk that does not take the spill stops nothing that is accepted; publishers wait from twice the memory on that is granted.
//!
//! Elsewhere: what a unit is (`units`), which slots are free (`units::slots`), reading (`reader`).

use super::housekeeping::RETRY_MS;
use super::{Compact, Job, Shard};
use crate::checksum::Salt;
use crate::disk::{AlignedBuf, DIRECT_IO_ALIGNMENT, Disk, DiskFile, FileKind, Now};
use crate::format::{byte_count, record};
use crate::limits::SPILLS_PER_OLDEST;
use crate::segments::SegmentFile;
use crate::units::{ClosedUnit, DeadFile, Lent, Slack, Slot, SpillNumber, Which};
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
    pub unit: ClosedUnit,
    pub lent: Lent<D::File>,
    /// For what is written.
    pub space: AlignedBuf,
}

/// A unit that stands in a file.
pub(crate) struct Spilled<D: Disk> {
    pub file: Arc<SegmentFile<D::File>>,
    pub slot: Slot,
    pub space: AlignedBuf,
}

/// Remove files in which nothing lives.
pub(crate) struct Unspill {
    pub files: Vec<DeadFile>,
}

impl<D: Disk> Spill<D> {
    pub(crate) fn perform(self, disk: &D, salt: Salt) -> io::Result<Spilled<D>> {
        let ClosedUnit {
            number,
            first_lsn,
            pieces,
            ..
        } = self.unit;
        let mut bytes = self.space;
        bytes.clear();
        bytes.reserve(pieces.iter().map(|piece| piece.bytes().len()).sum());
        let mut sealed = 0;
        for copied in pieces.iter().flat_map(|piece| piece.bytes().chunks(COPY_BYTES)) {
            bytes.extend_from_slice(copied);
            sealed += record::seal_whole(&mut bytes[sealed..], salt, number, byte_count(sealed));
        }
        assert_eq!(sealed, bytes.len(), "a unit has whole records");
        bytes.pad_to(DIRECT_IO_ALIGNMENT);
        let file_bytes = byte_count(bytes.len());
        assert!(
            file_bytes <= self.lent.slot.layout.slot_bytes,
            "a unit fits into its slot"
        );
        let Lent { mut slot, file } = self.lent;
        let file = match file {
            Some(file) => {
                file.write_at(&bytes, slot.offset())?;
                file
            }
            None => match make(disk, slot, &bytes) {
                // There may be room for this unit, if not for more.
                Err(error) if error.kind() == io::ErrorKind::StorageFull && slot.layout.slots > 1 => {
                    slot = slot.alone(file_bytes);
                    make(disk, slot, &bytes)?
                }
                made => made?,
            },
        };
        let unit = SegmentFile::of_unit(number, first_lsn, file_bytes, file, slot.offset());
        Ok(Spilled {
            file: Arc::new(unit),
            slot,
            space: bytes,
        })
    }
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
        self.state.units.bytes().memory > self.options.transient_bytes
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
            self.chores.spill_space = AlignedBuf::new();
        }
        if !self.spill_is_due() || now.mono_ms < self.chores.spill_at_ms {
            return None;
        }
        // Who takes messages in their order needs the newest last, and the processor still has it at hand.
        let is_for_oldest = (self.chores.spills + 1).is_multiple_of(SPILLS_PER_OLDEST);
        let which = if is_for_oldest {
            Which::Oldest
        } else {
            Which::Newest
        };
        let unit = self.state.units.in_memory(which)?;
        Some(if unit.is_sparse && self.has_pages() {
            Job::Compact(Compact::Memory(unit))
        } else {
            let bytes = unit.pieces.iter().map(|piece| piece.bytes().len()).sum();
            Job::Spill(Spill {
                unit,
                lent: self.state.units.lend_slot(byte_count(bytes)),
                space: std::mem::take(&mut self.chores.spill_space),
            })
        })
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

    /// A unit has left memory.
    pub(super) fn note_spilled(&mut self, spilled: Spilled<D>) {
        self.chores.spill_space = spilled.space;
        self.state.units.spilled(spilled.file, spilled.slot);
        self.chores.spills += 1;
    }

    /// The disk did not take a unit: it stays in memory.
    pub(super) fn note_unspilled(&mut self, now: Now) {
        self.state.units.not_spilled();
        self.chores.spill_at_ms = now.mono_ms + RETRY_MS;
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
