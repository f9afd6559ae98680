//! Messages that came to their end and are not gone yet: whoever owns the queue publishes them somewhere else first.
//!
//! Invariants:
//! - What is held counts as leased: nobody else gets it, no limit counts it, and its segment stays.
//! - Nothing is written when an entry is held, so its end is durable only with the acknowledgement of its owner, which can
//!   stand in one block with what became of it. A crash before that brings the entry back, and it comes to its end again.
//! - An entry is handed out once, and only when its message is durable.
//!
//! Elsewhere: the sets (`crate::dead_letters`), why it is done this way (docs/decisions/0010).

use super::lease::source_of;
use super::{COLD, Lease, Shard, Sources};
use crate::dead_letters::HeldCount;
use crate::disk::{Disk, Now};
use crate::error::AppendError;
use crate::format::record::{self, AckReason, Range};
use crate::ids::{BlockNumber, QueueId, Seq};
use crate::limits::{HELD_EXPIRED_MAX, HELD_MESSAGES_MAX};
use crate::planted::{self, Planted};
use crate::queue::Queue;
use crate::shard::ranges_of;
use crate::state::{State, damaged_index};
use std::collections::BTreeSet;

/// What becomes of messages that expire, that a limit drops, or that a consumer rejects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DeadLetters {
    /// They are acknowledged with their reason, at once.
    #[default]
    Settle,
    /// They are held until [`Shard::take_dead_letters`] hands them out, and then belong to whoever took them.
    HandOut,
}

/// A message that came to its end, in the hands of whoever owns its queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The queue in which it died.
    pub queue: QueueId,
    /// Of what.
    pub reason: AckReason,
    /// Where its message is, to be read without the lock.
    pub lease: Lease,
}

/// The queues in which something is held.
#[derive(Default)]
pub(super) struct Holders {
    /// May name some in which nothing is held any more.
    queues: BTreeSet<QueueId>,
    /// Whose turn it is, or that of the next one.
    next: QueueId,
    /// Entries that are held, in all of them.
    count: HeldCount,
}

impl Holders {
    /// Holds entries that were taken off the queue as if they were leased. Whether the queue has its dead letters handed out;
    /// if not, nothing was done.
    pub(super) fn hold(&mut self, queue: &mut Queue, reason: AckReason, first: u64, count: u64) -> bool {
        let is_held = queue
            .held
            .as_mut()
            .is_some_and(|held| held.insert(reason, first, count));
        if is_held {
            self.queues.insert(queue.id);
            self.count.add(HeldCount::of(reason, count));
        }
        is_held
    }

    /// So many entries are held no more.
    pub(super) const fn release(&mut self, count: HeldCount) {
        self.count.subtract(count);
    }

    /// Whether so much is held that publishers have to wait.
    pub(super) const fn are_full(&self) -> bool {
        self.count.all >= HELD_MESSAGES_MAX
    }

    /// How many may expire before what is held of that has to be taken. What else is held neither stops them, nor is it stopped:
    /// else many that are due together would keep publishers waiting, or publishers those.
    pub(super) const fn room_to_expire(&self) -> u64 {
        HELD_EXPIRED_MAX.saturating_sub(self.count.expired)
    }

    /// The queue whose turn it is.
    fn turn(&mut self) -> Option<QueueId> {
        let behind = self.queues.range(self.next..).next();
        let id = behind.or_else(|| self.queues.first()).copied()?;
        self.next = QueueId::new(id.get().saturating_add(1));
        Some(id)
    }
}

impl<D: Disk> Shard<D> {
    /// Says what becomes of the messages of a queue that come to their end from now on. Not written to the log: whoever owns
    /// the queue says it after each start, before it sets limits, and before an engine is started.
    ///
    /// With [`DeadLetters::Settle`] those that are still held are acknowledged.
    ///
    /// # Errors
    /// When there is no such queue, or the store is poisoned.
    pub fn set_dead_letters(&mut self, id: QueueId, fate: DeadLetters, now: Now) -> Result<(), AppendError> {
        self.check_alive()?;
        self.clock = now;
        let queue = self.state.queues.open_mut(id);
        let queue = queue.ok_or(AppendError::UnknownQueue(id))?;
        if fate == DeadLetters::HandOut {
            queue.held.get_or_insert_default();
            return Ok(());
        }
        let Some(mut held) = queue.held.take() else {
            return Ok(());
        };
        self.holders.release(held.count());
        while let Some((reason, seq)) = held.first(u64::MAX) {
            self.acknowledge(id, Seq::new(seq), 1, reason, now)?;
            held.remove(reason, seq);
        }
        Ok(())
    }

