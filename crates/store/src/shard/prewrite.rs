//! New segments are written once, with zeros, before the log comes to them: the first write to a part of a file makes the file
//! system keep its own books and sync them, and a write to what was written before does not.
//!
//! Invariants:
//! - What is prewritten is not part of the log: it is taken out of the tail's hands meanwhile, and nobody else writes to it.
//! - The log does not wait for it: it ends between two pieces when the log comes near the end of its segment, or so fast that
//!   zeros would take the disk from it.
//! - It changes how long writes take and nothing else: whether it was done, in part, or found no room, the segment is as good as
//!   before. A write or sync that fails otherwise ends the store, like any other of the log.
//!
//! Elsewhere: segments made (`housekeeping`) and recycled (`recycle`), where the log goes on to one of them (`tail`).

use super::Shard;
use crate::disk::{AlignedBuf, Disk, DiskFile, Now, is_full};
use crate::format::memory_offset;
use crate::ids::SegmentNumber;
use crate::limits::{
    PREWRITE_BYTES_PER_MS, PREWRITE_LOG_BYTES_PER_MS_MAX, PREWRITE_PIECE_BYTES, PREWRITE_SYNC_BYTES,
    SEGMENT_HEADER_BYTES,
};
use crate::segments::{Segment, SegmentFile};
use std::io;
use std::sync::Arc;

/// How much of the file of a segment was written before it became one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wear {
    /// Nothing, or so little that it makes no difference, or nobody knows.
    New,
    /// It was to be prewritten, and something came in between.
    Interrupted,
    /// All of it, or nearly.
    Written,
}

/// A file that was a segment, or was made to become one, and waits for that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpareFile {
    pub number: SegmentNumber,
    pub wear: Wear,
}

impl SpareFile {
    /// One of which nobody knows that it was written to.
    pub(crate) const fn new(number: SegmentNumber) -> Self {
        Self {
            number,
            wear: Wear::New,
        }
    }

    /// One that was this segment: the log may have come to its end, or an epoch may have cut it off early.
    pub(super) fn of<D: Disk>(segment: &Segment<D::File>) -> Self {
        let file = &segment.file;
        let is_written = file.offset(segment.end) >= file.file_bytes / 4 * 3;
        let wear = if is_written { Wear::Written } else { Wear::New };
        Self {
            number: file.number,
            wear,
        }
    }
}

/// Write the segment that the log goes on to, once.
pub(crate) struct Prewrite<D: Disk> {
    pub file: Arc<SegmentFile<D::File>>,
}

impl<D: Disk> Prewrite<D> {
    /// Writes until all is written, or `is_wanted` says that the log needs the segment. A disk that has no room for zeros may
    /// have room for the log; any other error is one of a file of the log.
    pub(crate) fn perform(&self, mut is_wanted: impl FnMut() -> bool) -> io::Result<Wear> {
        match self.write(&mut is_wanted) {
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, segment = %self.file.number, "no room to write a new segment once");
                Ok(Wear::Interrupted)
            }
            done => done,
        }
    }

    fn write(&self, is_wanted: &mut dyn FnMut() -> bool) -> io::Result<Wear> {
        let SegmentFile { file, file_bytes, .. } = &*self.file;
        let piece = PREWRITE_PIECE_BYTES;
        let zeros = AlignedBuf::zeroed(memory_offset(piece));
        // Pieces end where syncs are due.
        let mut at = SEGMENT_HEADER_BYTES;
        while at < *file_bytes {
            if is_wanted() {
                return Ok(Wear::Interrupted);
            }
            let len = (piece - at % piece).min(file_bytes - at);
            file.write_at(&zeros[..memory_offset(len)], at)?;
            at += len;
            if at.is_multiple_of(PREWRITE_SYNC_BYTES) || at >= *file_bytes {
                file.sync()?;
            }
        }
        Ok(Wear::Written)
    }
}

impl<D: Disk> Shard<D> {
    /// Whether the next segment should be written once now: the log is on its way, and comes to it late enough.
    pub(crate) fn prewrite_is_due(&self, now: Now) -> bool {
        if !self.options.prewrite_segments
            || self.tail.next_wear() != Some(Wear::New)
            || self.chores.is_full
            || !self.tail.is_under_way()
            || self.log_is_fast(now)
        {
            return false;
        }
        let (file_bytes, filled) = (self.tail.segment().file_bytes, self.tail.filled_bytes());
        // As fast as it came so far, when will the rest of the segment be full?
        let left_ms = (file_bytes - filled).saturating_mul(self.ms_in_segment(now)) / filled.max(1);
        left_ms > file_bytes / PREWRITE_BYTES_PER_MS
    }

    /// Whether the log has filled its segment so fast that the disk has nothing to spare: what is written twice would be in the way
    /// of what is written.
    fn log_is_fast(&self, now: Now) -> bool {
        self.tail.filled_bytes()
            > self
                .ms_in_segment(now)
                .saturating_mul(PREWRITE_LOG_BYTES_PER_MS_MAX)
    }

    /// Milliseconds since the log came to its segment, at least one.
    fn ms_in_segment(&self, now: Now) -> u64 {
        now.mono_ms.saturating_sub(self.chores.entered_ms).max(1)
    }

    pub(super) fn prewrite_job(&mut self, now: Now) -> Option<Prewrite<D>> {
        let file = self.prewrite_is_due(now).then(|| self.tail.lend_next())??;
        Some(Prewrite { file })
    }

    /// Whether the log will soon need the segment that is being prewritten, or all of the disk, or publishers the housekeeper.
    pub(crate) fn is_next_wanted(&self, now: Now) -> bool {
        let file_bytes = self.tail.segment().file_bytes;
        self.log_is_fast(now)
            || self.tail.filled_bytes() + self.tail.accepted_bytes() > file_bytes / 4 * 3
            || self.is_awaited()
    }

    /// Whether publishers wait for the housekeeper, or all is over.
    pub(crate) fn is_awaited(&self) -> bool {
        self.poisoned.is_some() || self.chores.is_full || self.slab_is_due() || self.spill_is_due()
    }
}
