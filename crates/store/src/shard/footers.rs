//! Footers of sealed segments: which wait to be written, and for which it is worth it.
//!
//! Invariants:
//! - Nothing waits for a footer, and no failure to write one is a failure of the store.
//! - What waits is bounded; a segment whose footer finds no room in it gets none.
//! - No footer is written for a segment in which nothing lives, nor on a full disk.
//!
//! Elsewhere: what is in them (`footer`), how a start uses them (`recovery`).

use super::Shard;
use crate::disk::Disk;
use crate::footer::{Finished, Footer};
use crate::ids::SegmentNumber;
use crate::limits::FOOTERS_WAITING_BYTES_MAX;
use std::collections::VecDeque;

/// Footers that wait to be written, oldest first.
#[derive(Default)]
pub(crate) struct Footers {
    waiting: VecDeque<Finished>,
    bytes: u64,
    /// Footers written.
    pub written: u64,
}

/// Write the footer of a sealed segment.
pub(crate) struct FooterJob {
    pub finished: Finished,
    pub store: u128,
}

impl Footers {
    fn push(&mut self, finished: Finished) {
        if self.bytes + finished.memory() <= FOOTERS_WAITING_BYTES_MAX {
            self.bytes += finished.memory();
            self.waiting.push_back(finished);
        }
    }

    fn pop(&mut self) -> Option<Finished> {
        let finished = self.waiting.pop_front()?;
        self.bytes -= finished.memory();
        Some(finished)
    }
}

impl FooterJob {
    /// Writes it. Returns the segment if it has a footer now.
    pub(crate) fn perform<D: Disk>(self, disk: &D) -> Option<SegmentNumber> {
        let segment = self.finished.segment;
        match Footer::write(disk, self.finished, self.store) {
            Ok(()) => Some(segment),
            Err(error) => {
                tracing::debug!(%error, %segment, "a segment gets no footer");
                None
            }
        }
    }
}

impl<D: Disk> Shard<D> {
    /// The segment that this is the footer of takes no more blocks.
    pub(super) fn note_sealed(&mut self, finished: Finished) {
        self.footers.push(finished);
    }

    pub(super) fn footer_job(&mut self) -> Option<FooterJob> {
        while !self.chores.is_full
            && let Some(finished) = self.footers.pop()
        {
            let segment = self.state.segments.get_mut(finished.segment);
            if segment.is_some_and(|segment| segment.live.entries > 0) {
                let store = self.chores.store;
                return Some(FooterJob { finished, store });
            }
        }
        None
    }

    /// A segment has a footer now.
    pub(crate) fn note_footer(&mut self, segment: SegmentNumber) {
        if let Some(segment) = self.state.segments.get_mut(segment) {
            segment.footing = crate::segments::Footing::Written;
            self.footers.written += 1;
        }
    }
}
