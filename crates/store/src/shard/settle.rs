//! The end of leases, and of what is ready: acknowledged, requeued, given back at a stop, purged.
//!
//! Invariants:
//! - Only what was leased can be acknowledged, and what is dead stays dead.
//! - What is requeued goes back to its place and is marked as redelivered.
//! - What is purged counts as leased until its record is durable.

use super::{Shard, ranges_of};
use crate::attempts::{RANGE_MAX, Return};
use crate::builder;
use crate::disk::{Disk, Now};
use crate::error::{AppendError, PoisonCause};
use crate::format::record::{self, AckReason, Range};
use crate::ids::{BlockNumber, QueueId, Seq};
use crate::planted::{self, Planted};
use crate::state::{State, damaged_index};

impl<D: Disk> Shard<D> {
    /// Ends the life of leased entries. Durable when the returned block is; nobody needs to wait for it.
    ///
    /// # Errors
    /// When there is no such queue, it is a transaction's and its block has no room for it, or the store is poisoned.
    pub fn acknowledge(
        &mut self,
        queue: QueueId,
        first: Seq,
        count: u64,
        reason: AckReason,
        now: Now,
    ) -> Result<BlockNumber, AppendError> {
        self.check_alive()?;
        let known = self
            .state
            .queues
            .open_mut(queue)
            .ok_or(AppendError::UnknownQueue(queue))?;
        // Only what was leased can be acknowledged: a range beyond it would bury messages still to come.
        let start = first.get().max(known.floor);
        let end = first.get().saturating_add(count).min(known.cursor);
        if start >= end {
            return Ok(self.durable().end());
        }
        if let Some(held) = &mut known.held {
            self.holders.release(held.remove_range(start, end));
        }
        let (first, count) = (Seq::new(start), end - start);
        if self.is_said_by_itself(queue, start..end)? {
            let applied = self.state.apply_ack(Range { queue, first, count });
            applied.map_err(|cause| self.fail(cause))?;
            return Ok(self.durable().end());
        }
        self.log_ack(Range { queue, first, count }, reason, now)
    }

    fn log_ack(&mut self, range: Range, reason: AckReason, now: Now) -> Result<BlockNumber, AppendError> {
        self.tail.make_room(record::ranges_len(1));
        self.tail.check_held(record::ranges_len(1))?;
        let (building, _) = self.tail.building();
        building.ack(reason, range, now);
        let block = building.number();
        if planted::is(Planted::ApplyAckBeforeDurable) {
            let applied = self.state.apply_ack(range);
            applied.map_err(AppendError::Poisoned)?;
        }
        Ok(block)
    }

    /// Whether the end of these entries needs no record, for no start will find them.
    fn is_said_by_itself(
        &mut self,
        queue: QueueId,
        entries: std::ops::Range<u64>,
    ) -> Result<bool, AppendError> {
        let unlogged = self.are_unlogged(queue, entries);
        unlogged.map_err(|page| self.fail(damaged_index(page)))
    }

    fn fail(&mut self, cause: PoisonCause) -> AppendError {
        self.poison(&cause);
        AppendError::Poisoned(cause)
    }

    /// Makes leased entries ready again, at their original place and marked as redelivered. `how` says whether they count as
    /// given back: see [`Lease::attempts`](super::Lease::attempts). Counts survive a crash once the block that is being built
    /// now is durable.
    ///
    /// What then exceeds the limits of the queue is dropped at once.
    ///
    /// # Errors
    /// When there is no such queue, or the store is poisoned.
    pub fn requeue(
        &mut self,
        id: QueueId,
        first: Seq,
        count: u64,
        how: Return,
        now: Now,
    ) -> Result<(), AppendError> {
        self.give_back(id, first, count, how, now)?;
        self.keep_limits(id)
    }

