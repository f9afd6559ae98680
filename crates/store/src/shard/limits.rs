//! Limits of queues, kept by refusing messages or by dropping from the head.
//!
//! Invariants:
//! - What a message pushes out is dropped by a record in the message's own block: no crash shows one without the other.
//! - Leased entries are never dropped, and do not count. Nor does what is accepted, not durable yet, and awaited: it will be leased at once.
//! - A publish looks at nothing but counts and at the entries that it drops.
//!
//! Elsewhere: what the limits are (`queue_limits`), and where an entry counts (`queue`).

use super::Shard;
use super::forgotten::discard;
use super::unlogged;
use crate::builder::LISTS;
use crate::disk::{Disk, Now};
use crate::error::AppendError;
use crate::format::record::{self, AckReason, Range};
use crate::ids::{QueueId, Seq};
use crate::index::page;
use crate::index::pages::{DamagedPage, Pages};
use crate::planted::{self, Planted};
use crate::queue::Queue;
use crate::queue_limits::{QueueLimits, WhenFull};
use crate::segments::Segments;
use crate::state::{Forgotten, State, damaged_index};
use crate::units::Units;

/// Where the records of drops may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Room {
    /// Into the block that is being built, for their cause stands in it.
    SameBlock,
    /// Into any block from here on.
    Anywhere,
}

impl<D: Disk> Shard<D> {
    /// Bounds a queue from now on. Limits are not written to the log: whoever owns the queue sets them after each start.
    /// Those that drop do so at once; what exceeds those that refuse stays until it is consumed.
    ///
    /// # Errors
    /// When there is no such queue, or the store is poisoned.
    pub fn set_limits(&mut self, id: QueueId, limits: QueueLimits, now: Now) -> Result<(), AppendError> {
        self.check_alive()?;
        self.clock = now;
        let queue = self
            .state
            .queues
            .open_mut(id)
            .ok_or(AppendError::UnknownQueue(id))?;
        queue.limits = (!limits.is_unlimited()).then(|| Box::new(limits));
        if queue.limits.is_none() {
            queue.accepted = std::collections::VecDeque::new();
        }
        self.trim(id, Room::Anywhere)?;
        self.note_head(id);
        Ok(())
    }

    /// Drops what a queue holds beyond its limits, if these drop.
    ///
    /// # Errors
    /// When the store is poisoned.
    pub fn keep_limits(&mut self, id: QueueId) -> Result<(), AppendError> {
        self.check_alive()?;
        self.trim(id, Room::Anywhere)?;
        self.note_head(id);
        Ok(())
    }

    /// The limits of a queue; without any for one that does not exist.
    #[must_use]
    pub fn limits(&self, id: QueueId) -> QueueLimits {
        let queue = self.state.queues.open(id);
        queue
            .and_then(|queue| queue.limits.as_deref().copied())
            .unwrap_or_default()
    }

    /// Whether a queue would refuse a message of such a size now, and [`Shard::publish`] with it for all its queues. Who
    /// wants the others to have it, as AMQP does, asks each queue first and leaves out those that refuse.
    #[must_use]
    pub fn refuses(&self, id: QueueId, properties_bytes: usize, body_bytes: usize) -> bool {
        let counted = page::counted_bytes(properties_bytes, body_bytes);
        self.state
            .queues
            .open(id)
            .is_some_and(|queue| queue.refuses(counted))
    }

    /// Whether one more message of such a size would be too much for a queue, should nobody wait for what is in it.
    #[must_use]
    pub fn overflows(&self, id: QueueId, properties_bytes: usize, body_bytes: usize) -> bool {
        let bytes = page::counted_bytes(properties_bytes, body_bytes);
        self.state.queues.open(id).is_some_and(|queue| {
            let would_be = |limits: &QueueLimits| {
                limits.are_exceeded_by(queue.counts().ready + 1, queue.ready_bytes() + bytes)
            };
            queue.limits.as_deref().is_some_and(would_be)
        })
    }

    /// Somebody waits for so many messages of a queue, and leases them as soon as they are durable. Of those that are accepted and not durable yet the
    /// first ones, so many, do not count against the queue's limits, until this is said anew.
    pub fn set_awaited(&mut self, id: QueueId, messages: u64) {
        if let Some(queue) = self.state.queues.open_mut(id) {
            queue.awaited = messages;
        }
    }

    /// Bytes that a message counts against limits.
    pub(crate) fn counted_bytes(properties_bytes: usize, body_bytes: usize) -> u64 {
        page::counted_bytes(properties_bytes, body_bytes)
    }

    /// Bytes of the bodies of all that is ready, as limits count them.
    #[must_use]
    pub fn ready_bytes(&self, id: QueueId) -> Option<u64> {
        self.state.queues.open(id).map(Queue::ready_bytes)
    }

    /// A message was accepted for these queues. In a transaction they are seen to at its end, when all that it brings
    /// has its place in the block.
    pub(super) fn make_fit(&mut self, queues: &[QueueId]) -> Result<(), AppendError> {
        let is_limited = |id: &&QueueId| {
            let queue = self.state.queues.open(**id);
            queue.is_some_and(|queue| queue.limits.is_some())
        };
        self.limited.extend(queues.iter().filter(is_limited));
        if self.tail.is_held_open() {
            return Ok(());
        }
        self.trim_limited()
    }

