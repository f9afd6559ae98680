//! When the broker is to be ticked, so that nobody asks every so often.
//!
//! Invariant: whoever waits for the time that [`Broker::next_tick_ms`] told is woken when an earlier one comes up, once.
//!
//! Elsewhere: what a tick does (`expiration`, `dead_letter::retained`), who waits (the server's upkeep).

use std::task::Waker;

use logpond_store::disk::{Disk, Now};

use crate::broker::Broker;
use crate::state::BrokerState;

/// The part that lives under the shard's lock.
#[derive(Debug, Default)]
pub(crate) struct TickWatch {
    waker: Option<Waker>,
    /// The time that was told, monotonic ms.
    told_ms: u64,
}

impl BrokerState {
    /// A tick is due at `at_ms`. Whoever says so wakes `wakers` once the lock is released.
    pub(crate) fn wants_tick(&mut self, at_ms: u64) {
        let TickWatch { waker, told_ms } = &mut self.tick_watch;
        if at_ms < *told_ms
            && let Some(waker) = waker
        {
            *told_ms = at_ms;
            self.wakers.push(waker.clone());
        }
    }
}

impl<D: Disk> Broker<D> {
    /// Has `waker` woken when a tick is due earlier than [`Broker::next_tick_ms`] said last.
    pub fn watch_ticks(&self, waker: Waker) {
        let mut guard = self.store.lock();
        guard.parts().1.tick_watch.waker = Some(waker);
    }

    /// When [`Broker::tick`] is to be called, monotonic ms; `None` while nothing is known that would want it. Whatever comes up
    /// earlier wakes whom [`Broker::watch_ticks`] names.
    pub fn next_tick_ms(&self, now: Now) -> Option<u64> {
        let mut guard = self.store.lock();
        let (_, state) = guard.parts();
        let retry = state.may_retry_letters().then_some(now.mono_ms);
        let next = state.next_expiry_ms().into_iter().chain(retry).min();
        state.tick_watch.told_ms = next.unwrap_or(u64::MAX);
        next
    }
}
