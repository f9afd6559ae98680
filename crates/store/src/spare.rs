//! Files that were segments and wait to be written as others.
//!
//! Invariants:
//! - A file that has another name is never written as a new segment: the other one may stand in a snapshot, or in the store
//!   that a snapshot was taken of.
//! - Names are counted when the file has the name of a spare: other links are made to names of segments alone.

use crate::disk::{Disk, FileKind, is_full};
use crate::ids::SegmentNumber;
use crate::segments::{segment_path, spare_path};
use std::io;

/// What became of a file that is no segment any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spare {
    /// It waits to be used again.
    Kept,
    /// It has another name, and was removed here; or it could not be, for the disk is full, and the next start does that.
    Shared,
}

/// Makes a spare of a segment. Durable once the journal's directory is synced.
pub(crate) fn retire<D: Disk>(disk: &D, number: SegmentNumber) -> io::Result<Spare> {
    disk.rename(&segment_path(number), &spare_path(number))?;
    match remove_if_shared(disk, number) {
        // It is no segment any more, whatever becomes of its name.
        Err(error) if is_full(&error) => Ok(Spare::Shared),
        retired => retired,
    }
}

/// Removes a spare that has another name.
pub(crate) fn remove_if_shared<D: Disk>(disk: &D, number: SegmentNumber) -> io::Result<Spare> {
    let path = spare_path(number);
    if disk.link_count(&path)? > 1 {
        disk.remove(&path)?;
        return Ok(Spare::Shared);
    }
    Ok(Spare::Kept)
}

/// Opens the file of a segment that is to be: the spare, if there is one that can be written, or a new file.
pub(crate) fn open_as<D: Disk>(disk: &D, spare: Option<SegmentNumber>, path: &str) -> io::Result<D::File> {
    if let Some(spare) = spare
        && remove_if_shared(disk, spare)? == Spare::Kept
    {
        disk.rename(&spare_path(spare), path)?;
        return disk.open(path, FileKind::Journal);
    }
    match disk.create(path, FileKind::Journal) {
        // Left by an attempt that a full disk has stopped.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(path, FileKind::Journal),
        created => created,
    }
}
