//! The file of the segment that a start goes on in.
//!
//! Invariants:
//! - It is a spare, or a new file, or, on a full disk, one with a segment's name in which nothing of the log lies.
//! - What has another name is never taken: see `spare`.
//! - When there is none, the directory has the names that it had before, but for files that have become spares.

use crate::disk::{Disk, DiskFile, FileKind, is_full};
use crate::engine::final_error;
use crate::error::OpenError;
use crate::ids::SegmentNumber;
use crate::segments::{JOURNAL_DIR, segment_path, spare_path};
use crate::spare::{self, Spare};
use std::io;

/// A segment that is to be.
pub(super) struct NewSegment<'a> {
    pub path: &'a str,
    pub bytes: u64,
}

/// Where its file comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    Spare(SegmentNumber),
    Free(SegmentNumber),
    Created,
}

impl Origin {
    /// The number that the file had.
    pub(super) const fn number(self) -> Option<SegmentNumber> {
        match self {
            Self::Spare(number) | Self::Free(number) => Some(number),
            Self::Created => None,
        }
    }
}

impl NewSegment<'_> {
    /// Opens the file, which has a durable name and all of its room then. The `free` ones are taken when the disk is full.
    pub(super) fn open<D: Disk>(
        &self,
        disk: &D,
        spare: Option<SegmentNumber>,
        free: impl Iterator<Item = SegmentNumber>,
    ) -> Result<(D::File, Origin), OpenError> {
        let first = spare.map(Origin::Spare);
        let origins = first.into_iter().chain([Origin::Created]);
        let mut full = None;
        for origin in origins.chain(free.map(Origin::Free)) {
            match self.open_from(disk, origin) {
                Ok(None) => {}
                Ok(Some(file)) => return Ok((file, origin)),
                Err(OpenError::Io { source, .. }) if is_full(&source) => {
                    full = Some(source);
                }
                Err(error) => return Err(error),
            }
        }
        Err(OpenError::DiskFull {
            needed: self.bytes,
            source: full.unwrap_or_else(|| io::ErrorKind::StorageFull.into()),
        })
    }

    /// `None` for a file that has another name.
    fn open_from<D: Disk>(&self, disk: &D, origin: Origin) -> Result<Option<D::File>, OpenError> {
        let path = self.path;
        if let Origin::Free(number) = origin {
            let named = segment_path(number);
            match spare::retire(disk, number).map_err(OpenError::io("renaming", named))? {
                Spare::Kept => {}
                Spare::Shared => return Ok(None),
            }
        }
        if let Some(spare) = origin.number() {
            let spare = spare_path(spare);
            disk.rename(&spare, path)
                .map_err(OpenError::io("renaming", spare))?;
        } else {
            disk.create(path, FileKind::Journal)
                .map_err(OpenError::io("creating", path))?;
        }
        let file = disk
            .open(path, FileKind::Journal)
            .map_err(OpenError::io("opening", path))?;
        if let Err(error) = file.allocate(self.bytes) {
            drop(file);
            self.put_back(disk, origin);
            return Err(OpenError::io("allocating", path)(error));
        }
        // A sync that failed is not waited out, whatever it says.
        disk.sync_dir(JOURNAL_DIR)
            .map_err(final_error)
            .map_err(OpenError::io("syncing", JOURNAL_DIR))?;
        Ok(Some(file))
    }

    /// Nothing is to stay of an attempt that found no room.
    fn put_back<D: Disk>(&self, disk: &D, origin: Origin) {
        let undone = match origin.number() {
            Some(number) => disk.rename(self.path, &spare_path(number)),
            None => disk.remove(self.path),
        };
        // Should it stay, the next start makes a spare of it.
        if let Err(error) = undone {
            tracing::warn!(%error, file = self.path, "putting a file back");
        }
    }
}
