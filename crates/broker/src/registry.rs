//! Things with a key that is never mistaken for the key of a later thing in the same place.
//!
//! Invariant: a key finds what it was given for, or nothing.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use slab::Slab;

/// Names one thing of a [`Registry`].
pub(crate) struct Key<T> {
    index: usize,
    generation: u64,
    of: PhantomData<fn() -> T>,
}

/// A slab whose keys carry the generation in which they were given out.
#[derive(Debug)]
pub(crate) struct Registry<T> {
    slots: Slab<(u64, T)>,
    generation: u64,
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self {
            slots: Slab::new(),
            generation: 0,
        }
    }
}

impl<T> Registry<T> {
    pub(crate) fn insert(&mut self, value: T) -> Key<T> {
        self.generation += 1;
        let index = self.slots.insert((self.generation, value));
        Key {
            index,
            generation: self.generation,
            of: PhantomData,
        }
    }

    pub(crate) fn get(&self, key: Key<T>) -> Option<&T> {
        self.slots
            .get(key.index)
            .filter(|(generation, _)| *generation == key.generation)
            .map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        self.slots
            .get_mut(key.index)
            .filter(|(generation, _)| *generation == key.generation)
            .map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: Key<T>) -> Option<T> {
        self.get(key)?;
        Some(self.slots.remove(key.index).1)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Key<T>, &mut T)> {
        self.slots.iter_mut().map(|(index, (generation, value))| {
            (
                Key {
                    index,
                    generation: *generation,
                    of: PhantomData,
                },
                value,
            )
        })
    }
}

impl<T> Key<T> {
    /// A number that no other key of the registry has.
    pub(crate) fn number(self) -> u64 {
        self.generation
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}

impl<T> Eq for Key<T> {}

impl<T> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.generation.hash(state);
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.index, self.generation)
    }
}

#[cfg(test)]
impl<T> Key<T> {
    /// A key for another kind of things, for tests that need only keys.
    pub(crate) fn of_same_place<U>(self) -> Key<U> {
        Key {
            index: self.index,
            generation: self.generation,
            of: PhantomData,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Registry;

    #[test]
    fn an_old_key_finds_nothing_in_a_place_that_was_used_again() {
        let mut registry = Registry::default();
        let old = registry.insert("old");
        assert_eq!(registry.remove(old), Some("old"));
        let new = registry.insert("new");
        assert_eq!(new.index, old.index);
        assert_eq!(registry.get(old), None);
        assert_eq!(registry.remove(old), None);
        assert_eq!(registry.get(new), Some(&"new"));
    }
}
