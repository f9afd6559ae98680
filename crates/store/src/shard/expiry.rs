//! Messages that outlive their time, dropped from the head of their queue.
//!
//! Invariants:
//! - Only the head of a queue expires. Behind a head that does not, what is expired waits, and still counts.
//! - What is expired is never leased, as far as the shard was told the time; but when the follower is told of a block, what came with
//!   it has not expired yet, however long the disk took. So a message whose time is 0 reaches those that wait for it, and nobody else.
//! - `due` names each queue whose head expires, with that time: nothing scans queues, and no message
//!   has a timer.
//! - That an entry expired is written to the log; replay does not look at the clock.

use super::Shard;
use super::forgotten::discard;
use super::unlogged;
use crate::disk::{Disk, Now};
use crate::error::AppendError;
use crate::format::record::{self, AckReason, Range};
use crate::ids::{QueueId, Seq};
use crate::index::pages::DamagedPage;
use crate::limits::{EXPIRE_MESSAGES_MAX, EXPIRE_SLEEP_MS_MAX};
use crate::state::{State, damaged_index};

impl<D: Disk> Shard<D> {
    /// Says what time it is. A lease drops what is expired by then; every applied block says it, too.
    pub const fn set_time(&mut self, now: Now) {
        self.clock = now;
    }

    /// The newest time that it was told.
    pub(crate) const fn time(&self) -> Now {
        self.clock
    }

    /// Whether a lease from the queue may depend on the time.
    pub(crate) fn has_expiring(&self, id: QueueId) -> bool {
        self.state.queues.open(id).is_some_and(|queue| queue.expiring > 0)
    }

    /// Gives each message that is published to the queue from now on so long to live from its timestamp on, unless its own
    /// time ends before. What it holds already stays as it is.
    ///
    /// Not written to the log, but for what it means for each message: whoever owns the queue says it after each start.
    ///
    /// # Errors
    /// When there is no such queue, or the store is poisoned.
    pub fn set_time_to_live(&mut self, id: QueueId, life_ms: Option<u64>) -> Result<(), AppendError> {
        self.check_alive()?;
        let queue = self.state.queues.open_mut(id);
        queue.ok_or(AppendError::UnknownQueue(id))?.life_ms = life_ms;
        Ok(())
    }

    /// Drops what is due, if anything is; whether there was something. What stops this shows with the next call of anybody.
    pub(crate) fn expire_due(&mut self, now: Now) -> bool {
        let is_due = self.next_expiry_ms().is_some_and(|due_ms| due_ms <= now.wall_ms);
        is_due
            && self
                .expire(now, EXPIRE_MESSAGES_MAX)
                .is_ok_and(|expired| expired > 0)
    }

    /// When a head expires, in terms of the monotonic clock, if the wall clock is not set before that.
    pub(crate) fn expiry_at_mono_ms(&self, now: Now) -> Option<u64> {
        if self.holders.room_to_expire() == 0 {
            // Taking what is held ends with a block, and whoever completes that looks again.
            return None;
        }
        let in_ms = self.next_expiry_ms()?.saturating_sub(now.wall_ms);
        Some(now.mono_ms + in_ms.min(EXPIRE_SLEEP_MS_MAX))
    }

    /// When [`Shard::expire`] has something to do, wall clock in milliseconds; `None` while nothing at the head of any
    /// queue expires.
    #[must_use]
    pub fn next_expiry_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Drops what is expired from the heads of all queues, but no more than `max_messages`. Returns how many there were:
    /// they are durably gone with the next block. An engine does it when [`Shard::next_expiry_ms`] has come, so that messages go
    /// without a consumer, too.
    ///
    /// Only heads expire, as in RabbitMQ: behind a message that lives longer, or for ever, an expired one stays until that
    /// is gone; it is never leased. Neither is a leased message touched: it expires when it comes back.
    ///
    /// Of those that are held ([`Shard::set_dead_letters`]) only so many expire as leave room for other publishers; the next
    /// ones do when some were taken.
    ///
    /// # Errors
    /// When the store is poisoned.
    pub fn expire(&mut self, now: Now, max_messages: u64) -> Result<u64, AppendError> {
        self.check_alive()?;
        self.clock = now;
        let mut dropped = 0;
        while let Some((due_ms, id)) = self.due.first().copied() {
            let left = (max_messages - dropped).min(self.holders.room_to_expire());
            if due_ms > now.wall_ms || left == 0 {
                break;
            }
            if !self.state.queues.contains(id) {
                // It was deleted.
                self.due.pop_first();
                continue;
            }
            let expired = self.expire_heads(id, left).map_err(|page| {
                let cause = damaged_index(page);
                self.poison(&cause);
                AppendError::Poisoned(cause)
            });
            dropped += expired?;
            self.note_head(id);
        }
        Ok(dropped)
    }

    fn expire_heads(&mut self, id: QueueId, max_messages: u64) -> Result<u64, DamagedPage> {
        let State {
            queues,
            pages,
            segments,
            units,
            forgotten,
            ..
        } = &mut self.state;
        let mut dropped = 0;
        let Some(queue) = queues.open_mut(id) else {
            return Ok(0);
        };
        while dropped < max_messages
            && let Some(seq) = queue.head(queue.visible_end)
        {
            let entry = State::entry(pages, queue, seq)?;
            if queue.is_no_message(seq, &entry) {
                queue.advance(seq, &entry);
                discard(queue, forgotten, pages, seq, &entry);
                continue;
            }
            if !entry.is_expired(self.clock) {
                break;
            }
            queue.advance(seq, &entry);
            queue.lease(entry.body_bytes());
            dropped += 1;
            if self.holders.hold(queue, AckReason::Expired, seq, 1) {
                continue;
            }
            if unlogged::is_unlogged(queue, &entry) {
                unlogged::end(queue, segments, units, pages, seq, &entry);
                continue;
            }
            let (first, count) = (Seq::new(seq), 1);
            let range = Range {
                queue: id,
                first,
                count,
            };
            self.tail.make_room(record::ranges_len(1));
            self.tail.building().0.ack(AckReason::Expired, range, self.clock);
        }
        Ok(dropped)
    }

    /// Notes when the head of a queue expires. To be called when the head may be another one.
    pub(super) fn note_head(&mut self, id: QueueId) {
        let State { queues, pages, .. } = &mut self.state;
        let Some(queue) = queues.get_mut(id) else {
            return;
        };
        if queue.expiring == 0 && queue.due_ms.is_none() {
            return;
        }
        let is_open = queue.expiring > 0 && !queue.is_deleted;
        let head = if is_open {
            queue.head(queue.visible_end)
        } else {
            None
        };
        let due_ms = head.and_then(|seq| match State::entry(pages, queue, seq) {
            Ok(entry) if queue.is_no_message(seq, &entry) => Some(0),
            Ok(entry) => (entry.expires_ms != 0).then_some(entry.expires_ms),
            // Whoever looks again at once finds the damage, and can say so.
            Err(DamagedPage(_)) => Some(0),
        });
        if due_ms == queue.due_ms {
            return;
        }
        if let Some(before) = queue.due_ms {
            self.due.remove(&(before, id));
        }
        queue.due_ms = due_ms;
        self.due.extend(due_ms.map(|due_ms| (due_ms, id)));
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
