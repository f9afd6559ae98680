//! A disk over another one that is only read: what is changed stays in memory, and goes with the last handle.
//!
//! Invariants:
//! - Nothing but reads and listings reaches the disk below, and no lock is taken there.
//! - A directory has the names that it had when it was listed first, and what was changed here.
//! - A file keeps the length that it had when it was opened first, and what was written here hides what stands below.
//! - A map is a copy of what the file held: what changes below afterwards does not show in it.
//!
//! Memory: the pages that were written, and what of the maps is not zero.

use super::{AlignedBuf, Disk, DiskFile, DiskMap, FileKind, LockError, Now};
use crate::format::{byte_count, memory_offset};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const PAGE_BYTES: usize = 4096;
/// Bytes of a mapped file that are read at once.
const COPY_BYTES: usize = 1 << 20;

/// See the module's description. Clones share the changes.
pub struct Overlay<D: Disk> {
    base: D,
    names: Arc<Mutex<Names<D>>>,
}

struct Names<D: Disk> {
    by_path: BTreeMap<String, Name<D>>,
    /// What directories held below when they were listed first.
    listed: BTreeMap<String, Vec<String>>,
}

impl<D: Disk> Clone for Overlay<D> {
    fn clone(&self) -> Self {
        Self {
            base: self.base.clone(),
            names: Arc::clone(&self.names),
        }
    }
}

/// What a name stands for that was used or changed.
enum Name<D: Disk> {
    /// It was removed, or renamed.
    Gone,
    /// Nobody opened it yet; below it has this name.
    Below(String),
    Open(Arc<Inode<D>>),
}

/// A file, shared by all who opened it.
struct Inode<D: Disk> {
    /// `None` when it was made here.
    base: Option<D::File>,
    changed: Mutex<Changed>,
}

