//! The ready entries of a queue with priorities: one chain for each level.
//!
//! Invariants:
//! - An entry is in at most one level: that of its priority on the queue's [`Scale`].
//! - No set is empty; what is not in use takes no memory, and a queued message no heap object.
//! - Levels are not written to disk: the index tells the priority of each entry.

use crate::priority::Priority;
use crate::ranks::Scale;
use roaring::RoaringTreemap;
use std::collections::BTreeMap;

pub(crate) struct Levels {
    scale: Scale,
    sets: BTreeMap<u8, RoaringTreemap>,
}

impl Levels {
    /// The levels of a scale, with nothing in them.
    pub(crate) const fn new(scale: Scale) -> Self {
        Self {
            scale,
            sets: BTreeMap::new(),
        }
    }

    /// The same with these entries, all of one level: nobody looked at them one by one, and some may be no messages.
    pub(crate) fn beginning_with(scale: Scale, level: u8, entries: RoaringTreemap) -> Self {
        let mut levels = Self::new(scale);
        if !entries.is_empty() {
            levels.sets.insert(level, entries);
        }
        levels
    }

    pub(crate) fn insert(&mut self, priority: Priority, seq: u64) {
        let level = self.scale.level(priority);
        self.sets.entry(level).or_default().insert(seq);
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, priority: Priority, seq: u64) -> bool {
        let level = self.scale.level(priority);
        let Some(set) = self.sets.get_mut(&level) else {
            return false;
        };
        let was_there = set.remove(seq);
        if set.is_empty() {
            self.sets.remove(&level);
        }
        was_there
    }

    /// Takes out an entry that says nothing of its level.
    pub(crate) fn remove_anywhere(&mut self, seq: u64) {
        self.sets.retain(|_, set| {
            set.remove(seq);
            !set.is_empty()
        });
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
        let mut levels = Levels::new(Scale::up_to(5));
        for (seq, priority) in [0, 5, 3, 200, 3].into_iter().enumerate() {
            levels.insert(Priority::new(priority), u64::try_from(seq).unwrap());
        }
        let mut order = Vec::new();
        for priority in [5, 200, 3, 3, 0] {
            let head = levels.head().unwrap();
            assert!(levels.remove(Priority::new(priority), head));
            order.push(head);
        }
        assert_eq!(order, [1, 3, 2, 4, 0]);
        assert!(levels.is_empty());
    }
}
