//! Files that were segments and wait to be written as others.
//!
//! Invariants:
//! - A file that has another name is never written as a new segment: the other one may stand in a snapshot, or in the store
//!   that a snapshot was taken of.
//! - Names are counted when the file has the name of a spare: other links are made to names of segments alone.

use crate::disk::{AlignedBuf, Disk, DiskFile, FileKind, is_full};
use crate::format::segment::SegmentHeader;
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

/// Opens the file of the segment `number` that is to be: the spare, if there is one that can be written, or a new file. Fails with
/// `AlreadyExists` if there is such a segment.
pub(crate) fn open_as<D: Disk>(
    disk: &D,
    spare: Option<SegmentNumber>,
    number: SegmentNumber,
) -> io::Result<D::File> {
    let path = &*segment_path(number);
    if let Some(spare) = spare
        && remove_if_shared(disk, spare)? == Spare::Kept
    {
        disk.rename(&spare_path(spare), path)?;
        return disk.open(path, FileKind::Journal);
    }
    match disk.create(path, FileKind::Journal) {
        // Left by an attempt that a full disk has stopped.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = disk.open(path, FileKind::Journal)?;
            let mut buf = AlignedBuf::zeroed(4096);
            let read = file.read_at(&mut buf, 0)?;
            // Then somebody else writes in this directory.
            let is_segment = SegmentHeader::decode(&buf[..read], number).is_ok();
            if is_segment { Err(error) } else { Ok(file) }
        }
        created => created,
    }
}
