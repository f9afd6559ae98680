//! Queues that are deleted when nobody has used them for a while (`x-expires`).
//!
//! Invariants:
//! - Use is what RabbitMQ calls use: a consumer, a declaration of any kind, `basic.get`. Publishing is none.
//! - A queue with an expiry and without consumers stands in `due`, at its deadline or before it. A use only notes the time: what is
//!   due too early is put back, so a use costs no look-up here.
//! - `due` is bounded by the number of queues, however often consumers and queues come and go.
//!
//! Elsewhere: when it is time (`tick`), who calls [`Broker::tick`] (the server).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use logpond_store::QueueId;
use logpond_store::disk::{Disk, Now};

use crate::broker::Broker;
use crate::queue::Queue;
use crate::state::BrokerState;

/// Deadlines of queues that were deleted before, beyond as many as there are queues.
const DELETED_KEPT_MAX: usize = 1024;

/// When a queue goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expiry {
    /// For how long nobody must have used it.
    pub after_ms: u64,
    unused_since_ms: u64,
    /// Whether the queue stands in `due`.
    is_scheduled: bool,
}

impl Expiry {
    fn deadline_ms(self) -> u64 {
        self.unused_since_ms.saturating_add(self.after_ms)
    }
}

/// Queues by when they may be due.
#[derive(Debug, Default)]
pub(crate) struct Expirations {
    due: BinaryHeap<Reverse<(u64, QueueId)>>,
}

impl Queue {
    fn expires_at(&self) -> Option<u64> {
        self.expiry
            .filter(|_| self.rota.is_empty())
            .map(Expiry::deadline_ms)
    }
}

impl BrokerState {
    /// Sets after which time without use the queue goes, counted from now.
    pub(crate) fn set_expiry(&mut self, id: QueueId, after_ms: Option<u64>, now: Now) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        queue.expiry = after_ms.map(|after_ms| Expiry {
            after_ms,
            unused_since_ms: now.mono_ms,
            is_scheduled: false,
        });
        self.schedule_expiry(id);
    }

    /// Notes that the queue was used.
    pub(crate) fn used(&mut self, id: QueueId, now: Now) {
        if let Some(expiry) = self.queues.get_mut(&id).and_then(|queue| queue.expiry.as_mut()) {
            expiry.unused_since_ms = now.mono_ms;
        }
    }

    /// Notes that the queue has no consumers any more.
    pub(crate) fn left_alone(&mut self, id: QueueId, now: Now) {
        self.used(id, now);
        self.schedule_expiry(id);
    }

    fn schedule_expiry(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let Some(deadline) = queue.expires_at() else {
            return;
        };
        if let Some(expiry) = &mut queue.expiry
            && !std::mem::replace(&mut expiry.is_scheduled, true)
        {
            self.expirations.due.push(Reverse((deadline, id)));
            self.wants_tick(deadline);
        }
        self.forget_deleted();
    }

    /// Queues come and go before their deadline: what they leave here is bounded by those that are there.
    fn forget_deleted(&mut self) {
        let queues = &self.queues;
        if self.expirations.due.len() > 2 * queues.len() + DELETED_KEPT_MAX {
            self.expirations
                .due
                .retain(|Reverse((_, id))| queues.contains_key(id));
        }
    }

    /// When a queue may come to its deadline, monotonic ms.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        self.expirations.due.peek().map(|&Reverse((at, _))| at)
    }

    /// A queue whose time is over.
    fn next_expired(&mut self, now: Now) -> Option<QueueId> {
        while let Some(&Reverse((at, id))) = self.expirations.due.peek() {
            if at > now.mono_ms {
                return None;
            }
            self.expirations.due.pop();
            let Some(queue) = self.queues.get_mut(&id) else {
                continue;
            };
            if let Some(expiry) = &mut queue.expiry {
                expiry.is_scheduled = false;
            }
            // With consumers it has no deadline; their end schedules it again.
            match queue.expires_at() {
                Some(deadline) if deadline <= now.mono_ms => return Some(id),
                Some(_) => self.schedule_expiry(id),
                None => {}
            }
        }
        None
    }
}

impl<D: Disk> Broker<D> {
    /// Deletes the queues that nobody has used for as long as they asked for, and tries dead letters again that reached nobody.
    /// Waits for the disk. To be called when [`Broker::next_tick_ms`] says so.
    pub fn tick(&self, now: Now) {
        self.retry_letters(now);
        loop {
            let expired = self.store.lock().parts().1.next_expired(now);
            let Some(id) = expired else { return };
            self.delete_unused(id, now, |queue| {
                queue.expires_at().is_some_and(|deadline| deadline <= now.mono_ms)
            });
        }
    }
}

#[cfg(test)]
impl Expirations {
    /// How many deadlines are kept.
    pub(crate) fn len(&self) -> usize {
        self.due.len()
    }
}
