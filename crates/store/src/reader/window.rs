//! The memory into which a reader reads ahead: a stretch of one segment.
//!
//! Invariants:
//! - A window is bounded by the largest record it was asked for; a stretch that somebody else keeps is never written again.
//! - Of stretches that others kept for a while no more than [`STRETCHES_KEPT_MAX`] are kept to be used again.

use crate::checksum::Salt;
use crate::disk::{AlignedBuf, Disk, DiskFile};
use crate::error::ReadError;
use crate::format::record;
use crate::format::{byte_count, memory_offset};
use crate::ids::{Lsn, SegmentNumber};
use crate::limits::{ALIGNMENT, READ_AHEAD_BYTES_MAX, READ_AHEAD_BYTES_MIN, STRETCHES_KEPT_MAX};
use crate::segments::SegmentFile;
use std::sync::Arc;

/// Bytes of the log that were read from a file.
pub(crate) struct Stretch {
    first_lsn: Lsn,
    buf: AlignedBuf,
}

impl Stretch {
    const fn empty() -> Self {
        Self {
            first_lsn: Lsn::new(0),
            buf: AlignedBuf::new(),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buf
    }

    /// Where they begin.
    pub(crate) const fn first_lsn(&self) -> Lsn {
        self.first_lsn
    }

    /// The `len` bytes at `lsn`, when they lie here.
    pub(crate) fn at(&self, lsn: Lsn, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(lsn.get().checked_sub(self.first_lsn.get())?).ok()?;
        self.buf.get(start..start.checked_add(len)?)
    }

    /// Memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.buf.capacity()
    }
}

/// See the module's description.
pub(super) struct Window<D: Disk> {
    segment: Option<Arc<SegmentFile<D::File>>>,
    stretch: Arc<Stretch>,
    /// Earlier ones.
    kept: Vec<Arc<Stretch>>,
    read_ahead: u64,
}

impl<D: Disk> Window<D> {
    pub(super) fn new() -> Self {
        Self {
            segment: None,
            stretch: Arc::new(Stretch::empty()),
            kept: Vec::new(),
            read_ahead: READ_AHEAD_BYTES_MIN,
        }
    }

    pub(super) fn holds(&self, lsn: Lsn, len: usize) -> bool {
        self.at(lsn, len).is_some()
    }

    /// The `len` bytes at `lsn`, when they lie here.
    pub(super) fn at(&self, lsn: Lsn, len: usize) -> Option<&[u8]> {
        self.segment.as_ref()?;
        self.stretch.at(lsn, len)
    }

    /// Segment and offset of the byte at `lsn`, if the window lies in that segment.
    pub(super) fn place(&self, lsn: Lsn) -> Option<(SegmentNumber, u64)> {
        let file = self.segment.as_ref()?;
        Some((file.number, lsn.get().checked_sub(file.first_lsn.get())?))
    }

    /// The memory itself.
    pub(super) fn stretch(&self) -> Arc<Stretch> {
        Arc::clone(&self.stretch)
    }

    /// Whether the record at `lsn`, which the window holds, is whole.
    pub(super) fn is_intact(&self, lsn: Lsn, len: usize, salt: Salt) -> bool {
        let (Some((segment, offset)), Some(bytes)) = (self.place(lsn), self.at(lsn, len)) else {
            return false;
        };
        record::peek(bytes).is_some_and(|(found, _)| found == len)
            && record::is_intact(bytes, salt, segment, offset)
    }

    /// Reads from `lsn` on, no further than `limit`, where another segment takes over.
    pub(super) fn fill(
        &mut self,
        file: Arc<SegmentFile<D::File>>,
        limit: Lsn,
        lsn: Lsn,
        len: usize,
    ) -> Result<(), ReadError> {
        let offset = file.offset(lsn);
        let start = offset / ALIGNMENT * ALIGNMENT;
        let first_lsn = file.first_lsn.plus(start);
        self.read_ahead = self.next_read_ahead(&file, lsn, start);
        let needed = (offset + byte_count(len) - start).next_multiple_of(ALIGNMENT);
        let wanted = needed.max(self.read_ahead).min(file.offset(limit) - start);
        self.segment = None;
        let stretch = self.unshared();
        stretch.first_lsn = first_lsn;
        stretch.buf.resize_stale(memory_offset(wanted));
        let read = file.file.read_at(&mut stretch.buf, start);
        let read = read.map_err(|source| ReadError::Io {
            segment: file.number,
            offset: start,
            source,
        })?;
        stretch.buf.truncate(read);
        let segment = file.number;
        self.segment = Some(file);
        if self.holds(lsn, len) {
            Ok(())
        } else {
            Err(ReadError::Damaged { segment, offset })
        }
    }

    /// How far to read: further and further while reads follow each other.
    fn next_read_ahead(&self, file: &SegmentFile<D::File>, lsn: Lsn, start: u64) -> u64 {
        let held = self.segment.as_ref().filter(|held| held.number == file.number);
        let first = self.stretch.first_lsn;
        let end = first.plus(byte_count(self.stretch.buf.len()));
        // The next record, or one not far behind it, continues a sequential read.
        let is_sequential = held.is_some() && lsn >= first && lsn <= end.plus(self.read_ahead);
        let is_entering = held.is_none() && start <= crate::limits::SEGMENT_HEADER_BYTES;
        match (is_sequential, is_entering) {
            (true, _) => (self.read_ahead * 2).min(READ_AHEAD_BYTES_MAX),
            (_, true) => self.read_ahead,
            _ => READ_AHEAD_BYTES_MIN,
        }
    }

    /// A stretch that nobody else keeps, in place of the present one.
    fn unshared(&mut self) -> &mut Stretch {
        if Arc::get_mut(&mut self.stretch).is_none() {
            let free = self.kept.iter_mut().position(|kept| Arc::get_mut(kept).is_some());
            let free = free.map_or_else(|| Arc::new(Stretch::empty()), |at| self.kept.swap_remove(at));
            let shared = std::mem::replace(&mut self.stretch, free);
            if self.kept.len() < STRETCHES_KEPT_MAX {
                self.kept.push(shared);
            }
        }
        Arc::get_mut(&mut self.stretch).expect("it was looked for")
    }
}
