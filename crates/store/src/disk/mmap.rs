//! Files mapped into memory. The only `unsafe` of the store stands here.
//!
//! Invariants, on which the safety rests:
//! - Only files under the data directory are mapped, and only while `LOCK` is held.
//! - A mapped file was allocated with real blocks at least as far as the map reaches, and is never truncated.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memmap2::{MmapMut, MmapOptions, UncheckedAdvice};

use super::DiskMap;

const PAGE_BYTES: usize = 4096;

/// A shared map of a real file.
#[derive(Debug)]
pub struct RealMap {
    map: MmapMut,
    file: File,
}

impl RealMap {
    /// Maps the first `len` bytes of `file`.
    pub(super) fn new(file: &File, len: usize) -> io::Result<Self> {
        let size = file.metadata()?.len();
        if size < u64::try_from(len).map_err(io::Error::other)? {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is shorter than its map",
            ));
        }
        // SAFETY: the file is ours alone while `LOCK` is held (flock by `RealDisk::lock`), is at least `len` bytes
        // long (just checked) and never truncated (`DiskFile` has no call that shortens a file). Its bytes are read as
        // plain `u8`, for which each pattern is valid; the borrow rules of `bytes`, `bytes_mut` and `write`, through which
        // alone they change, order our accesses.
        let map = unsafe { MmapOptions::new().len(len).map_mut(file)? };
        Ok(Self {
            map,
            file: file.try_clone()?,
        })
    }
}

impl DiskMap for RealMap {
    fn bytes(&self) -> &[u8] {
        &self.map
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }

    fn write(&mut self, bytes: &[u8], offset: usize) -> io::Result<()> {
        // The file is allocated no further than is known here.
        assert!(
            offset.saturating_add(bytes.len()) <= self.map.len(),
            "a write beyond the end of a map"
        );
        // Nobody looks at the bytes meanwhile, for `self` is borrowed to be changed. A shared map shows what the page cache has.
        self.file
            .write_all_at(bytes, u64::try_from(offset).map_err(io::Error::other)?)
    }

    fn sync(&self) -> io::Result<()> {
        // msync(MS_SYNC) of the whole range: Linux turns it into an fdatasync of the file.
        self.map.flush()
    }

    fn give_back(&self, offset: usize, len: usize) {
        let end = offset.saturating_add(len).min(self.map.len());
        let first = offset.next_multiple_of(PAGE_BYTES);
        let last = end - end % PAGE_BYTES;
        if first >= last {
            return;
        }
        // SAFETY: on a *shared* file map MADV_DONTNEED only drops page-table entries; a dirty one hands its dirty mark to
        // the page cache, so the next access sees the same bytes. (Only private maps lose data, hence "unchecked".)
        let advised = unsafe {
            self.map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, first, last - first)
        };
        if let Err(error) = advised {
            tracing::debug!(%error, "the kernel kept mapped pages resident");
        }
    }
}
