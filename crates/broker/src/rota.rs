//! The consumers of a queue, and whose turn it is.
//!
//! Invariants:
//! - Levels stand in descending order of priority; none is empty, and each consumer stands in one of them, once.
//! - With a single active consumer, that one is among them; there is one as long as there is any.
//! - Among the consumers of a level the turn goes round; a lower level is served only while nobody above it takes anything.
//!
//! Elsewhere: whether a consumer can take something (`dispatch`).

use crate::consumer::ConsumerKey;

/// Consumers of one priority.
#[derive(Debug)]
pub(crate) struct Level {
    priority: i64,
    pub consumers: Vec<ConsumerKey>,
    /// Whose turn it is.
    pub turn: usize,
}

impl Level {
    /// Adds a consumer behind all others, as seen from whose turn it is.
    fn add(&mut self, key: ConsumerKey) {
        if self.turn == 0 {
            self.consumers.push(key);
        } else {
            self.consumers.insert(self.turn, key);
            self.turn += 1;
        }
    }
}

/// Whether consumers share a queue's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// All are served.
    Competing,
    /// One is served, until it goes.
    Single,
    /// One is served, until it goes or one of higher priority comes and it has settled what it holds (quorum queues).
    SingleYielding,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Rota {
    sharing: Sharing,
    levels: Vec<Level>,
    active: Option<ConsumerKey>,
}

impl Rota {
    pub(crate) fn new(sharing: Sharing) -> Self {
        Self {
            sharing,
            levels: Vec::new(),
            active: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.levels.iter().map(|level| level.consumers.len()).sum()
    }

    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing
    }

    /// All consumers, highest priority first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ConsumerKey> {
        self.levels
            .iter()
            .flat_map(|level| level.consumers.iter().copied())
    }

    /// Who is to be served, in this order: all levels.
    pub(crate) fn levels_mut(&mut self) -> &mut [Level] {
        &mut self.levels
    }

    /// The only consumer to be served, if there may only be one.
    pub(crate) fn active(&self) -> Option<ConsumerKey> {
        self.active
    }

    /// Who should be the active consumer instead of the one that is, if anybody.
    pub(crate) fn successor(&self) -> Option<ConsumerKey> {
        let active = self.active?;
        let first = self.levels.first()?;
        let yields = self.sharing == Sharing::SingleYielding && !first.consumers.contains(&active);
        if yields {
            first.consumers.first().copied()
        } else {
            None
        }
    }

    /// Makes the successor the active consumer.
    pub(crate) fn succeed(&mut self) {
        self.active = self.successor().or(self.active);
    }

    pub(crate) fn add(&mut self, key: ConsumerKey, priority: i64) {
        if self.sharing != Sharing::Competing {
            self.active.get_or_insert(key);
        }
        let at = self.levels.partition_point(|level| level.priority > priority);
        match self.levels.get_mut(at) {
            Some(level) if level.priority == priority => level.add(key),
            _ => self.levels.insert(
                at,
                Level {
                    priority,
                    consumers: vec![key],
                    turn: 0,
                },
            ),
        }
    }

    /// Removes a consumer; the turn stays with whom it was. If it was the active one, the first of the highest level
    /// follows it.
    pub(crate) fn remove(&mut self, key: ConsumerKey) {
        let found = self.levels.iter_mut().enumerate().find_map(|(level_at, level)| {
            let at = level.consumers.iter().position(|&other| other == key)?;
            Some((level_at, at))
        });
        let Some((level_at, at)) = found else { return };
        let level = &mut self.levels[level_at];
        level.consumers.remove(at);
        if at < level.turn {
            level.turn -= 1;
        }
        if level.turn >= level.consumers.len() {
            level.turn = 0;
        }
        if level.consumers.is_empty() {
            self.levels.remove(level_at);
        }
        if self.active == Some(key) {
            self.active = self
                .levels
                .first()
                .and_then(|level| level.consumers.first().copied());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::Registry;

    fn keys(count: usize) -> Vec<ConsumerKey> {
        // Only the keys matter here, and only a registry makes them.
        let mut registry = Registry::default();
        (0..count)
            .map(|_| registry.insert(()))
            .map(crate::registry::Key::of_same_place)
            .collect()
    }

    proptest! {
        /// A rota is a list of consumers that is sorted by priority, and stays in the order of arrival within one.
        #[test]
        fn a_rota_is_a_stably_sorted_list(steps in prop::collection::vec((0_usize..12, -2_i64..3), 0..60)) {
            let keys = keys(12);
            let mut rota = Rota::new(Sharing::Single);
            let mut model: Vec<(i64, ConsumerKey)> = Vec::new();
            let mut active = None;
            for (key, priority) in steps {
                let key = keys[key];
                if let Some(at) = model.iter().position(|(_, other)| *other == key) {
                    model.remove(at);
                    rota.remove(key);
                } else {
                    model.push((priority, key));
                    model.sort_by_key(|(priority, _)| -priority);
                    rota.add(key, priority);
                }
                if !model.iter().any(|(_, other)| Some(*other) == active) {
                    active = model.first().map(|(_, key)| *key);
                }
                let expected: Vec<_> = model.iter().map(|(_, key)| *key).collect();
                prop_assert_eq!(rota.iter().collect::<Vec<_>>(), expected);
                prop_assert_eq!(rota.active(), active);
                prop_assert_eq!((rota.len(), rota.is_empty()), (model.len(), model.is_empty()));
                for level in rota.levels_mut() {
                    prop_assert!(level.turn < level.consumers.len());
                }
            }
        }
    }
}
