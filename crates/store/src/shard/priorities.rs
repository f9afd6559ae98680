//! Queues in which messages of a higher priority, or those that expire first, go first.
//!
//! Invariants, for priorities:
//! - The head of such a queue is the oldest ready entry of its highest level; with priorities every visible entry that is
//!   ready stands in its level, and the cursor is where the visible ones end.
//! - A requeued entry goes back to its level, before all that were published later; where levels count only while they are in use, it stays
//!   outside of them, and goes first.
//! - What is accepted and not durable yet has no level: a limit that has to drop takes it last, the oldest first.
//!
//! The same holds for times in place of levels.
//!
//! Elsewhere: levels that count only while they are in use (`ranks`).

use super::Shard;
use super::forgotten::discard;
use crate::disk::Disk;
use crate::due::Due;
use crate::error::AppendError;
use crate::ids::QueueId;
use crate::index::pages::{DamagedPage, Pages};
use crate::levels::Levels;
use crate::order::Order;
use crate::queue::{Queue, run_end};
use crate::ranks::{Ranks, Scale, Seen, Spread};
use crate::state::{Forgotten, State, damaged_index};

impl<D: Disk> Shard<D> {
    /// Gives a queue levels from 0 to `highest`: from now on a lease takes the highest level first, and within it the
    /// oldest entry. Messages of a higher priority than `highest` count as of that. Limits and expiry act on the head of
    /// the queue, whatever its level, as in RabbitMQ: the message that a lease would take next.
    ///
    /// Levels are not written to the log: whoever owns the queue sets them after each start. That reads the index of all
    /// that the queue holds, so it is meant for queues of thousands or millions, not of hundreds of millions.
    ///
    /// After a crash all that a queue with priorities held counts as redelivered, for any of it may have been delivered.
    ///
    /// # Errors
    /// When there is no such queue, its index is damaged, or the store is poisoned.
    pub fn set_priorities(&mut self, id: QueueId, highest: u8) -> Result<(), AppendError> {
        let order = self.sorted(id, Order::Levels(Levels::new(Scale::up_to(highest))))?;
        self.set_order(id, order, None);
        Ok(())
    }

    /// Gives a queue levels from 0 to `highest` that cost nothing while they are not used: until messages of several levels wait, it
    /// is a queue without levels. What has no priority is of the level `unsaid`. As in RabbitMQ's quorum queues, which have
    /// 32 levels of which that is the fifth, what somebody had and gave back goes before all levels, in the order of publication.
    ///
    /// A queue in which messages of several levels waited is kept like one with levels until nothing waits in it, or until the next start.
    ///
    /// Not written to the log, as with [`Shard::set_priorities`]. The index is read only if messages of several levels may be
    /// there. What was given back before a start takes the place of its level after it, unless all are of one; after a crash all that was visible
    /// while levels counted is redelivered, for any of it may have been delivered.
    ///
    /// # Errors
    /// When there is no such queue, its index is damaged, or the store is poisoned.
    pub fn set_priorities_in_use(&mut self, id: QueueId, highest: u8, unsaid: u8) -> Result<(), AppendError> {
        self.check_alive()?;
        let ranks = Ranks::new(highest, unsaid);
        let queue = self.state.queues.open_mut(id);
        let queue = queue.ok_or(AppendError::UnknownQueue(id))?;
        if queue.ranks.is_some_and(|known| known.scale == ranks.scale) {
            return Ok(());
        }
        // What another order holds lies below the cursor.
        let was_sorted = queue.order.is_some();
        let mut spread = queue.seen.spread(ranks.scale);
        if was_sorted || spread == Spread::Many {
            let order = self.sorted(id, Order::Levels(Levels::new(ranks.scale)))?;
            // Now it may be known better.
            spread = self
                .state
                .queues
                .get(id)
                .map_or(Spread::None, |queue| queue.seen.spread(ranks.scale));
            if was_sorted || spread == Spread::Many {
                self.set_order(id, order, Some(ranks));
                return Ok(());
            }
        }
        let fresh = match spread {
            Spread::One(level) => level,
            Spread::None | Spread::Many => ranks.fresh,
        };
        if let Some(queue) = self.state.queues.open_mut(id) {
            queue.ranks = Some(Ranks { fresh, ..ranks });
        }
        Ok(())
    }

    /// From now on the head of a queue is the message that expires first, so that each expires when its time has come, whatever
    /// was published before it. Of those with the same time the oldest goes first.
    ///
    /// As with levels nothing of this is written to the log, and the index of all that the queue holds is read. What waits takes some
    /// 25 bytes of memory for each message.
    ///
    /// # Errors
    /// When there is no such queue, its index is damaged, or the store is poisoned.
    pub fn set_due_order(&mut self, id: QueueId) -> Result<(), AppendError> {
        let order = self.sorted(id, Order::Due(Due::default()))?;
        self.set_order(id, order, None);
        Ok(())
    }

    /// From now on this is the order of all that is visible and ready; with ranks, for as long as it holds something.
    fn set_order(&mut self, id: QueueId, order: Order, ranks: Option<Ranks>) {
        if let Some(queue) = self.state.queues.open_mut(id) {
            queue.ranks = ranks;
            queue.requeued.clear();
            queue.cursor = queue.cursor.max(queue.visible_end);
            queue.order = Some(Box::new(order));
            self.note_head(id);
        }
    }

    /// Puts all that is visible and ready into an order that holds nothing.
    fn sorted(&mut self, id: QueueId, mut order: Order) -> Result<Order, AppendError> {
        self.check_alive()?;
        let State {
            queues,
            pages,
            forgotten,
            ..
        } = &mut self.state;
        let queue = queues.open_mut(id).ok_or(AppendError::UnknownQueue(id))?;
        match sort(queue, forgotten, pages, &mut order) {
            Ok(()) => Ok(order),
            Err(page) => {
                let cause = damaged_index(page);
                self.poison(&cause);
                Err(AppendError::Poisoned(cause))
            }
        }
    }
}

/// Puts all visible entries that are ready in their places. What is no message is discarded, for no lease will meet it.
fn sort<D: Disk>(
    queue: &mut Queue,
    forgotten: &mut Forgotten,
    pages: &mut Pages<D>,
    order: &mut Order,
) -> Result<(), DamagedPage> {
    let mut seen = Seen::default();
    let mut seq = queue.floor;
    while seq < queue.visible_end {
        if queue.acked.contains(seq) {
            seq = run_end(&queue.acked, seq);
            continue;
        }
        if !queue.is_leased(seq) {
            let entry = State::entry(pages, queue, seq)?;
            if queue.is_no_message(seq, &entry) {
                discard(queue, forgotten, pages, seq, &entry);
            } else {
                order.insert(&entry, seq);
                seen.add(entry.priority);
            }
        }
        seq += 1;
    }
    if queue.leased == 0 {
        // That was all that lives.
        queue.seen = seen;
    }
    Ok(())
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod in_use_tests;
#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
