//! Which entries of a queue are dead.
//!
//! Invariants:
//! - Dead is what lies below the floor, and what is acknowledged above it; the floor never stands on an acknowledged entry.
//! - What is dead is in no other set of the queue.

use super::Queue;
use crate::attempts::Attempts;
use roaring::RoaringTreemap;
use std::borrow::Cow;
use std::ops::Range;

impl Queue {
    /// Entries `first .. first + count` are dead from now on: moves the floor or notes them above it.
    pub(crate) fn bury(&mut self, first: u64, count: u64) {
        let end = first.saturating_add(count);
        if first <= self.floor {
            self.floor = self.floor.max(end);
            self.unlogged.forget_below(self.floor);
            if !self.acked.is_empty() {
                self.acked.remove_range(..self.floor);
                while self.acked.min() == Some(self.floor) {
                    let run_end = run_end(&self.acked, self.floor);
                    self.acked.remove_range(..run_end);
                    self.floor = run_end;
                }
            }
        } else {
            self.acked.insert_range(first..end);
        }
        if !self.requeued.is_empty() {
            self.requeued.remove_range(first..end);
            self.requeued.remove_range(..self.floor);
        }
        if !self.redelivered.is_empty() {
            self.redelivered.remove_range(first..end);
            self.redelivered.remove_range(..self.floor);
        }
        if !self.purged.is_empty() {
            self.purged.remove_range(first..end);
            self.purged.remove_range(..self.floor);
        }
        if !self.attempts.is_empty() {
            self.attempts.forget(first, end);
            self.attempts.forget(0, self.floor);
        }
        self.cursor = self.cursor.max(self.floor);
        self.next_seq = self.next_seq.max(end);
        self.visible_end = self.visible_end.max(self.floor);
    }

    /// The log says that entries came back so often. Those that are dead do not count.
    pub(crate) fn raise_attempts(&mut self, first: u64, end: u64, said: Attempts) {
        let first = first.max(self.floor);
        if self.acked.is_empty() {
            self.attempts.raise(first, end, said);
            return;
        }
        let mut living = RoaringTreemap::new();
        living.insert_range(first..end.max(first));
        living -= &self.acked;
        for (first, end) in crate::shard::ranges_of(&living) {
            self.attempts.raise(first, end, said);
        }
    }

    /// What is dead above the floor for the next start: what the log does not hold ends with the process.
    pub(crate) fn dead_at_start(&self) -> Cow<'_, RoaringTreemap> {
        if self.unlogged.live == 0 {
            return Cow::Borrowed(&self.acked);
        }
        let dead = self.unlogged.dead_with(&self.acked, self.floor, self.visible_end);
        Cow::Owned(dead)
    }

    /// Whether the entry is dead.
    pub(crate) fn is_dead(&self, seq: u64) -> bool {
        seq < self.floor || (!self.acked.is_empty() && self.acked.contains(seq))
    }

    /// Whether all these entries are dead.
    pub(crate) fn are_dead(&self, entries: Range<u64>) -> bool {
        // Mostly the last one lives, and that is soon said.
        let Some(last) = entries.end.checked_sub(1).filter(|last| self.is_dead(*last)) else {
            return false;
        };
        last < self.floor
            || self
                .acked
                .contains_range(entries.start.max(self.floor)..entries.end)
    }
}

/// Where the run of set members that begins at `start` ends.
pub(crate) fn run_end(set: &RoaringTreemap, start: u64) -> u64 {
    // Doubling, then bisection: a run of millions costs a few probes.
    let mut step = 1_u64;
    let mut end = start + 1;
    while set.contains_range(start..end.saturating_add(step)) {
        end += step;
        step *= 2;
    }
    while step > 0 {
        if set.contains_range(start..end.saturating_add(step)) {
            end += step;
        }
        step /= 2;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::QueueId;
    use crate::queue::QueueDurability;

    fn queue() -> Queue {
        Queue::new(QueueId::new(1), QueueDurability::Durable, b"")
    }

    #[test]
    fn acknowledgements_in_order_move_the_floor_and_leave_no_set_behind() {
        let mut queue = queue();
        queue.bury(0, 10);
        queue.bury(10, 5);
        assert_eq!((queue.floor, queue.acked.len()), (15, 0));
    }

    #[test]
    fn the_floor_jumps_over_what_was_acknowledged_before_it() {
        let mut queue = queue();
        queue.bury(3, 1_000_000);
        queue.bury(1, 1);
        assert_eq!((queue.floor, queue.acked.len()), (0, 1_000_001));
        queue.bury(0, 1);
        assert_eq!(queue.floor, 2);
        queue.bury(2, 1);
        assert_eq!((queue.floor, queue.acked.len()), (1_000_003, 0));
    }

    #[test]
    fn a_run_ends_where_the_first_member_is_missing() {
        for len in [1, 2, 3, 7, 8, 9, 65_535, 65_536, 70_000] {
            let set = RoaringTreemap::from_iter(5..5 + len);
            assert_eq!(run_end(&set, 5), 5 + len, "{len}");
        }
    }
}
