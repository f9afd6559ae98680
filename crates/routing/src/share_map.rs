//! A hash map whose clones share everything, and of which a change copies one short path.
//!
//! Up to [`LEAF_ENTRIES_MAX`] entries it is one hash table behind an `Arc`. A leaf that outgrows this becomes
//! a branch of 64 children chosen by six bits of the hash. With 100,000 entries a lookup is two hops and one
//! probe, and a change after a clone copies two branches and one leaf.
//!
//! Invariants:
//! - `len` is the number of entries, and `root` is `None` exactly when it is 0.
//! - An entry stands in the leaf that its hash leads to. The bits that choose the child are none of those
//!   that the leaf's table uses (the lowest and the seven highest), so leaves do not cluster.
//! - No branch has only empty children.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Keeps clients from constructing colliding names. The same for all maps of one topology, and handed in:
/// a simulation is deterministic with a fixed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub u64);

const LEAF_ENTRIES_MAX: usize = 64;
const FANOUT: usize = 64;
const FANOUT_BITS: u32 = 6;
/// The bit above those that choose a child of the root.
const TOP_BIT: u32 = 51;
/// Below so many branches a leaf takes whatever comes: 36 bits of hash were equal.
const DEPTH_MAX: u32 = 6;

const _: () = assert!(1 << FANOUT_BITS == FANOUT);
const _: () = assert!(
    TOP_BIT - FANOUT_BITS * DEPTH_MAX >= 15,
    "the low bits belong to the leaf's table"
);

#[derive(Clone, Debug)]
enum Node<K, V> {
    Leaf(HashTable<(K, V)>),
    Branch(Box<[Option<Arc<Self>>]>),
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct ShareMap<K, V> {
    root: Option<Arc<Node<K, V>>>,
    len: usize,
    seed: Seed,
}

impl<K: Hash + Eq + Clone, V: Clone> ShareMap<K, V> {
    pub(crate) const fn new(seed: Seed) -> Self {
        Self {
            root: None,
            len: 0,
            seed,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What `get_hashed` wants; equal for a key and its borrowed form.
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        hash_of(self.seed, key)
    }

    #[inline]
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get_hashed(self.hash(key), key)
    }

    /// The key as the map has it.
    pub(crate) fn get_key<Q>(&self, key: &Q) -> Option<&K>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(self.hash(key), key).map(|(have, _)| have)
    }

    /// The value for a hash that was computed before by a map of the same seed.
    #[inline]
    pub(crate) fn get_hashed<Q>(&self, hash: u64, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.find(hash, key).map(|(_, value)| value)
    }

    #[inline]
    fn find<Q>(&self, hash: u64, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut node = self.root.as_deref()?;
        let mut depth = 0;
        loop {
            match node {
                Node::Leaf(table) => return table.find(hash, |have| have.0.borrow() == key),
                Node::Branch(children) => node = children[child(hash, depth)].as_deref()?,
            }
            depth += 1;
        }
    }