    pub(super) fn trim_limited(&mut self) -> Result<(), AppendError> {
        let mut limited = std::mem::take(&mut self.limited);
        let trimmed = limited.iter().try_for_each(|id| {
            self.trim(*id, Room::SameBlock)?;
            self.note_head(*id);
            Ok(())
        });
        limited.clear();
        self.limited = limited;
        trimmed
    }

    /// Drops from the head until the rest is within the queue's limits. Should the block be too full for so many records,
    /// the next publish goes on with it.
    pub(super) fn trim(&mut self, id: QueueId, room: Room) -> Result<(), AppendError> {
        loop {
            let State {
                queues,
                pages,
                segments,
                units,
                forgotten,
                ..
            } = &mut self.state;
            let Some(queue) = queues.open_mut(id).filter(|queue| queue.is_overfull()) else {
                return Ok(());
            };
            match room {
                _ if queue.held.is_some() => {}
                // A first range may bring the heads of so many lists into a block; none is larger than a range.
                _ if (room == Room::SameBlock || self.tail.is_held_open())
                    && !self.tail.fits(record::ranges_len(LISTS)) =>
                {
                    return Ok(());
                }
                Room::SameBlock => {}
                Room::Anywhere => self.tail.make_room(record::ranges_len(1)),
            }
            match take_head(queue, segments, units, forgotten, pages) {
                Ok(Head::None) => return Ok(()),
                Ok(Head::Ended) => {}
                Ok(Head::Taken(seq)) if self.holders.hold(queue, AckReason::Dropped, seq, 1) => {}
                Ok(Head::Taken(seq)) => {
                    if planted::is(Planted::DropInLaterBlock) {
                        self.tail.rotate();
                    }
                    let (first, count) = (Seq::new(seq), 1);
                    let range = Range {
                        queue: id,
                        first,
                        count,
                    };
                    self.tail.building().0.ack(AckReason::Dropped, range, self.clock);
                }
                Err(page) => {
                    let cause = damaged_index(page);
                    self.poison(&cause);
                    return Err(AppendError::Poisoned(cause));
                }
            }
        }
    }
}

impl Queue {
    /// Whether a message that counts so many bytes is refused.
    pub(super) fn refuses(&self, bytes: u64) -> bool {
        self.limits.as_deref().is_some_and(|limits| {
            let (messages, held_bytes) = self.counted(limits);
            limits.when_full == WhenFull::Refuse && limits.are_exceeded_by(messages + 1, held_bytes + bytes)
        })
    }

    fn is_overfull(&self) -> bool {
        self.limits.as_deref().is_some_and(|limits| {
            let (messages, bytes) = self.counted(limits);
            limits.when_full == WhenFull::DropHead && limits.are_exceeded_by(messages, bytes)
        })
    }

    /// Messages and bytes that count against these limits: all that is ready, but for what is accepted and awaited. Where only messages are
    /// limited nobody asks for the bytes of what is awaited, which are added up one by one.
    fn counted(&self, limits: &QueueLimits) -> (u64, u64) {
        let (ready, bytes) = (self.counts().ready, self.ready_bytes());
        let accepted = self.next_seq - self.cursor.max(self.visible_end);
        if self.awaited >= accepted {
            return (ready - accepted, bytes.saturating_sub(self.accepted_bytes));
        }
        if limits.bytes.is_none() {
            return (ready - self.awaited, bytes);
        }
        // Of what came before there was a limit the size is not known.
        let known = self.accepted.len();
        let count = |messages: u64| usize::try_from(messages).unwrap_or(usize::MAX);
        let first = known.saturating_sub(count(accepted));
        let awaited = self.accepted.range(first..).take(count(self.awaited));
        (ready - self.awaited, bytes.saturating_sub(awaited.sum()))
    }

    /// Takes off what is accepted and not visible yet; `false` when it came before there was a limit, so that its size is
    /// not known.
    fn take_accepted(&mut self, seq: u64) -> bool {
        let behind = usize::try_from(self.next_seq - seq).unwrap_or(usize::MAX);
        let Some(at) = self.accepted.len().checked_sub(behind) else {
            return false;
        };
        self.accepted_bytes = self.accepted_bytes.saturating_sub(self.accepted[at]);
        self.cursor = seq + 1;
        true
    }
}

/// What became of the head of a queue.
enum Head {
    /// There is none that can be taken.
    None,
    /// Its life has ended, and nothing needs to be said of it.
    Ended,
    /// It counts as leased until it is durably dead.
    Taken(u64),
}

/// Takes the entry at the head off, as if it were leased.
fn take_head<D: Disk>(
    queue: &mut Queue,
    segments: &mut Segments<D>,
    units: &Units<D>,
    forgotten: &mut Forgotten,
    pages: &mut Pages<D>,
) -> Result<Head, DamagedPage> {
    while let Some(seq) = queue.head(queue.next_seq) {
        if seq >= queue.visible_end {
            return Ok(if queue.take_accepted(seq) {
                Head::Taken(seq)
            } else {
                Head::None
            });
        }
        let entry = State::entry(pages, queue, seq)?;
        queue.advance(seq, &entry);
        if queue.is_no_message(seq, &entry) {
            discard(queue, forgotten, pages, seq, &entry);
            continue;
        }
        queue.lease(entry.body_bytes());
        if queue.held.is_none() && unlogged::is_unlogged(queue, &entry) {
            unlogged::end(queue, segments, units, pages, seq, &entry);
            return Ok(Head::Ended);
        }
        return Ok(Head::Taken(seq));
    }
    Ok(Head::None)
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
