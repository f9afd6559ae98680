//! The file of a catalog as a whole: read, rewritten under its name, damaged parts kept aside.
//!
//! Invariants:
//! - The name leads to a whole file at every moment: a new one is synced before it gets the name.

use std::collections::BTreeMap;
use std::io;

use super::{
    CATALOG_NAME, CATALOG_NEW_NAME, CATALOG_SCHEMA, Change, DamagedRange, Entry, GROWTH_BYTES, to_u64,
};
use crate::disk::{Disk, DiskFile, FileKind};
use crate::frame::{self, Frame, Seal};

/// A compacted file has frames of about this size.
const COMPACTED_FRAME_BYTES: usize = 1 << 20;

/// A catalog file that is in place.
pub(super) struct Written<D: Disk> {
    pub(super) file: D::File,
    pub(super) end: u64,
    pub(super) allocated: u64,
    pub(super) next_sequence: u64,
}

/// A rewrite that failed, and whether the old file certainly still has the name.
pub(super) struct Rewrite {
    pub(super) unchanged: bool,
    pub(super) source: io::Error,
}

impl From<io::Error> for Rewrite {
    fn from(source: io::Error) -> Self {
        Self {
            unchanged: true,
            source,
        }
    }
}

/// The open file and its bytes; `None` without one.
pub(crate) fn read_file<D: Disk>(disk: &D) -> io::Result<Option<(D::File, Vec<u8>)>> {
    let file = match disk.open(CATALOG_NAME, FileKind::Plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let len = file.read_at(&mut bytes, 0)?;
    bytes.truncate(len);
    Ok(Some((file, bytes)))
}

/// Sees that what is read from now on is durable. A process that ended may have left behind what it did not sync, or what a
/// failed sync has left in memory as if it were on the disk.
pub(super) fn settle<D: Disk>(disk: &D) -> io::Result<()> {
    let file = match disk.open(CATALOG_NAME, FileKind::Plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    file.sync()?;
    file.forget_cached()
}

/// Writes the header and all entries to a new file and gives it the name; durable on return.
pub(super) fn write_file<D: Disk>(
    disk: &D,
    store: u128,
    live: &BTreeMap<Vec<u8>, Vec<u8>>,
    mut next_sequence: u64,
) -> Result<Written<D>, Rewrite> {
    remove_if_there(disk, CATALOG_NEW_NAME)?;
    let file = disk.create(CATALOG_NEW_NAME, FileKind::Plain)?;
    let mut bytes = Vec::new();
    let mut write_frame = |bytes: &mut Vec<u8>, entry: &Entry, seal| {
        frame::write_into(bytes, entry, CATALOG_SCHEMA, next_sequence, seal).map_err(io::Error::other)?;
        next_sequence += 1;
        Ok::<(), io::Error>(())
    };
    // The header names the store, so it cannot be sealed with it.
    write_frame(&mut bytes, &Entry::Header { store }, Seal::NONE)?;
    let mut group = Vec::new();
    let mut group_bytes = 0;
    for (key, value) in live {
        group.push(Change::Put {
            key: key.clone(),
            value: value.clone(),
        });
        group_bytes += key.len() + value.len();
        if group_bytes >= COMPACTED_FRAME_BYTES {
            let seal = Seal::at(store, to_u64(bytes.len()));
            write_frame(&mut bytes, &Entry::Changes(std::mem::take(&mut group)), seal)?;
            group_bytes = 0;
        }
    }
    if !group.is_empty() {
        let seal = Seal::at(store, to_u64(bytes.len()));
        write_frame(&mut bytes, &Entry::Changes(group), seal)?;
    }
    let end = to_u64(bytes.len());
    let allocated = end.next_multiple_of(GROWTH_BYTES);
    file.allocate(allocated)?;
    file.write_at(&bytes, 0)?;
    file.sync()?;
    let uncertain = |source| Rewrite {
        unchanged: false,
        source,
    };
    disk.rename(CATALOG_NEW_NAME, CATALOG_NAME).map_err(uncertain)?;
    disk.sync_dir("").map_err(uncertain)?;
    Ok(Written {
        file,
        end,
        allocated,
        next_sequence,
    })
}

/// Saves damaged bytes under a name of their own, for whoever can still read something from them.
pub(super) fn keep_aside<D: Disk>(disk: &D, bytes: &[u8], range: &DamagedRange) -> io::Result<String> {
    let name = format!("{CATALOG_NAME}.damaged-{:016x}", range.offset);
    remove_if_there(disk, &name)?;
    let file = disk.create(&name, FileKind::Plain)?;
    let start = usize::try_from(range.offset).map_err(io::Error::other)?;
    let len = usize::try_from(range.len).map_err(io::Error::other)?;
    file.write_at(&bytes[start..start + len], 0)?;
    file.sync()?;
    disk.sync_dir("")?;
    Ok(name)
}

pub(super) fn remove_if_there<D: Disk>(disk: &D, path: &str) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The store that the catalog in this directory names, if there is one; for when META is lost.
pub(crate) fn store_of<D: Disk>(disk: &D) -> io::Result<Option<u128>> {
    let Some((_, bytes)) = read_file(disk)? else {
        return Ok(None);
    };
    let header = Frame::parse(&bytes, Seal::NONE).and_then(|frame| frame.value::<Entry>(CATALOG_SCHEMA));
    Ok(if let Ok(Entry::Header { store }) = header {
        Some(store)
    } else {
        None
    })
}
