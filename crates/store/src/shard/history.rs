//! What a walk over the log asks of the shard: segments to hold, and what became of a message.

use super::Shard;
use crate::disk::Disk;
use crate::history::{HeldSegment, Place};
use crate::ids::{Lsn, QueueId, SegmentNumber};
use crate::segments::Segment;

/// What became of a message that the log still holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Ready,
    Leased,
    /// Its life is over.
    Dead,
    /// It ended with the process that took it.
    Vanished,
}

impl<D: Disk> Shard<D> {
    /// The journal's first segment, or the first one behind that which begins at `after`.
    pub(crate) fn hold_journal(&self, after: Option<Lsn>) -> Option<HeldSegment<D>> {
        let journal = self.state.segments.iter();
        let mut journal = journal.take_while(|segment| !segment.file.number.is_cold());
        let next = journal.find(|segment| {
            after.is_none_or(|after| segment.file.first_lsn > after) && !self.is_being_recycled(segment)
        });
        next.map(HeldSegment::new)
    }

    /// The segment, unless it is recycled.
    pub(crate) fn hold_segment(&self, number: SegmentNumber) -> Option<HeldSegment<D>> {
        let mut segments = self.state.segments.iter();
        let found = segments.find(|segment| segment.file.number == number)?;
        (!self.is_being_recycled(found)).then(|| HeldSegment::new(found))
    }

    /// The cold segments in which copies of the queue's messages lie, and where their blocks end.
    pub(crate) fn cold_extents(&self, queue: QueueId) -> Vec<(SegmentNumber, Lsn)> {
        let all = self.state.segments.iter();
        let with_queue = all.filter(|segment| {
            segment.file.number.is_cold()
                && segment.control.contains(&queue)
                && !self.is_being_recycled(segment)
        });
        with_queue
            .map(|segment| (segment.file.number, segment.end))
            .collect()
    }

    /// What became of the message; `None` when its queue was deleted.
    pub(crate) fn fate(&self, id: QueueId, place: &Place) -> Option<Fate> {
        let queue = self.state.queues.open(id)?;
        Some(if place.is_transient && place.seq < queue.transient_floor {
            Fate::Vanished
        } else if queue.is_dead(place.seq) {
            Fate::Dead
        } else if queue.is_leased(place.seq) {
            Fate::Leased
        } else {
            Fate::Ready
        })
    }

    /// A job has it without the lock, and its file may be another segment's at any moment.
    fn is_being_recycled(&self, segment: &Segment<D::File>) -> bool {
        self.chores.recycling.contains(&segment.file.number)
    }
}