    /// A consumer does not want these entries, which it leased: they are acknowledged as rejected, or held. Returns the
    /// block that is being built.
    ///
    /// # Errors
    /// When there is no such queue, or the store is poisoned.
    pub fn reject(
        &mut self,
        id: QueueId,
        first: Seq,
        count: u64,
        now: Now,
    ) -> Result<BlockNumber, AppendError> {
        self.check_alive()?;
        let queue = self.state.queues.open_mut(id);
        let queue = queue.ok_or(AppendError::UnknownQueue(id))?;
        let Some(held) = &queue.held else {
            return self.acknowledge(id, first, count, AckReason::Rejected, now);
        };
        let end = first.get().saturating_add(count).min(queue.cursor);
        let mut leased = roaring::RoaringTreemap::new();
        leased.insert_range(first.get().max(queue.floor)..end.max(queue.floor));
        leased -= &queue.acked;
        held.remove_from(&mut leased);
        for (start, end) in ranges_of(&leased) {
            self.holders.hold(queue, AckReason::Rejected, start, end - start);
        }
        Ok(self.tail.building_number())
    }

    /// Whether [`Shard::take_dead_letters`] would hand something out.
    #[must_use]
    pub fn has_dead_letters(&self) -> bool {
        self.holders.queues.iter().any(|id| {
            let queue = self.state.queues.open(*id);
            queue.is_some_and(|queue| queue.next_held().is_some())
        })
    }

    /// Hands out up to `max_messages` entries that are held, those of one queue after those of another. Each of them is to be
    /// acknowledged with its reason, in one [`Shard::transaction`] with what is published in its place; or given back by
    /// [`Shard::requeue`], and comes to its end again. They can be read like leases, without the lock.
    ///
    /// Publishers wait while many are held, so take them as soon as [`Shard::has_dead_letters`] says that there are any: a
    /// [`Follower`](crate::Follower) is told.
    ///
    /// # Errors
    /// When the store is poisoned.
    pub fn take_dead_letters(
        &mut self,
        max_messages: u64,
        out: &mut Vec<DeadLetter>,
        sources: &mut Sources,
    ) -> Result<u64, AppendError> {
        self.check_alive()?;
        let mut taken = 0;
        for _ in 0..self.holders.queues.len() {
            if taken >= max_messages {
                break;
            }
            let Some(id) = self.holders.turn() else { break };
            while taken < max_messages
                && let Some(letter) = self.take_held(id, sources)?
            {
                out.push(letter);
                taken += 1;
            }
            let queue = self.state.queues.open(id);
            let held = queue.and_then(|queue| queue.held.as_ref());
            if held.is_none_or(|held| held.is_empty()) {
                self.holders.queues.remove(&id);
            }
        }
        Ok(taken)
    }

    fn take_held(&mut self, id: QueueId, sources: &mut Sources) -> Result<Option<DeadLetter>, AppendError> {
        let State {
            queues,
            pages,
            segments,
            units,
            ..
        } = &mut self.state;
        let Some(queue) = queues.open_mut(id) else {
            return Ok(None);
        };
        let Some((reason, seq)) = queue.next_held() else {
            return Ok(None);
        };
        let entry = State::entry(pages, queue, seq).map_err(damaged_index);
        let entry = entry.inspect_err(|cause| self.poisoned = Some(cause.clone()));
        let entry = entry.map_err(AppendError::Poisoned)?;
        queue.held.iter_mut().for_each(|held| held.remove(reason, seq));
        self.holders.release(HeldCount::of(reason, 1));
        if planted::is(Planted::EndDeadLetterWhenTaken) {
            let (queue, first, count) = (id, Seq::new(seq), 1);
            let range = Range { queue, first, count };
            self.tail.make_room(record::ranges_len(1));
            self.tail.building().0.ack(reason, range, self.clock);
        }
        let source = source_of(&self.ring, units, sources, entry.lsn);
        if source == COLD && entry.lsn.is_unlogged() {
            sources.pin_spilled(units, entry.lsn);
        } else if source == COLD {
            sources.pin(segments, entry.lsn);
        }
        let lease = Lease {
            seq: Seq::new(seq),
            lsn: entry.lsn,
            len: entry.len,
            redelivered: queue.redelivered.contains(seq),
            source,
            attempts: queue.attempts(seq),
        };
        Ok(Some(DeadLetter {
            queue: id,
            reason,
            lease,
        }))
    }

    /// The entries of a queue that goes are held no more.
    pub(super) fn forget_held(&mut self, id: QueueId) {
        let held = self.state.queues.get_mut(id).and_then(|queue| queue.held.take());
        if let Some(held) = held {
            self.holders.release(held.count());
        }
        self.holders.queues.remove(&id);
    }
}

impl Queue {
    /// The next entry that can be handed out.
    fn next_held(&self) -> Option<(AckReason, u64)> {
        self.held.as_ref()?.first(self.visible_end)
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod model_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
