//! The journal's part of a history: segment after segment, in the order of the queue.
//!
//! A seq is met once here, for sequence numbers are given in the order of the log, but for a last block that a start has
//! written again.

use super::blocks::{Blocks, HeldSegment, Place, each_place};
use super::past::Unread;
use crate::checksum::Salt;
use crate::disk::Disk;
use crate::ids::{Lsn, QueueId};
use std::collections::VecDeque;

pub(super) struct JournalWalk<D: Disk> {
    queue: QueueId,
    salt: Salt,
    /// The first address of the segment that was entered last.
    entered: Option<Lsn>,
    blocks: Option<Blocks<D>>,
    /// Of one block.
    found: VecDeque<Place>,
    is_over: bool,
}

impl<D: Disk> JournalWalk<D> {
    pub(super) fn new(queue: QueueId, salt: Salt) -> Self {
        Self {
            queue,
            salt,
            entered: None,
            blocks: None,
            found: VecDeque::new(),
            is_over: false,
        }
    }

    /// Whether [`JournalWalk::enter`] has to say where to go on.
    pub(super) fn wants_segment(&self) -> bool {
        self.found.is_empty() && self.blocks.is_none() && !self.is_over
    }

    /// The segment behind the one that was entered last: see [`Shard::hold_journal`](crate::Shard).
    pub(super) const fn entered(&self) -> Option<Lsn> {
        self.entered
    }

    pub(super) fn enter(&mut self, held: Option<HeldSegment<D>>) {
        match held {
            Some(held) => {
                self.entered = Some(held.file.first_lsn);
                self.blocks = Some(Blocks::new(held, self.salt));
            }
            None => self.is_over = true,
        }
    }

    /// The next place from `from` on in the segment that was entered; `None` at its end.
    pub(super) fn peek(&mut self, from: u64) -> Result<Option<Place>, Unread> {
        loop {
            while let Some(place) = self.found.front() {
                if place.seq >= from {
                    return Ok(Some(*place));
                }
                self.found.pop_front();
            }
            let Some(blocks) = &mut self.blocks else {
                return Ok(None);
            };
            let (segment, offset) = blocks.position();
            match blocks.next() {
                Ok(Some((lsn, payload))) => {
                    each_place(payload, lsn, self.queue, |place| {
                        if place.seq >= from {
                            self.found.push_back(place);
                        }
                    });
                }
                Ok(None) => self.blocks = None,
                Err(source) => {
                    // What lies behind may be readable, but in the next segment at the latest.
                    self.blocks = None;
                    return Err(Unread {
                        segment,
                        offset,
                        source,
                    });
                }
            }
        }
    }
}
