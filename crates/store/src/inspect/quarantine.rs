//! `quarantine/`: what repairs have set aside, one folder for each repair.
//!
//! Invariants:
//! - Nothing is ever removed from here or written over: a repair makes a folder of its own.
//! - A range counts as set aside while a copy has its name and exactly its bytes, and the repair that made it came as far as its
//!   list, which is written behind all copies. Where nothing stands, nothing was set aside.

use super::error::InspectError;
use super::finding::Finding;
use super::window::range_of;
use crate::disk::{Disk, DiskFile, FileKind};
use crate::format::byte_count;
use std::io;

/// Directory of everything that was set aside.
pub(super) const QUARANTINE_DIR: &str = "quarantine";

/// The folder of repair number `nth`.
pub(super) fn folder(nth: u64) -> String {
    format!("{QUARANTINE_DIR}/{nth:04}")
}

/// The list of what was damaged and lost. It stands only behind all copies of its repair.
pub(super) fn list_path(folder: &str) -> String {
    format!("{folder}/damage.json")
}

/// The name of the copy of a damaged range: the file with dashes for slashes, offset and length in hex.
pub(super) fn copy_name(finding: &Finding) -> String {
    let file = finding.file.replace('/', "-");
    format!("{file}.{:x}+{:x}", finding.offset, finding.bytes)
}

/// The numbers of the repairs so far, oldest first.
pub(super) fn repairs<D: Disk>(disk: &D) -> Result<Vec<u64>, InspectError> {
    let names = match disk.list(QUARANTINE_DIR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(InspectError::io("listing", QUARANTINE_DIR))?,
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Marks those findings of which a repair has kept a copy.
pub(super) fn mark<D: Disk>(disk: &D, findings: &mut [Finding]) -> Result<(), InspectError> {
    if findings.is_empty() {
        return Ok(());
    }
    let mut complete = Vec::new();
    for folder in repairs(disk)?.into_iter().map(folder) {
        if copy(disk, &list_path(&folder))?.is_some() {
            complete.push(folder);
        }
    }
    for finding in findings {
        for folder in &complete {
            let path = format!("{folder}/{}", copy_name(finding));
            if let Some(copy) = copy(disk, &path)?
                && !copy.is_empty()
                && bytes_of(disk, finding)? == copy
            {
                finding.set_aside = true;
                break;
            }
        }
    }
    Ok(())
}

/// The bytes of a damaged range, as they stand; none of what is missing.
pub(super) fn bytes_of<D: Disk>(disk: &D, finding: &Finding) -> Result<Vec<u8>, InspectError> {
    let read = range_of(disk, &finding.file, finding.offset, finding.bytes);
    match read {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        read => read,
    }
}

fn copy<D: Disk>(disk: &D, path: &str) -> Result<Option<Vec<u8>>, InspectError> {
    let file = match disk.open(path, FileKind::Plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(InspectError::io("opening", path))?,
    };
    let read = || {
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        let read = file.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(bytes)
    };
    read().map(Some).map_err(InspectError::io("reading", path))
}

/// Writes a new file of a repair, durably but for its name.
pub(super) fn write<D: Disk>(disk: &D, path: &str, bytes: &[u8]) -> Result<(), InspectError> {
    let written = disk.create(path, FileKind::Plain).and_then(|file| {
        file.allocate(byte_count(bytes.len()))?;
        file.write_at(bytes, 0)?;
        file.sync()
    });
    written.map_err(InspectError::io("writing", path))
}
