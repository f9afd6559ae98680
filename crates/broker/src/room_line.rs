//! The publishers that wait for room in the store, in the order in which they began to.
//!
//! Invariants:
//! - A session stands in line once, until it is called. Its place is its own until it has published, however often it comes in vain: who
//!   published last stands behind everybody who waits already.
//! - Who was not called does not publish while somebody stands in line. In which order those come who were called is up to the runtime's
//!   threads, which is why few are at once.
//! - While there is room and somebody stands in line, a block is to be applied, and the last one calls everybody. So one that does not
//!   come, as its client does not take what it is owed, keeps nobody waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use crate::outbox::{SessionKey, SessionState};
use crate::registry::Registry;

/// So many are called when a block has made room. It is room for a few reads of a socket.
const CALLED_AT_ONCE: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct RoomLine {
    /// By their places.
    waiting: BTreeMap<u64, SessionKey>,
    next_place: u64,
    crowd: Crowd,
}

/// Tells, without the lock and a moment late, whether somebody stands in line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crowd(Arc<AtomicBool>);

impl Crowd {
    pub(crate) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Who asks for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Somebody who would publish.
    Comes,
    /// Somebody who just did, and would again.
    Published,
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

    pub(crate) fn crowd(&self) -> Crowd {
        self.crowd.clone()
    }

    /// Whether a session may publish. If not, it stands in line, and is woken at its turn.
    pub(crate) fn ask(
        &mut self,
        key: SessionKey,
        asker: Asker,
        has_room: bool,
        callable: &mut Callable<'_>,
    ) -> bool {
        let Some(session) = callable.sessions.get_mut(key) else {
            return has_room;
        };
        if asker == Asker::Published
            && let Some(place) = session.place_in_line.take()
        {
            self.waiting.remove(&place);
            // Whoever stands behind it comes next.
            self.call(usize::from(has_room), callable);
        }
        let may = self.let_in(key, has_room, callable.sessions);
        self.tell();
        may
    }

    /// A session goes away.
    pub(crate) fn leave(&mut self, session: &SessionState) {
        if let Some(place) = session.place_in_line {
            self.waiting.remove(&place);
            self.tell();
        }
    }

    /// A block has made room. More of them are to come, or this `was_last`.
    pub(crate) fn has_room(&mut self, was_last: bool, callable: &mut Callable<'_>) {
        self.call(if was_last { usize::MAX } else { CALLED_AT_ONCE }, callable);
        self.tell();
    }

    /// Lets a session in that was called, or that nobody stands before; any other stands in line.
    fn let_in(&mut self, key: SessionKey, has_room: bool, sessions: &mut Registry<SessionState>) -> bool {
        let Some(session) = sessions.get_mut(key) else {
            return has_room;
        };
        let is_its_turn = match session.place_in_line {
            Some(place) => !self.waiting.contains_key(&place),
            None => self.waiting.is_empty(),
        };
        if is_its_turn && has_room {
            return true;
        }
        let place = *session.place_in_line.get_or_insert_with(|| {
            self.next_place += 1;
            self.next_place
        });
        self.waiting.insert(place, key);
        false
    }

    /// Wakes the next `count` of them.
    fn call(&mut self, count: usize, callable: &mut Callable<'_>) {
        let Callable { sessions, wakers } = callable;
        for _ in 0..count {
            let Some((_, called)) = self.waiting.pop_first() else {
                return;
            };
            if let Some(session) = sessions.get_mut(called) {
                session.wake(wakers);
            }
        }
    }

    fn tell(&self) {
        let is_there = !self.waiting.is_empty();
        if self.crowd.is_there() != is_there {
            self.crowd.0.store(is_there, Ordering::Relaxed);
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

        fn ask_as(&mut self, asker: Asker, name: usize, has_room: bool) -> bool {
            let (sessions, wakers) = (&mut self.sessions, &mut Vec::new());
            let (key, mut callable) = (self.keys[name], Callable { sessions, wakers });
            let may = self.line.ask(key, asker, has_room, &mut callable);
            self.sessions.get_mut(key).unwrap().has_looked();
            assert_eq!(self.line.crowd.is_there(), !self.line.is_empty());
            may
        }

        fn ask(&mut self, name: usize, has_room: bool) -> bool {
            self.ask_as(Asker::Comes, name, has_room)
        }

        fn publishes(&mut self, name: usize, has_room: bool) -> bool {
            self.ask_as(Asker::Published, name, has_room)
        }

        fn publishes_if_it_may(&mut self, name: usize) -> bool {
            let may = self.ask(name, true);
            if may {
                self.publishes(name, true);
            }
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
    fn whoever_has_published_stands_behind_all_who_wait() {
        let mut all = Publishers::waiting(6);
        all.has_room(false);
        assert!(!all.ask(5, true), "before its turn");
        assert!(all.ask(0, true));
        assert!(all.ask(0, true), "it has not published yet");
        assert!(!all.publishes(0, true), "5 waits, and was not called");
        assert!(!all.ask(1, false), "called in vain");
        all.has_room(false);
        let may = [1, 2, 3, 4, 5, 0].map(|name| all.publishes_if_it_may(name));
        assert_eq!(may, [true; 6]);
    }

    #[test]
    fn whoever_was_let_in_and_came_too_late_keeps_its_place() {
        let mut all = Publishers::waiting(CALLED_AT_ONCE);
        all.has_room(false);
        assert!(all.ask(0, true) && all.ask(1, true));
        assert!(!all.publishes(1, false), "the room is gone");
        assert!(!all.ask(0, false), "so it is for one that was let in");
        let places: Vec<_> = all.line.waiting.values().copied().collect();
        assert!(places == [all.keys[0], all.keys[1]]);
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
