//! Queues in which messages of a higher priority, or those that expire first, go first.
//!
//! Invariants, for priorities:
//! - The head of such a queue is the oldest ready entry of its highest level; with priorities every visible entry that is
//!   ready stands in its level, and the cursor is where the visible ones end.
//! - A requeued entry goes back to its level, before all that were published later.
//! - What is accepted and not durable yet has no level: a limit that has to drop takes it last, the oldest first.
//!
//! The same holds for times in place of levels.

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
        self.set_order(id, Order::Levels(Levels::new(highest)))
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
        self.set_order(id, Order::Due(Due::default()))
    }

    fn set_order(&mut self, id: QueueId, mut order: Order) -> Result<(), AppendError> {
        self.check_alive()?;
        let State {
            queues,
            pages,
            forgotten,
            ..
        } = &mut self.state;
        let queue = queues.open_mut(id).ok_or(AppendError::UnknownQueue(id))?;
        match sort(queue, forgotten, pages, &mut order) {
            Ok(()) => {
                queue.requeued.clear();
                queue.cursor = queue.cursor.max(queue.visible_end);
                queue.order = Some(Box::new(order));
                self.note_head(id);
                Ok(())
            }
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
            }
        }
        seq += 1;
    }
    Ok(())
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
