//! Letters that the disk did not give, and those of queues with the strategy at-least-once that reached nobody: they are tried again
//! every so often.
//!
//! Invariants:
//! - What is retained stays leased in its queue: it is not lost, and a restart brings it back.
//! - At most `RETAINED_MAX` are tried again before the next start; the others wait for that.

use std::collections::BTreeMap;
use std::ops::Bound;

use logpond_store::disk::{Disk, Now};
use logpond_store::{QueueId, Seq, Shard};

use super::deaths::Reason;
use crate::broker::Broker;
use crate::limits::{RETAINED_MAX, RETAINED_TRIED_MAX};
use crate::state::BrokerState;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    reasons: BTreeMap<(QueueId, Seq), Reason>,
    tried_last: Option<(QueueId, Seq)>,
}

impl Retained {
    /// Keeps a letter.
    pub(crate) fn keep(&mut self, queue: QueueId, seq: Seq, reason: Reason) {
        if self.reasons.len() < RETAINED_MAX || self.reasons.contains_key(&(queue, seq)) {
            self.reasons.insert((queue, seq), reason);
        } else {
            tracing::warn!(%queue, %seq, "too many dead letters cannot be moved: this one is tried again after a restart");
        }
    }

    /// Of what a letter died that was kept.
    pub(crate) fn reason(&self, queue: QueueId, seq: Seq) -> Option<Reason> {
        self.reasons.get(&(queue, seq)).copied()
    }

    /// The letter is done with.
    pub(crate) fn remove(&mut self, queue: QueueId, seq: Seq) {
        if !self.reasons.is_empty() {
            self.reasons.remove(&(queue, seq));
        }
    }

    /// Those whose turn it is.
    fn turn(&mut self) -> Vec<(QueueId, Seq)> {
        let from = self.tried_last.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.reasons.range((from, Bound::Unbounded));
        let turn: Vec<_> = behind.map(|(key, _)| *key).take(RETAINED_TRIED_MAX).collect();
        // Behind the last it begins anew.
        self.tried_last = turn.last().copied().filter(|_| turn.len() == RETAINED_TRIED_MAX);
        turn
    }
}

impl<D: Disk> Broker<D> {
    /// Has some of the letters moved again that reached nobody, and those that waited for room. A part of each tick.
    pub(crate) fn retry_letters(&self, now: Now) {
        let mut guard = self.store.lock();
        let (shard, state) = guard.parts();
        if state.letter_watch.waits_for_room() && shard.has_room_to_move() {
            state.letter_watch.notice_room(&mut state.wakers);
        }
        let ended = state.retry_letters(shard, now);
        self.release(guard, ended, now);
    }
}

impl BrokerState {
    /// Whether letters wait to be tried again, or for room.
    pub(crate) fn may_retry_letters(&self) -> bool {
        !self.retained.reasons.is_empty() || self.letter_watch.waits_for_room()
    }

    /// How many of them may have come to their end by it.
    fn retry_letters<D: Disk>(&mut self, shard: &mut Shard<D>, now: Now) -> usize {
        let turn = self.retained.turn();
        for &(queue, seq) in &turn {
            // Without its queue it is gone, and where nobody wants dead letters any more this is its end.
            let wants_them = self.queues.get(&queue).is_some_and(|queue| {
                let policy = queue.policy.as_ref();
                policy.is_some_and(|policy| policy.dead_letters().is_some())
            });
            let is_handed_out = wants_them || self.delays.contains_key(&queue);
            if !is_handed_out {
                self.retained.remove(queue, seq);
            }
            let _gone = shard.reject(queue, seq, 1, now);
        }
        turn.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_kept_has_its_turn_again_and_again() {
        let mut retained = Retained::default();
        let many = u64::try_from(RETAINED_TRIED_MAX).unwrap() + 1;
        let queue = QueueId::new(1);
        for seq in 0..many {
            retained.keep(queue, Seq::new(seq), Reason::Expired);
        }
        let turns: Vec<_> = (0..3).map(|_| retained.turn().len()).collect();
        assert_eq!(turns, [RETAINED_TRIED_MAX, 1, RETAINED_TRIED_MAX]);
        retained.remove(queue, Seq::new(0));
        assert_eq!(retained.reason(queue, Seq::new(0)), None);
        assert_eq!(retained.reason(queue, Seq::new(1)), Some(Reason::Expired));
    }

    #[test]
    fn beyond_the_bound_nothing_is_kept() {
        let mut retained = Retained::default();
        let many = u64::try_from(RETAINED_MAX).unwrap();
        for seq in 0..=many {
            retained.keep(QueueId::new(1), Seq::new(seq), Reason::Expired);
        }
        assert_eq!(retained.reason(QueueId::new(1), Seq::new(many)), None);
    }
}
