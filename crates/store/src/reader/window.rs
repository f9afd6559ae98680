//! The memory into which a reader reads ahead: a stretch of one segment, and while reads follow each other the next ones.
//!
//! Invariants:
//! - A stretch is bounded by the largest record that was asked for, a next one by what is read ahead and its head; a stretch that somebody else keeps is never written again.
//! - The next ones continue the stretch and each other, and are at most [`STRETCHES_AHEAD_MAX`]; one until the disk was late.
//! - Of stretches that others kept for a while no more than [`STRETCHES_KEPT_MAX`] are kept to be used again.
//!
//! Elsewhere: who reads the next ones meanwhile (`ahead`).

use super::ahead::{Ahead, Asked, Read, Wanted};
use crate::checksum::Salt;
use crate::disk::{AlignedBuf, Disk};
use crate::error::ReadError;
use crate::format::record;
use crate::format::{byte_count, memory_offset};
use crate::ids::{Lsn, SegmentNumber};
use crate::limits::{
    ALIGNMENT, READ_AHEAD_BYTES_MAX, READ_AHEAD_BYTES_MIN, READ_AHEAD_HEAD_BYTES_MAX, STRETCHES_AHEAD_MAX,
    STRETCHES_KEPT_MAX,
};
use crate::segments::SegmentFile;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of the log that were read from a file.
pub(crate) struct Stretch {
    first_lsn: Lsn,
    buf: AlignedBuf,
    /// Where in `buf` they begin: before, there may be room for what the stretch before ends with.
    start: usize,
}

impl Stretch {
    const fn empty() -> Self {
        Self {
            first_lsn: Lsn::new(0),
            buf: AlignedBuf::new(),
            start: 0,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// Where they begin.
    pub(crate) const fn first_lsn(&self) -> Lsn {
        self.first_lsn
    }

    /// Where they end.
    fn end(&self) -> Lsn {
        self.first_lsn.plus(byte_count(self.bytes().len()))
    }

    /// The `len` bytes at `lsn`, when they lie here.
    pub(crate) fn at(&self, lsn: Lsn, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(lsn.get().checked_sub(self.first_lsn.get())?).ok()?;
        self.bytes().get(start..start.checked_add(len)?)
    }

    /// Memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.buf.capacity()
    }

    /// Makes room for `bytes` to be read from `first_lsn` on, with `head` more before them.
    fn prepare(&mut self, first_lsn: Lsn, head: u64, bytes: u64) {
        self.first_lsn = first_lsn;
        self.start = memory_offset(head);
        let len = memory_offset(head + bytes);
        if self.buf.capacity() < len {
            self.buf = AlignedBuf::with_capacity(len);
        }
        self.buf.resize_stale(len);
    }

    /// What is to be read into.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.buf[self.start..]
    }

    /// Only so much was read.
    pub(super) fn truncate(&mut self, read: usize) {
        self.buf.truncate(self.start + read);
    }

    /// Puts what stands in `before` from `from` on in front of this, which continues it. Whether there was room.
    fn lead_in(&mut self, before: &Self, from: Lsn) -> bool {
        let Some(head) = self.first_lsn.get().checked_sub(from.get()).map(memory_offset) else {
            return true;
        };
        let Some(bytes) = before.at(from, head).filter(|_| head <= self.start) else {
            return false;
        };
        let start = self.start - head;
        self.buf[start..self.start].copy_from_slice(bytes);
        (self.start, self.first_lsn) = (start, from);
        true
    }
}

/// How the bytes of a window came there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Filled {
    /// They were read just now.
    Now,
    /// They were read before anybody asked for them.
    Ahead,
}

/// What comes after the stretch in the same segment.
struct Next<D: Disk> {
    file: Arc<SegmentFile<D::File>>,
    first_lsn: Lsn,
    /// Where it ends, if all of it can be read.
    end: Lsn,
    asked: Asked<D>,
}

