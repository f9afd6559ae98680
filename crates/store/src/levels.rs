//! The ready entries of a queue with priorities: one chain for each level.
//!
//! Invariants:
//! - An entry is in at most one level: that of its priority, or the highest if its priority is above that.
//! - No set is empty; what is not in use takes no memory, and a queued message no heap object.
//! - Levels are not written to disk: the index tells the priority of each entry.

use roaring::RoaringTreemap;
use std::collections::BTreeMap;

pub(crate) struct Levels {
    highest: u8,
    sets: BTreeMap<u8, RoaringTreemap>,
}

impl Levels {
    /// Levels from 0 to `highest`, with nothing in them.
    pub(crate) const fn new(highest: u8) -> Self {
        Self {
            highest,
            sets: BTreeMap::new(),
        }
    }

    pub(crate) fn insert(&mut self, priority: u8, seq: u64) {
        let level = priority.min(self.highest);
        self.sets.entry(level).or_default().insert(seq);
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, priority: u8, seq: u64) -> bool {
        let level = priority.min(self.highest);
        let Some(set) = self.sets.get_mut(&level) else {
            return false;
        };
        let was_there = set.remove(seq);
        if set.is_empty() {
            self.sets.remove(&level);
        }
        was_there
    }

    /// The first entry of the highest level that has any.
    pub(crate) fn head(&self) -> Option<u64> {
        self.sets.last_key_value().and_then(|(_, set)| set.min())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Whether it is in any level.
    pub(crate) fn contains(&self, seq: u64) -> bool {
        self.sets.values().any(|set| set.contains(seq))
    }

    /// Takes what is in any level out of `entries`.
    pub(crate) fn remove_from(&self, entries: &mut RoaringTreemap) {
        for set in self.sets.values() {
            *entries -= set;
        }
    }

    /// Empties all levels, and says what was in them.
    pub(crate) fn take(&mut self) -> RoaringTreemap {
        let sets = std::mem::take(&mut self.sets);
        sets.into_values()
            .fold(RoaringTreemap::new(), |all, set| all | set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_level_comes_first_and_the_oldest_within_it() {
        let mut levels = Levels::new(5);
        for (seq, priority) in [0, 5, 3, 200, 3].into_iter().enumerate() {
            levels.insert(priority, u64::try_from(seq).unwrap());
        }
        let mut order = Vec::new();
        for priority in [5, 200, 3, 3, 0] {
            let head = levels.head().unwrap();
            assert!(levels.remove(priority, head));
            order.push(head);
        }
        assert_eq!(order, [1, 3, 2, 4, 0]);
        assert!(levels.is_empty());
    }
}
