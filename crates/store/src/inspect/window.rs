//! A file of the journal, read through a window of bounded size.
//!
//! Invariants:
//! - Reads are whole pages at whole pages, as the journal's files want them; bytes behind the end read as zero.

use super::error::InspectError;
use crate::disk::{AlignedBuf, Disk, DiskFile, FileKind};
use crate::format::{byte_count, memory_offset};
use crate::ids::SegmentNumber;
use crate::limits::ALIGNMENT;
use crate::segments::{open_file, segment_path};

pub(super) struct Window<D: Disk> {
    file: D::File,
    path: String,
    /// Size of the file.
    bytes: u64,
    start: u64,
    buf: AlignedBuf,
    read_ahead: u64,
}

impl<D: Disk> Window<D> {
    /// Opens a segment; each read fetches at least `read_ahead` bytes.
    pub(super) fn open(disk: &D, number: SegmentNumber, read_ahead: u64) -> Result<Self, InspectError> {
        let path = segment_path(number);
        let (file, bytes) = open_file(disk, &path).map_err(InspectError::io("opening", &path))?;
        Ok(Self {
            file,
            path,
            bytes,
            start: 0,
            buf: AlignedBuf::new(),
            read_ahead,
        })
    }

    /// The `len` bytes at `offset`.
    pub(super) fn at(&mut self, offset: u64, len: u64) -> Result<&[u8], InspectError> {
        let end = self.start + byte_count(self.buf.len());
        if offset < self.start || offset + len > end {
            self.fill(offset, len)?;
        }
        Ok(&self.buf[memory_offset(offset - self.start)..][..memory_offset(len)])
    }

    /// Forgets what was read, so that the next look is a fresh one.
    pub(super) fn forget(&mut self) {
        self.buf.clear();
    }

    fn fill(&mut self, offset: u64, len: u64) -> Result<(), InspectError> {
        let start = offset / ALIGNMENT * ALIGNMENT;
        let needed = offset + len - start;
        let ahead = self.read_ahead.min(self.bytes.saturating_sub(start));
        let wanted = needed.max(ahead).next_multiple_of(ALIGNMENT);
        self.buf.resize_stale(memory_offset(wanted));
        self.start = start;
        let read = self.file.read_at(&mut self.buf, start);
        let read = read.map_err(|source| {
            self.buf.clear();
            InspectError::Io {
                what: "reading",
                file: self.path.clone(),
                source,
            }
        })?;
        self.buf[read..].fill(0);
        Ok(())
    }
}

/// The `len` bytes at `offset` of any file; fewer where it ends.
pub(super) fn range_of<D: Disk>(
    disk: &D,
    path: &str,
    offset: u64,
    len: u64,
) -> Result<Vec<u8>, InspectError> {
    let file = disk.open(path, FileKind::Journal);
    let file = file.map_err(InspectError::io("opening", path))?;
    let size = file.len().map_err(InspectError::io("reading", path))?;
    let len = len.min(size.saturating_sub(offset));
    if len == 0 {
        return Ok(Vec::new());
    }
    let start = offset / ALIGNMENT * ALIGNMENT;
    let wanted = (offset + len - start).next_multiple_of(ALIGNMENT);
    let mut buf = AlignedBuf::zeroed(memory_offset(wanted));
    let read = file.read_at(&mut buf, start);
    let read = read.map_err(InspectError::io("reading", path))?;
    let end = memory_offset(offset + len - start).min(read);
    Ok(buf[memory_offset(offset - start).min(end)..end].to_vec())
}