/// See the module's description.
pub(super) struct Window<D: Disk> {
    segment: Option<Arc<SegmentFile<D::File>>>,
    stretch: Arc<Stretch>,
    next: VecDeque<Next<D>>,
    /// How many of them are asked for: one more each time when the disk was late.
    depth: usize,
    ahead: Ahead<D>,
    /// Earlier ones.
    kept: Vec<Arc<Stretch>>,
    read_ahead: u64,
}

impl<D: Disk> Window<D> {
    pub(super) fn new(ahead: Ahead<D>) -> Self {
        Self {
            segment: None,
            stretch: Arc::new(Stretch::empty()),
            next: VecDeque::new(),
            depth: 1,
            ahead,
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

    /// Takes what was read ahead if `lsn` lies there, or reads from there on, no further than `limit`, where another segment
    /// takes over.
    pub(super) fn advance(
        &mut self,
        file: &Arc<SegmentFile<D::File>>,
        limit: Lsn,
        lsn: Lsn,
        len: usize,
    ) -> Result<Filled, ReadError> {
        while let Some(next) = self.next.pop_front() {
            if self.take(next, file, lsn, len) {
                self.ask(file, limit, len);
                return Ok(Filled::Ahead);
            }
        }
        self.fill(file, limit, lsn, len).map(|()| Filled::Now)
    }

    /// Whether what was read ahead has the `len` bytes at `lsn`; then it is the stretch.
    fn take(&mut self, next: Next<D>, file: &Arc<SegmentFile<D::File>>, lsn: Lsn, len: usize) -> bool {
        let from = file.first_lsn.plus(file.offset(lsn) / ALIGNMENT * ALIGNMENT);
        let head = next.first_lsn.get().saturating_sub(from.get());
        let reach = next.first_lsn.plus(READ_AHEAD_BYTES_MAX);
        let is_within = head <= READ_AHEAD_HEAD_BYTES_MAX && lsn.plus(byte_count(len)) <= reach;
        if !is_within || !Arc::ptr_eq(&next.file, file) {
            return false;
        }
        if next.asked.is_late() {
            self.depth = (self.depth + 1).min(STRETCHES_AHEAD_MAX);
        }
        let Some(mut stretch) = next.asked.take() else {
            return false;
        };
        let fits = Arc::get_mut(&mut stretch).is_some_and(|next| next.lead_in(&self.stretch, from));
        if !fits || stretch.at(lsn, len).is_none() {
            self.keep(stretch);
            return false;
        }
        let before = std::mem::replace(&mut self.stretch, stretch);
        self.keep(before);
        true
    }

    /// Reads from `lsn` on, no further than `limit`, where another segment takes over.
    pub(super) fn fill(
        &mut self,
        file: &Arc<SegmentFile<D::File>>,
        limit: Lsn,
        lsn: Lsn,
        len: usize,
    ) -> Result<(), ReadError> {
        self.next.clear();
        let offset = file.offset(lsn);
        let start = offset / ALIGNMENT * ALIGNMENT;
        let first_lsn = file.first_lsn.plus(start);
        self.read_ahead = self.next_read_ahead(file, lsn, start);
        let needed = (offset + byte_count(len) - start).next_multiple_of(ALIGNMENT);
        let wanted = needed.max(self.read_ahead).min(file.offset(limit) - start);
        self.segment = None;
        if Arc::get_mut(&mut self.stretch).is_none() {
            let free = self.unshared();
            let shared = std::mem::replace(&mut self.stretch, free);
            self.keep(shared);
        }
        let stretch = Arc::get_mut(&mut self.stretch).expect("nobody else has it");
        stretch.prepare(first_lsn, 0, wanted);
        let read = file.read_at(stretch.room(), start);
        let read = read.map_err(|source| ReadError::Io {
            segment: file.number,
            offset: start,
            source,
        })?;
        stretch.truncate(read);
        let segment = file.number;
        self.segment = Some(Arc::clone(file));
        if !self.holds(lsn, len) {
            return Err(ReadError::Damaged { segment, offset });
        }
        if self.read_ahead == READ_AHEAD_BYTES_MAX {
            self.ask(file, limit, len);
        } else {
            self.depth = 1;
        }
        Ok(())
    }

    /// Asks for what follows the stretch, below `limit`. Records of `len` bytes, as the last one, must fit in front of it.
    fn ask(&mut self, file: &Arc<SegmentFile<D::File>>, limit: Lsn, len: usize) {
        let is_large = byte_count(len) + ALIGNMENT > READ_AHEAD_HEAD_BYTES_MAX;
        if is_large || !self.ahead.is_served() {
            return;
        }
        while self.next.len() < self.depth && self.ask_for_one(file, limit) {}
    }

    /// Asks for what follows all that is there or was asked for; whether there is such, and somebody reads it.
    fn ask_for_one(&mut self, file: &Arc<SegmentFile<D::File>>, limit: Lsn) -> bool {
        let first_lsn = self.next.back().map_or(self.stretch.end(), |last| last.end);
        let left = limit.get().saturating_sub(first_lsn.get());
        let bytes = left.min(READ_AHEAD_BYTES_MAX);
        let offset = file.offset(first_lsn);
        if bytes == 0 || !offset.is_multiple_of(ALIGNMENT) {
            return false;
        }
        let stretch = self.stretch_for(first_lsn, bytes);
        let read = Read {
            file: Arc::clone(file),
            offset,
            stretch,
        };
        let wanted = if self.next.is_empty() {
            Wanted::Next
        } else {
            Wanted::Later
        };
        match self.ahead.ask(read, wanted) {
            Ok(asked) => {
                self.next.push_back(Next {
                    file: Arc::clone(file),
                    first_lsn,
                    end: first_lsn.plus(bytes),
                    asked,
                });
                true
            }
            Err(read) => {
                self.keep(read.stretch);
                false
            }
        }
    }

    /// A stretch that nobody else keeps, with room for `bytes` from `first_lsn` on and for a head.
    pub(super) fn stretch_for(&mut self, first_lsn: Lsn, bytes: u64) -> Arc<Stretch> {
        let mut stretch = self.unshared();
        let unshared = Arc::get_mut(&mut stretch).expect("nobody else has it");
        unshared.prepare(first_lsn, READ_AHEAD_HEAD_BYTES_MAX, bytes);
        stretch
    }

    /// How far to read: further and further while reads follow each other.
    fn next_read_ahead(&self, file: &SegmentFile<D::File>, lsn: Lsn, start: u64) -> u64 {
        let held = self.segment.as_ref().filter(|held| held.number == file.number);
        let (first, end) = (self.stretch.first_lsn, self.stretch.end());
        // The next record, or one not far behind it, continues a sequential read.
        let is_sequential = held.is_some() && lsn >= first && lsn <= end.plus(self.read_ahead);
        let is_entering = held.is_none() && start <= crate::limits::SEGMENT_HEADER_BYTES;
        match (is_sequential, is_entering) {
            (true, _) => (self.read_ahead * 2).min(READ_AHEAD_BYTES_MAX),
            (_, true) => self.read_ahead,
            _ => READ_AHEAD_BYTES_MIN,
        }
    }

    /// A stretch that nobody else keeps.
    fn unshared(&mut self) -> Arc<Stretch> {
        let free = self.kept.iter_mut().position(|kept| Arc::get_mut(kept).is_some());
        free.map_or_else(|| Arc::new(Stretch::empty()), |at| self.kept.swap_remove(at))
    }

    /// Keeps a stretch, to use it again when nobody else has it any more.
    fn keep(&mut self, stretch: Arc<Stretch>) {
        if self.kept.len() < STRETCHES_KEPT_MAX {
            self.kept.push(stretch);
        }
    }
}