struct Changed {
    bytes: u64,
    /// By the number of the page.
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl<D: Disk> Overlay<D> {
    /// Nothing is changed yet.
    pub(crate) fn new(base: D) -> Self {
        Self {
            base,
            names: Arc::new(Mutex::new(Names {
                by_path: BTreeMap::new(),
                listed: BTreeMap::new(),
            })),
        }
    }

    fn names(&self) -> MutexGuard<'_, Names<D>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails with `NotFound` when no file has this name.
    fn check_exists(&self, names: &Names<D>, path: &str) -> io::Result<()> {
        if matches!(names.by_path.get(path), Some(Name::Open(_))) {
            return Ok(());
        }
        let below = names.below(path)?;
        let (dir, last) = parts(&below);
        match names.listed.get(dir) {
            Some(listed) if listed.iter().any(|name| name == last) => Ok(()),
            // It has come since, and is no part of what is looked at.
            Some(_) => Err(io::ErrorKind::NotFound.into()),
            None => self.base.open(&below, FileKind::Plain).map(drop),
        }
    }
}

impl<D: Disk> Names<D> {
    /// Where below a name leads, if it does not lead to a file that is open here.
    fn below(&self, path: &str) -> io::Result<String> {
        match self.by_path.get(path) {
            Some(Name::Gone) => Err(io::ErrorKind::NotFound.into()),
            Some(Name::Below(below)) => Ok(below.clone()),
            Some(Name::Open(_)) | None => Ok(path.to_owned()),
        }
    }
}

/// The directory of a path, and the name in it.
fn parts(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl<D: Disk> Disk for Overlay<D> {
    type File = OverlayFile<D>;
    type Map = OverlayMap;
    type Lock = ();

    fn create_dir(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut names = self.names();
        let mut found = match names.listed.get(dir) {
            Some(listed) => listed.clone(),
            None => match self.base.list(dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                listed => listed?,
            },
        };
        names
            .listed
            .entry(dir.to_owned())
            .or_insert_with(|| found.clone());
        for (path, name) in &names.by_path {
            let (parent, last) = parts(path);
            if parent != dir {
                continue;
            }
            found.retain(|other| other != last);
            if !matches!(name, Name::Gone) {
                found.push(last.to_owned());
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn create(&self, path: &str, _kind: FileKind) -> io::Result<OverlayFile<D>> {
        let mut names = self.names();
        match self.check_exists(&names, path) {
            Ok(()) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let inode = Arc::new(Inode::new(None, 0));
        names
            .by_path
            .insert(path.to_owned(), Name::Open(Arc::clone(&inode)));
        Ok(OverlayFile(inode))
    }

    fn open(&self, path: &str, kind: FileKind) -> io::Result<OverlayFile<D>> {
        let mut names = self.names();
        if let Some(Name::Open(inode)) = names.by_path.get(path) {
            return Ok(OverlayFile(Arc::clone(inode)));
        }
        let file = self.base.open(&names.below(path)?, kind)?;
        let bytes = file.len()?;
        let inode = Arc::new(Inode::new(Some(file), bytes));
        names
            .by_path
            .insert(path.to_owned(), Name::Open(Arc::clone(&inode)));
        Ok(OverlayFile(inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut names = self.names();
        self.check_exists(&names, from)?;
        let below = names.below(from)?;
        let moved = match names.by_path.insert(from.to_owned(), Name::Gone) {
            Some(open @ Name::Open(_)) => open,
            _ => Name::Below(below),
        };
        names.by_path.insert(to.to_owned(), moved);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut names = self.names();
        self.check_exists(&names, path)?;
        names.by_path.insert(path.to_owned(), Name::Gone);
        Ok(())
    }

    fn link(&self, _from: &str, _target: &Self, _to: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// What is written here reaches no other name, so there is none to care about.
    fn link_count(&self, path: &str) -> io::Result<u64> {
        self.check_exists(&self.names(), path).map(|()| 1)
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Ok(())
    }

    fn map(&self, file: &OverlayFile<D>, len: usize) -> io::Result<OverlayMap> {
        let mut bytes = vec![0; len];
        let mut part = AlignedBuf::zeroed(COPY_BYTES);
        for (to, offset) in bytes.chunks_mut(COPY_BYTES).zip((0..).step_by(COPY_BYTES)) {
            let read = file.read_at(&mut part, offset)?.min(to.len());
            let pages = part[..read].chunks(PAGE_BYTES).zip(to.chunks_mut(PAGE_BYTES));
            // Memory that is not touched costs nothing.
            for (from, to) in pages.filter(|(from, _)| from.iter().any(|byte| *byte != 0)) {
                to[..from.len()].copy_from_slice(from);
            }
        }
        Ok(OverlayMap(bytes))
    }

    fn lock(&self) -> Result<(), LockError> {
        Ok(())
    }

    fn random(&self) -> u128 {
        self.base.random()
    }

    fn now(&self) -> Now {
        self.base.now()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn rewrites_in_place(&self) -> bool {
        true
    }
}

impl<D: Disk> Inode<D> {
    fn new(base: Option<D::File>, bytes: u64) -> Self {
        let pages = BTreeMap::new();
        Self {
            base,
            changed: Mutex::new(Changed { bytes, pages }),
        }
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads past what was changed; zeros where there is nothing below.
    fn read_below(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self
            .base
            .as_ref()
            .map_or(Ok(0), |base| base.read_at(buf, offset))?;
        buf[read..].fill(0);
        Ok(())
    }
}

/// A file of an [`Overlay`].
pub struct OverlayFile<D: Disk>(Arc<Inode<D>>);

impl<D: Disk> DiskFile for OverlayFile<D> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.changed().bytes)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut changed = self.0.changed();
        changed.bytes = changed.bytes.max(len);
        Ok(())
    }

    fn shorten_nameless(&self, _len: u64) -> io::Result<bool> {
        // What lies below belongs to others.
        Ok(false)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let changed = self.0.changed();
        let held = changed.bytes.saturating_sub(offset).min(byte_count(buf.len()));
        if held == 0 {
            return Ok(0);
        }
        self.0.read_below(buf, offset)?;
        let end = offset + held;
        let page_bytes = byte_count(PAGE_BYTES);
        let first = offset / page_bytes;
        for (number, page) in changed.pages.range(first..end.div_ceil(page_bytes)) {
            let start = number * page_bytes;
            let (from, to) = (start.max(offset), (start + page_bytes).min(end));
            buf[memory_offset(from - offset)..memory_offset(to - offset)]
                .copy_from_slice(&page[memory_offset(from - start)..memory_offset(to - start)]);
        }
        Ok(memory_offset(held))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut changed = self.0.changed();
        let page_bytes = byte_count(PAGE_BYTES);
        let (mut rest, mut at) = (buf, offset);
        while !rest.is_empty() {
            let (number, within) = (at / page_bytes, memory_offset(at % page_bytes));
            let (now, later) = rest.split_at(rest.len().min(PAGE_BYTES - within));
            let page = match changed.pages.entry(number) {
                Entry::Occupied(written) => written.into_mut(),
                Entry::Vacant(unwritten) => {
                    let mut page = AlignedBuf::zeroed(PAGE_BYTES);
                    self.0.read_below(&mut page, number * page_bytes)?;
                    unwritten.insert(page.to_vec().into())
                }
            };
            page[within..within + now.len()].copy_from_slice(now);
            at += byte_count(now.len());
            rest = later;
        }
        changed.bytes = changed.bytes.max(at);
        Ok(())
    }

    fn forget_cached(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_synced_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.write_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A copy of a file of an [`Overlay`].
pub struct OverlayMap(Vec<u8>);

impl DiskMap for OverlayMap {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn write(&mut self, bytes: &[u8], offset: usize) -> io::Result<()> {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn give_back(&self, _offset: usize, _len: usize) {}
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