    /// As [`Shard::requeue`], but what exceeds the limits of the queue stays until [`Shard::keep_limits`] or the next publish, so that
    /// somebody may lease it before.
    ///
    /// # Errors
    /// When there is no such queue, or the store is poisoned.
    pub fn give_back(
        &mut self,
        id: QueueId,
        first: Seq,
        count: u64,
        how: Return,
        now: Now,
    ) -> Result<(), AppendError> {
        self.check_alive()?;
        let queue = self
            .state
            .queues
            .open_mut(id)
            .ok_or(AppendError::UnknownQueue(id))?;
        let end = first.get().saturating_add(count).min(queue.cursor);
        let start = first.get().max(queue.floor);
        if start < end {
            let mut back = roaring::RoaringTreemap::new();
            back.insert_range(start..end);
            back -= &queue.acked;
            back -= &queue.requeued;
            if let Some(order) = &queue.order {
                order.remove_from(&mut back);
            }
            if let Some(held) = &queue.held {
                held.remove_from(&mut back);
            }
            let (mut bytes, mut logged) = (0, roaring::RoaringTreemap::new());
            let mut returned = roaring::RoaringTreemap::new();
            for seq in &back {
                let entry = State::entry(&mut self.state.pages, queue, seq).map_err(damaged_index);
                let entry = entry.inspect_err(|cause| self.poisoned = Some(cause.clone()));
                let entry = entry.map_err(AppendError::Poisoned)?;
                bytes += entry.body_bytes();
                // The log says nothing of what it does not hold: after a crash its place may be another's.
                if !entry.lsn.is_unlogged() {
                    logged.insert(seq);
                }
                // What somebody has seen goes before all levels that count only while they are in use.
                let goes_first =
                    queue.ranks.is_some() && (how != Return::Unseen || queue.attempts(seq).returned > 0);
                match &mut queue.order {
                    Some(order) if !goes_first => {
                        if entry.len != 0 {
                            order.insert(&entry, seq);
                        }
                    }
                    Some(_) | None => {
                        returned.insert(seq);
                    }
                }
            }
            queue.leased = queue.leased.saturating_sub(back.len());
            queue.leased_bytes = queue.leased_bytes.saturating_sub(bytes);
            queue.redelivered |= &back;
            for (first, end) in ranges_of(&back) {
                queue.attempts.give_back(first, end, how);
            }
            let counted = |(first, end)| queue.attempts.within(first, end);
            let counted: Vec<_> = ranges_of(&logged).flat_map(counted).collect();
            queue.requeued |= returned;
            if how != Return::Unseen {
                for (mut first, end, attempts) in counted {
                    while first < end {
                        let count = (end - first).min(RANGE_MAX);
                        let range = Range {
                            queue: id,
                            first: Seq::new(first),
                            count,
                        };
                        self.tail.make_room(record::ranges_len(1));
                        // Counts are lower bounds, and a transaction has room for what it said it would bring.
                        if self.tail.check_held(record::ranges_len(1)).is_ok() {
                            self.tail.building().0.requeue(range, attempts, now);
                        }
                        first += count;
                    }
                }
            }
            self.note_head(id);
        }
        Ok(())
    }

    /// Those of a range of entries that somebody failed with at least so often, as ranges.
    #[must_use]
    pub fn failed_at_least(
        &self,
        id: QueueId,
        first: Seq,
        count: u64,
        failures: u32,
    ) -> Vec<std::ops::Range<Seq>> {
        let (start, end) = (first.get(), first.get().saturating_add(count));
        if failures == 0 {
            return vec![first..Seq::new(end)];
        }
        let Some(queue) = self.state.queues.open(id) else {
            return Vec::new();
        };
        let runs = queue.attempts.within(start, end);
        runs.filter(|(_, _, attempts)| u32::from(attempts.failed) >= failures)
            .map(|(first, end, _)| Seq::new(first)..Seq::new(end))
            .collect()
    }

    /// Whoever still holds leases at an orderly stop will not acknowledge them: they come back as redelivered.
    pub(crate) fn give_back_leases(&mut self) {
        for queue in self.state.queues.iter_mut() {
            let mut seen = roaring::RoaringTreemap::new();
            // What a limit or its expiry took, and what is not durably dead, may be among it; the mark bounds that.
            let seen_end = queue.cursor.min(queue.visible_end).min(queue.mark);
            seen.insert_range(queue.floor.min(seen_end)..seen_end);
            seen -= &queue.acked;
            seen -= &queue.purged;
            if let Some(order) = &queue.order {
                order.remove_from(&mut seen);
            }
            if let Some(held) = &queue.held {
                held.remove_unseen_from(&mut seen);
            }
            queue.redelivered |= seen;
        }
    }

    /// Ends the life of everything that is ready, those entries included that are accepted and not yet
    /// durable. Leased entries stay. Returns how many there were, and the block to wait for: one that is durable
    /// already when there were none.
    ///
    /// # Errors
    /// When there is no such queue, it is a transaction's and its block has no room for it, or the store is poisoned.
    pub fn purge(&mut self, id: QueueId, now: Now) -> Result<(u64, BlockNumber), AppendError> {
        self.check_alive()?;
        let queue = self
            .state
            .queues
            .open_mut(id)
            .ok_or(AppendError::UnknownQueue(id))?;
        let ready = queue.counts().ready;
        if self.tail.is_held_open() {
            // All of it goes into the block of the transaction, or nothing is changed.
            self.tail
                .check_held(builder::lists_len(queue.ready_ranges_max()))?;
        }
        // From here on these entries count as leased, by the purge itself.
        let visible = queue.live - queue.leased;
        queue.leased += visible;
        queue.leased_bytes = queue.live_bytes;
        queue.accepted_bytes = 0;
        let ranges = ranges_of(&queue.take_returned())
            .chain(std::iter::once((queue.cursor, queue.next_seq)))
            .filter(|(start, end)| start < end)
            .collect::<Vec<_>>();
        for (start, end) in &ranges {
            queue.purged.insert_range(*start..*end);
        }
        queue.cursor = queue.next_seq;
        // Nothing is written for nothing, and the block that is being built may stay empty for ever.
        let mut block = self.durable().end();
        let mut is_logged = false;
        for (start, end) in &ranges {
            is_logged |= !self.is_said_by_itself(id, *start..*end)?;
        }
        for (start, end) in ranges {
            let (first, count) = (Seq::new(start), end - start);
            block = if is_logged {
                let range = Range {
                    queue: id,
                    first,
                    count,
                };
                self.log_ack(range, AckReason::Purged, now)?
            } else {
                self.acknowledge(id, first, count, AckReason::Purged, now)?
            };
        }
        self.tail.set_urgent();
        self.note_head(id);
        Ok((ready, block))
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
