//! What was sent and is not confirmed yet, shared by the sending and the reading thread.
//!
//! Invariants:
//! - Tags are given in order from 1, as the broker counts; at most `limit` of them are open.
//! - After a failure or `abandon` nobody waits any more.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::client::ClientError;

/// Counts of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Handed to the connection.
    pub published: u64,
    /// Confirmed by the broker.
    pub confirmed: u64,
    /// Not taken by the broker.
    pub nacked: u64,
    /// Came back because no queue took them.
    pub returned: u64,
}

impl Tally {
    /// Counts confirmed messages.
    pub fn confirm(&mut self, count: u64) {
        self.confirmed += count;
    }

    /// Counts messages that the broker did not take.
    pub fn nack(&mut self, count: u64) {
        self.nacked += count;
    }

    /// Whether nothing was refused, returned or left open.
    pub fn all_taken(&self, with_confirms: bool) -> bool {
        self.nacked == 0 && self.returned == 0 && (!with_confirms || self.confirmed == self.published)
    }
}

/// The messages that are sent and not confirmed.
#[derive(Debug)]
pub struct Window {
    /// `None` when nothing is confirmed and nothing needs to be waited for.
    limit: Option<u32>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    open: BTreeSet<u64>,
    over: bool,
    failure: Option<ClientError>,
}

impl Window {
    /// An empty window for at most `limit` messages.
    pub fn new(limit: Option<u32>) -> Self {
        Self {
            limit,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Takes a place if there is one.
    pub fn try_enter(&self) -> bool {
        let mut state = self.lock();
        let free = !state.over && !self.is_full(&state);
        if free {
            self.take_place(&mut state);
        }
        free
    }

    /// Waits for a place and takes it; false if there will be none.
    pub fn enter(&self) -> bool {
        let state = self.lock();
        let waited = self
            .changed
            .wait_while(state, |state| !state.over && self.is_full(state));
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.over {
            self.take_place(&mut state);
        }
        !state.over
    }

    /// Waits until nothing is open.
    pub fn wait_until_empty(&self) {
        let state = self.lock();
        drop(
            self.changed
                .wait_while(state, |state| !state.over && !state.open.is_empty()),
        );
    }

    /// Closes `tag`, and with `multiple` all before it, and counts them.
    pub fn settle(&self, tag: u64, multiple: bool, count: impl Fn(&mut Tally, u64)) {
        let mut state = self.lock();
        let closed = if multiple {
            let later = state.open.split_off(&tag.saturating_add(1));
            std::mem::replace(&mut state.open, later).len()
        } else {
            usize::from(state.open.remove(&tag))
        };
        count(&mut state.tally, u64::try_from(closed).unwrap_or(u64::MAX));
        drop(state);
        self.changed.notify_all();
    }

    /// Counts a message that came back.
    pub fn returned(&self) {
        self.lock().tally.returned += 1;
    }

    /// Ends all waiting because of `error`; the first one is kept.
    pub fn fail(&self, error: ClientError) {
        self.lock().failure.get_or_insert(error);
        self.abandon();
    }

    /// Ends all waiting.
    pub fn abandon(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }

    /// The counts so far.
    pub fn tally(&self) -> Tally {
        self.lock().tally
    }

    /// Why waiting ended, once.
    pub fn failure(&self) -> Option<ClientError> {
        self.lock().failure.take()
    }

    fn is_full(&self, state: &State) -> bool {
        self.limit
            .is_some_and(|limit| usize::try_from(limit).is_ok_and(|limit| state.open.len() >= limit))
    }

    fn take_place(&self, state: &mut State) {
        state.tally.published += 1;
        if self.limit.is_some() {
            state.open.insert(state.tally.published);
        }
    }

    /// A thread that panicked has left counts that are still right: each change is one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Tally, Window};
    use crate::client::ClientError;

    fn filled(limit: u32) -> Window {
        let window = Window::new(Some(limit));
        (0..limit).for_each(|_| assert!(window.try_enter()));
        window
    }

    #[test]
    fn a_full_window_has_room_again_after_a_confirm() {
        let window = filled(2);
        assert!(!window.try_enter());
        window.settle(1, false, Tally::confirm);
        assert!(window.enter());
        assert_eq!(
            window.tally(),
            Tally {
                published: 3,
                confirmed: 1,
                ..Tally::default()
            }
        );
    }

    #[test]
    fn a_multiple_confirm_counts_each_open_message_once() {
        let window = filled(5);
        window.settle(2, false, Tally::nack);
        window.settle(4, true, Tally::confirm);
        window.settle(4, true, Tally::confirm);
        let tally = window.tally();
        assert_eq!((tally.confirmed, tally.nacked), (3, 1));
        assert!(!tally.all_taken(true));
    }

    #[test]
    fn after_a_failure_nobody_waits() {
        let window = filled(1);
        window.fail(ClientError::Cancelled);
        assert!(!window.enter());
        window.wait_until_empty();
        assert!(window.failure().is_some());
    }

    #[test]
    fn without_confirms_there_is_always_room() {
        let window = Window::new(None);
        assert!((0..10).all(|_| window.try_enter()));
        window.wait_until_empty();
        assert!(window.tally().all_taken(false));
    }
}