    pub(crate) fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key).is_some()
    }

    /// A value to change in place: the path to it is copied where it is shared.
    pub(crate) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        // Without this look a miss would copy the path for nothing.
        self.get_hashed(hash, key)?;
        let mut node = Arc::make_mut(self.root.as_mut()?);
        let mut depth = 0;
        loop {
            match node {
                Node::Leaf(table) => {
                    return table
                        .find_mut(hash, |have| have.0.borrow() == key)
                        .map(|have| &mut have.1);
                }
                Node::Branch(children) => node = Arc::make_mut(children[child(hash, depth)].as_mut()?),
            }
            depth += 1;
        }
    }

    /// The value of `key`, made if there is none.
    pub(crate) fn get_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        if !self.contains(key) {
            self.insert(key.clone(), make());
        }
        self.get_mut(key).expect("it was there or has just been inserted")
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let seed = self.seed;
        let hash = hash_of(seed, &key);
        let mut node = Arc::make_mut(
            self.root
                .get_or_insert_with(|| Arc::new(Node::Leaf(HashTable::new()))),
        );
        let mut depth = 0;
        loop {
            if depth < DEPTH_MAX {
                node.split_if_full(seed, depth);
            }
            match node {
                Node::Leaf(table) => {
                    if let Some(have) = table.find_mut(hash, |have| have.0 == key) {
                        return Some(std::mem::replace(&mut have.1, value));
                    }
                    table.insert_unique(hash, (key, value), |have| hash_of(seed, &have.0));
                    self.len += 1;
                    return None;
                }
                Node::Branch(children) => {
                    let slot = &mut children[child(hash, depth)];
                    node = Arc::make_mut(slot.get_or_insert_with(|| Arc::new(Node::Leaf(HashTable::new()))));
                }
            }
            depth += 1;
        }
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        self.get_hashed(hash, key)?;
        let removed = Node::remove(&mut self.root, hash, 0, key);
        debug_assert!(removed.is_some(), "it was there a moment ago");
        self.len -= 1;
        assert_eq!(self.root.is_none(), self.len == 0, "an empty map has no root");
        removed
    }

    /// Calls `visit` for all entries, in no order that means anything. Does not allocate.
    #[inline]
    pub(crate) fn for_each<'a>(&'a self, mut visit: impl FnMut(&'a K, &'a V)) {
        if let Some(root) = &self.root {
            root.for_each(&mut visit);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut entries = Vec::with_capacity(self.len);
        self.for_each(|key, value| entries.push((key, value)));
        entries.into_iter()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Node<K, V> {
    fn split_if_full(&mut self, seed: Seed, depth: u32) {
        let Self::Leaf(table) = self else { return };
        if table.len() < LEAF_ENTRIES_MAX {
            return;
        }
        let mut leaves: Vec<Option<HashTable<(K, V)>>> = (0..FANOUT).map(|_| None).collect();
        for entry in std::mem::take(table) {
            let hash = hash_of(seed, &entry.0);
            let leaf = leaves[child(hash, depth)].get_or_insert_with(HashTable::new);
            leaf.insert_unique(hash, entry, |have| hash_of(seed, &have.0));
        }
        let children = leaves
            .into_iter()
            .map(|leaf| leaf.map(|table| Arc::new(Self::Leaf(table))));
        *self = Self::Branch(children.collect());
    }

    /// Removes an entry that is known to be there, and every node that this leaves empty.
    fn remove<Q>(slot: &mut Option<Arc<Self>>, hash: u64, depth: u32, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (removed, empty) = match Arc::make_mut(slot.as_mut()?) {
            Self::Leaf(table) => {
                let entry = table.find_entry(hash, |have| have.0.borrow() == key).ok()?;
                let ((_, value), _) = entry.remove();
                (value, table.is_empty())
            }
            Self::Branch(children) => {
                let value = Self::remove(&mut children[child(hash, depth)], hash, depth + 1, key)?;
                (value, children.iter().all(Option::is_none))
            }
        };
        if empty {
            *slot = None;
        }
        Some(removed)
    }

    fn for_each<'a>(&'a self, visit: &mut impl FnMut(&'a K, &'a V)) {
        match self {
            Self::Leaf(table) => table.iter().for_each(|(key, value)| visit(key, value)),
            Self::Branch(children) => children.iter().flatten().for_each(|child| child.for_each(visit)),
        }
    }
}

#[inline]
fn hash_of<Q: Hash + ?Sized>(seed: Seed, key: &Q) -> u64 {
    FixedState::with_seed(seed.0).hash_one(key)
}

#[inline]
fn child(hash: u64, depth: u32) -> usize {
    let bits = (hash >> (TOP_BIT - FANOUT_BITS * (depth + 1))) & 0x3f;
    usize::try_from(bits).expect("six bits fit every usize")
}

#[cfg(test)]
mod tests;
