//! The publishers that wait for room in the store, in the order in which they began to.
//!
//! Invariants:
//! - A session stands in line once, and keeps its place until it was let in, however often it was called in vain: who published last
//!   stands behind everybody who waits already.
//! - Nobody is let in past somebody who waits and was not called. In which order those answer who were called at once is up to the
//!   runtime's threads, which is why few are.
//! - While there is room and somebody waits who was not called, a block is to be applied, and the last one calls all that are left. So
//!   one that does not answer, as its client does not take what it is owed, keeps nobody waiting.

use std::collections::BTreeMap;
use std::task::Waker;

use crate::outbox::{SessionKey, SessionState};
use crate::registry::Registry;

/// So many are called when a block has made room. It is room for a few reads of a socket.
const CALLED_AT_ONCE: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct RoomLine {
    waiting: BTreeMap<u64, Waiter>,
    next_place: u64,
}

#[derive(Debug)]
struct Waiter {
    session: SessionKey,
    is_called: bool,
}

/// Those who may be called.
pub(crate) struct Callable<'a> {
    pub sessions: &'a mut Registry<SessionState>,
    pub wakers: &'a mut Vec<Waker>,
}

impl RoomLine {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a session that would publish may. If not, it stands in line, and is woken at its turn.
    pub(crate) fn ask(&mut self, key: SessionKey, has_room: bool, callable: &mut Callable<'_>) -> bool {
        if self.is_empty() && has_room {
            return true;
        }
        let Some(session) = callable.sessions.get_mut(key) else {
            return has_room;
        };
        if has_room && session.place_in_line.is_none() && self.uncalled().next().is_none() {
            return true;
        }
        let place = *session.place_in_line.get_or_insert_with(|| {
            self.next_place += 1;
            self.next_place
        });
        let waiter = self.waiting.entry(place).or_insert(Waiter {
            session: key,
            is_called: false,
        });
        if !has_room {
            waiter.is_called = false;
            return false;
        }
        let is_let_in = waiter.is_called;
        if is_let_in {
            session.place_in_line = None;
            self.waiting.remove(&place);
            self.call(1, callable);
        }
        is_let_in
    }

    /// A session goes away.
    pub(crate) fn leave(&mut self, session: &SessionState) {
        if let Some(place) = session.place_in_line {
            self.waiting.remove(&place);
        }
    }

    /// A block has made room. More of them are to come, or this `was_last`.
    pub(crate) fn has_room(&mut self, was_last: bool, callable: &mut Callable<'_>) {
        self.call(if was_last { usize::MAX } else { CALLED_AT_ONCE }, callable);
    }

    /// Those whose turn has not come.
    fn uncalled(&mut self) -> impl Iterator<Item = &mut Waiter> {
        self.waiting.values_mut().filter(|waiter| !waiter.is_called)
    }

    /// Wakes the next `count` of them.
    fn call(&mut self, count: usize, callable: &mut Callable<'_>) {
        let Callable { sessions, wakers } = callable;
        for waiter in self.uncalled().take(count) {
            waiter.is_called = true;
            if let Some(session) = sessions.get_mut(waiter.session) {
                session.wake(wakers);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Publishers {
        line: RoomLine,
        sessions: Registry<SessionState>,
        keys: Vec<SessionKey>,
    }

    impl Publishers {
        /// So many that wait.
        fn waiting(count: usize) -> Self {
            let mut sessions = Registry::default();
            let keys = (0..count).map(|_| sessions.insert(SessionState::new(Waker::noop().clone())));
            let keys: Vec<SessionKey> = keys.collect();
            let line = RoomLine::default();
            let mut all = Self { line, sessions, keys };
            assert!((0..count).all(|name| !all.ask(name, false)));
            all
        }

        fn ask(&mut self, name: usize, has_room: bool) -> bool {
            let (sessions, wakers) = (&mut self.sessions, &mut Vec::new());
            let may = self
                .line
                .ask(self.keys[name], has_room, &mut Callable { sessions, wakers });
            self.sessions.get_mut(self.keys[name]).unwrap().has_looked();
            may
        }

        /// How many are woken.
        fn has_room(&mut self, was_last: bool) -> usize {
            let (sessions, wakers) = (&mut self.sessions, &mut Vec::new());
            self.line.has_room(was_last, &mut Callable { sessions, wakers });
            wakers.len()
        }
    }

    #[test]
    fn the_last_block_calls_everybody_who_was_not() {
        let mut all = Publishers::waiting(20);
        assert_eq!(all.has_room(false), CALLED_AT_ONCE);
        assert_eq!(all.has_room(false), CALLED_AT_ONCE);
        assert_eq!(all.has_room(true), 20 - 2 * CALLED_AT_ONCE);
        assert!((0..20).rev().all(|name| all.ask(name, true)));
        assert!(all.line.is_empty());
    }

    #[test]
    fn whoever_was_let_in_and_comes_again_stands_behind_all_who_wait() {
        let mut all = Publishers::waiting(6);
        all.has_room(false);
        assert!(!all.ask(5, true), "before its turn");
        assert!(all.ask(0, true), "and the next is called");
        assert!(!all.ask(0, true), "5 waits, and was not called");
        assert!(!all.ask(1, false), "called in vain");
        all.has_room(false);
        let may = [1, 2, 3, 4, 5].map(|name| all.ask(name, true));
        assert_eq!(may, [true; 5]);
        assert!(all.ask(0, true));
    }

    #[test]
    fn one_that_does_not_answer_or_goes_away_keeps_nobody_waiting() {
        let mut all = Publishers::waiting(CALLED_AT_ONCE + 1);
        all.has_room(false);
        let gone = all.sessions.remove(all.keys[0]).unwrap();
        all.line.leave(&gone);
        assert_eq!(all.has_room(false), 1);
        assert!(all.ask(CALLED_AT_ONCE, true));
        assert!(all.ask(CALLED_AT_ONCE, true), "nobody waits who was not called");
    }
}
