//! The spill: units of transient messages that memory has no room for, in files that no start reads.
//!
//! Invariants:
//! - A unit is in memory until its file is written whole; nothing is synced, for nothing of it outlives the process.
//! - What stands in the spill is checked like the log when it is read: checksums, place, queue and seq.
//! - A disk that does not take the spill stops nothing that is accepted; publishers wait from twice the memory on that is granted.
//!
//! Elsewhere: what a unit is (`units`), reading (`reader`).

use super::housekeeping::RETRY_MS;
use super::{Compact, Job, Shard};
use crate::checksum::Salt;
use crate::disk::{AlignedBuf, Disk, DiskFile, FileKind, Now};
use crate::format::record;
use crate::ids::{Epoch, SegmentNumber};
use crate::segments::SegmentFile;
use crate::units::ClosedUnit;
use std::io;
use std::sync::Arc;

/// Directory of the spill of shard 0.
pub(crate) const SPILL_DIR: &str = "shard-00/s";

fn spill_path(number: SegmentNumber) -> String {
    format!("{SPILL_DIR}/{:016x}", number.unlogged_index())
}

/// Write a unit into a file.
pub(crate) struct Spill {
    pub unit: ClosedUnit,
    /// For what is written.
    pub space: AlignedBuf,
}

/// A unit that stands in a file.
pub(crate) struct Spilled<D: Disk> {
    pub file: Arc<SegmentFile<D::File>>,
    pub space: AlignedBuf,
}

/// Remove files in which nothing lives.
pub(crate) struct Unspill {
    pub files: Vec<(SegmentNumber, u64)>,
}

impl Spill {
    pub(crate) fn perform<D: Disk>(self, disk: &D, salt: Salt) -> io::Result<Spilled<D>> {
        let ClosedUnit {
            number,
            first_lsn,
            pieces,
            ..
        } = self.unit;
        let mut bytes = self.space;
        bytes.clear();
        bytes.reserve(pieces.iter().map(|piece| piece.bytes().len()).sum());
        for piece in &pieces {
            bytes.extend_from_slice(piece.bytes());
        }
        record::seal(&mut bytes, salt, number, 0);
        bytes.resize_zeroed(bytes.len().next_multiple_of(4096));
        let path = spill_path(number);
        let file = match disk.create(&path, FileKind::Journal) {
            // Left by an attempt that failed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.open(&path, FileKind::Journal)?
            }
            created => created?,
        };
        let file_bytes = crate::format::byte_count(bytes.len());
        let written = file.allocate(file_bytes).and_then(|()| file.write_at(&bytes, 0));
        if let Err(error) = written {
            let _ = disk.remove(&path);
            return Err(error);
        }
        let file = SegmentFile::new(number, first_lsn, Epoch::default(), file_bytes, file);
        Ok(Spilled {
            file: Arc::new(file),
            space: bytes,
        })
    }
}

impl Unspill {
    pub(crate) fn perform<D: Disk>(&self, disk: &D) {
        for (number, _) in &self.files {
            let path = spill_path(*number);
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

    /// What gives memory back: the oldest unit is spilled or, when little lives in it, moved.
    pub(super) fn spill_job(&mut self, now: Now) -> Option<Job<D>> {
        if self.state.units.bytes().memory < self.options.transient_bytes / 2 {
            self.chores.spill_space = AlignedBuf::new();
        }
        if !self.spill_is_due() || now.mono_ms < self.chores.spill_at_ms {
            return None;
        }
        let unit = self.state.units.oldest_in_memory()?;
        Some(if unit.is_sparse && self.has_pages() {
            Job::Compact(Compact::Memory(unit))
        } else {
            Job::Spill(Spill {
                unit,
                space: std::mem::take(&mut self.chores.spill_space),
            })
        })
    }

    pub(super) fn unspill_job(&mut self, now: Now) -> Option<Unspill> {
        let dead = self.state.units.dead_files();
        let granted = if self.chores.is_full {
            dead
        } else {
            self.chores.removal.grant(dead, self.options.unit_bytes(), now)
        };
        let files = self.state.units.take_dead_files(granted);
        (!files.is_empty()).then_some(Unspill { files })
    }

    /// A unit has left memory.
    pub(super) fn note_spilled(&mut self, spilled: Spilled<D>) {
        self.chores.spill_space = spilled.space;
        self.state.units.spilled(spilled.file);
        self.chores.spills += 1;
    }

    /// The disk did not take a unit: it stays in memory.
    pub(super) const fn note_unspilled(&mut self, now: Now) {
        self.chores.spill_at_ms = now.mono_ms + RETRY_MS;
    }
}
