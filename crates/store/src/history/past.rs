//! Both parts of a history in one order.

use super::blocks::Place;
use super::cold::ColdWalk;
use super::journal::JournalWalk;
use crate::disk::Disk;
use crate::engine::Engine;
use crate::follower::Follower;
use crate::ids::{QueueId, SegmentNumber};
use std::io;

/// A stretch of the log that the disk would not read.
#[derive(Debug)]
pub(crate) struct Unread {
    pub segment: SegmentNumber,
    pub offset: u64,
    pub source: io::Error,
}

/// See the module's description.
pub(crate) struct Past<D: Disk> {
    queue: QueueId,
    journal: JournalWalk<D>,
    cold: ColdWalk,
}

impl<D: Disk> Past<D> {
    pub(crate) fn new<F: Follower<D>>(engine: &Engine<D, F>, queue: QueueId) -> Self {
        let salt = engine.salt();
        Self {
            queue,
            journal: JournalWalk::new(queue, salt),
            cold: ColdWalk::new(queue, salt),
        }
    }

    /// The next place from `from` on. After an error it goes on behind what could not be read.
    pub(crate) fn peek<F: Follower<D>>(
        &mut self,
        engine: &Engine<D, F>,
        from: u64,
    ) -> Result<Option<Place>, Unread> {
        let mut in_journal = self.journal.peek(from)?;
        while in_journal.is_none() && self.journal.wants_segment() {
            let mut guard = engine.lock();
            let shard = guard.shard();
            self.journal.enter(shard.hold_journal(self.journal.entered()));
            // What was evacuated from segments that are gone was copied before that.
            self.cold.look(shard.cold_extents(self.queue));
            drop(guard);
            in_journal = self.journal.peek(from)?;
        }
        let hold = |number| engine.lock().shard().hold_segment(number);
        let in_cold = self.cold.peek(from, hold)?;
        Ok(match (in_journal, in_cold) {
            (Some(journal), Some(cold)) if cold.seq < journal.seq => Some(cold),
            (journal, cold) => journal.or(cold),
        })
    }
}
