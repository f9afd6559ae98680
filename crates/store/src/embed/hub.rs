//! Who waits for messages or for blocks, under the engine's lock.
//!
//! Invariants:
//! - Whoever waits is registered under the same hold of the lock under which there was nothing for it.
//! - A waiter is woken once, and takes itself out when it stops waiting before that.
//! - No waker is woken or dropped under the lock.

use crate::disk::Disk;
use crate::error::PoisonCause;
use crate::follower::Follower;
use crate::ids::{BlockNumber, QueueId};
use crate::shard::{Applied, Shard};
use hashbrown::HashMap;
use std::task::Waker;

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Messages in this queue.
    Messages(QueueId),
    /// This block to be durable.
    Durable(BlockNumber),
}

/// A registered waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WaiterId(u64);

struct Waiter {
    id: WaiterId,
    wish: Wish,
    waker: Waker,
}

/// The follower of an embedded engine.
#[derive(Default)]
pub(super) struct Hub {
    for_messages: HashMap<QueueId, Vec<Waiter>>,
    for_blocks: Vec<Waiter>,
    due: Vec<Waker>,
    next_id: u64,
}

impl Hub {
    /// Remembers whom to wake.
    pub(super) fn register(&mut self, wish: Wish, waker: &Waker) -> WaiterId {
        let id = WaiterId(self.next_id);
        self.next_id += 1;
        let waiter = Waiter {
            id,
            wish,
            waker: waker.clone(),
        };
        match wish {
            Wish::Messages(queue) => self.for_messages.entry(queue).or_default().push(waiter),
            Wish::Durable(_) => self.for_blocks.push(waiter),
        }
        id
    }

    /// Nobody waits there any more. Drop what comes back only after the lock: an executor may tie a task's end to its last
    /// waker, and the task's end may want the lock.
    #[must_use]
    pub(super) fn forget(&mut self, wish: Wish, id: WaiterId) -> Option<Waker> {
        let waiters = match wish {
            Wish::Messages(queue) => self.for_messages.get_mut(&queue)?,
            Wish::Durable(_) => &mut self.for_blocks,
        };
        let at = waiters.iter().position(|waiter| waiter.id == id)?;
        let forgotten = waiters.swap_remove(at).waker;
        if let Wish::Messages(queue) = wish
            && self.for_messages.get(&queue).is_some_and(Vec::is_empty)
        {
            self.for_messages.remove(&queue);
        }
        Some(forgotten)
    }

    /// Something changed for those who wait for messages of this queue.
    pub(super) fn notify(&mut self, queue: QueueId) {
        if let Some(waiters) = self.for_messages.remove(&queue) {
            self.due.extend(waiters.into_iter().map(|waiter| waiter.waker));
        }
    }

    /// Everybody looks again: the store was poisoned or closed.
    pub(super) fn notify_all(&mut self) {
        let all = self.for_messages.drain().flat_map(|(_, waiters)| waiters);
        let all = all.chain(self.for_blocks.drain(..));
        self.due.extend(all.map(|waiter| waiter.waker));
    }

    /// To be woken once the lock is released.
    pub(super) fn take_due(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.due)
    }
}

impl<D: Disk> Follower<D> for Hub {
    fn applied(&mut self, _shard: &mut Shard<D>, applied: &Applied<'_>) {
        if !self.for_messages.is_empty() {
            for queue in applied.queues {
                self.notify(*queue);
            }
        }
        let covered = |waiter: &mut Waiter| match waiter.wish {
            Wish::Durable(block) => applied.durable.covers(block),
            Wish::Messages(_) => false,
        };
        let woken = self.for_blocks.extract_if(.., covered);
        self.due.extend(woken.map(|waiter| waiter.waker));
    }

    fn poisoned(&mut self, _cause: &PoisonCause) {
        self.notify_all();
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        self.take_due()
    }

    fn return_wakers(&mut self, empty: Vec<Waker>) {
        if self.due.capacity() == 0 {
            self.due = empty;
        }
    }
}
