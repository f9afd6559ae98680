//! Topic patterns in a trie of words, and the walk that matches a routing key with all of them at once.
//!
//! A pattern is words between dots; `*` stands for one word, `#` for any number of words, none included.
//! The empty pattern and the empty key have no word; "." is two empty words.
//!
//! Why matching cannot explode: for each node the walk carries the *set* of positions in the key at which
//! the node's pattern prefix can end, as bits. A node has one parent and is entered once with all its
//! positions, so a message costs at most (nodes of the trie) × (words of the key), whatever the patterns.
//! A walk that followed one position at a time would be exponential in the `#`s of a pattern.
//!
//! Invariants:
//! - Each node but the root has a target or a child.
//! - `hash_bindings` is the number of bindings whose pattern has a `#`. Without any, every set of
//!   positions has one element, and equal words of a key need not be linked.
//! - No pattern has more than [`PATTERN_WORDS_MAX`] words, so recursion is bounded.

use std::sync::Arc;

use crate::limits::PATTERN_WORDS_MAX;
use crate::share_map::{Seed, ShareMap};
use crate::targets::Targets;
use crate::{Destination, Name};

/// All patterns of one exchange.
#[derive(Clone, Debug)]
pub(crate) struct Trie {
    root: Node,
    hash_bindings: usize,
    seed: Seed,
}

#[derive(Clone, Debug)]
struct Node {
    words: ShareMap<Name, Arc<Self>>,
    star: Option<Arc<Self>>,
    hash: Option<Arc<Self>>,
    targets: Targets,
}

/// Memory of a walk, used again by the next.
#[derive(Debug, Default)]
pub(crate) struct TopicScratch {
    words: Vec<Word>,
    by_hash: Vec<(u64, usize)>,
    /// A stack of position sets.
    positions: Vec<u64>,
}

/// A word of the key that is matched.
#[derive(Clone, Copy, Debug)]
struct Word {
    start: usize,
    end: usize,
    hash: u64,
    /// The next position with the same word.
    next_same: Option<usize>,
}

/// The words of a pattern or key.
pub(crate) fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let dotted = (!key.is_empty()).then(|| key.split(|byte| *byte == b'.'));
    dotted.into_iter().flatten()
}

impl Trie {
    pub(crate) const fn new(seed: Seed) -> Self {
        Self {
            root: Node::new(seed),
            hash_bindings: 0,
            seed,
        }
    }

    /// Adds one binding.
    pub(crate) fn add(&mut self, pattern: &[u8], destination: &Destination) {
        debug_assert!(
            words(pattern).count() <= PATTERN_WORDS_MAX,
            "bind checks the length"
        );
        let seed = self.seed;
        let mut node = &mut self.root;
        for word in words(pattern) {
            let new = || Arc::new(Node::new(seed));
            node = Arc::make_mut(match word {
                b"*" => node.star.get_or_insert_with(new),
                b"#" => node.hash.get_or_insert_with(new),
                _ => node.words.get_or_insert_with(&Name::from(word), new),
            });
        }
        node.targets.add(destination, seed);
        self.hash_bindings += usize::from(has_hash(pattern));
    }

    /// Takes one binding away. It must have been added.
    pub(crate) fn remove(&mut self, pattern: &[u8], destination: &Destination) {
        self.root.remove(&mut words(pattern), destination);
        self.hash_bindings -= usize::from(has_hash(pattern));
    }

    /// Calls `visit` with the targets of each pattern that matches `key`; a pattern comes once.
    pub(crate) fn for_each_match<'a>(
        &'a self,
        key: &[u8],
        scratch: &mut TopicScratch,
        visit: &mut impl FnMut(&'a Targets),
    ) {
        scratch.read(key, &self.root.words);
        if self.hash_bindings > 0 {
            scratch.link_same_words(key);
        }
        let TopicScratch { words, positions, .. } = scratch;
        let blocks = words.len() / 64 + 1;
        positions.clear();
        positions.resize(blocks, 0);
        positions[0] = 1;
        Walk {
            key,
            words,
            positions,
            blocks,
            visit,
        }
        .enter(&self.root, 0);
    }
}

fn has_hash(pattern: &[u8]) -> bool {
    words(pattern).any(|word| word == b"#")
}

impl Node {
    const fn new(seed: Seed) -> Self {
        Self {
            words: ShareMap::new(seed),
            star: None,
            hash: None,
            targets: Targets::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.words.is_empty() && self.star.is_none() && self.hash.is_none()
    }

    fn remove<'k>(&mut self, pattern: &mut impl Iterator<Item = &'k [u8]>, destination: &Destination) {
        const KNOWN: &str = "only bindings that exist are removed";
        let Some(word) = pattern.next() else {
            self.targets.remove(destination);
            return;
        };
        let child = match word {
            b"*" => self.star.as_mut(),
            b"#" => self.hash.as_mut(),
            _ => self.words.get_mut(word),
        };
        let child = Arc::make_mut(child.expect(KNOWN));
        child.remove(pattern, destination);
        if child.is_empty() {
            match word {
                b"*" => self.star = None,
                b"#" => self.hash = None,
                _ => drop(self.words.remove(word)),
            }
        }
    }
}

impl TopicScratch {
    fn read(&mut self, key: &[u8], hasher: &ShareMap<Name, Arc<Node>>) {
        self.words.clear();
        let mut start = 0;
        for word in words(key) {
            let end = start + word.len();
            self.words.push(Word {
                start,
                end,
                hash: hasher.hash(word),
                next_same: None,
            });
            start = end + 1;
        }
    }

    /// Links each word with its next occurrence. Two words with one hash could hide a link between them:
    /// a child is then entered twice, each time with other positions, which costs time and changes nothing.
    fn link_same_words(&mut self, key: &[u8]) {
        self.by_hash.clear();
        self.by_hash
            .extend(self.words.iter().enumerate().map(|(at, word)| (word.hash, at)));
        self.by_hash.sort_unstable();
        for pair in self.by_hash.windows(2) {
            let (first, second) = (self.words[pair[0].1], self.words[pair[1].1]);
            if key[first.start..first.end] == key[second.start..second.end] {
                self.words[pair[0].1].next_same = Some(pair[1].1);
            }
        }
    }
}

/// One walk. A set of positions is `blocks` numbers at an index of the stack `positions`; position p means
/// that the first p words are matched. No set is empty.
struct Walk<'k, 's, F> {
    key: &'k [u8],
    words: &'s [Word],
    positions: &'s mut Vec<u64>,
    blocks: usize,
    visit: &'s mut F,
}

impl<F> Walk<'_, '_, F> {
    fn enter<'a>(&mut self, node: &'a Node, set: usize)
    where
        F: FnMut(&'a Targets),
    {
        if self.contains(set, self.words.len()) && !node.targets.is_empty() {
            (self.visit)(&node.targets);
        }
        if let Some(child) = &node.hash {
            let next = self.push_all_from_first(set);
            self.enter(child, next);
            self.positions.truncate(next);
        }
        if let Some(child) = &node.star {
            let next = self.push_shifted(set);
            if !self.is_empty(next) {
                self.enter(child, next);
            }
            self.positions.truncate(next);
        }
        if !node.words.is_empty() {
            self.enter_words(node, set);
        }
    }

    fn enter_words<'a>(&mut self, node: &'a Node, set: usize)
    where
        F: FnMut(&'a Targets),
    {
        let left = self.push_copy(set);
        self.clear(left, self.words.len());
        while let Some(at) = self.first(left) {
            let word = self.words[at];
            let next = self.push_empty();
            let mut same = Some(at);
            while let Some(at) = same {
                if self.contains(left, at) {
                    self.clear(left, at);
                    self.insert(next, at + 1);
                }
                same = self.words[at].next_same;
            }
            if let Some(child) = node.words.get_hashed(word.hash, &self.key[word.start..word.end]) {
                self.enter(child, next);
            }
            self.positions.truncate(next);
        }
        self.positions.truncate(left);
    }

    fn contains(&self, set: usize, at: usize) -> bool {
        self.positions[set + at / 64] & (1 << (at % 64)) != 0
    }

    fn insert(&mut self, set: usize, at: usize) {
        self.positions[set + at / 64] |= 1 << (at % 64);
    }

    fn clear(&mut self, set: usize, at: usize) {
        self.positions[set + at / 64] &= !(1 << (at % 64));
    }

    fn first(&self, set: usize) -> Option<usize> {
        let blocks = &self.positions[set..set + self.blocks];
        let block = blocks.iter().position(|bits| *bits != 0)?;
        let bit = usize::try_from(blocks[block].trailing_zeros()).expect("below 64");
        Some(block * 64 + bit)
    }

    fn is_empty(&self, set: usize) -> bool {
        self.first(set).is_none()
    }

    fn push_empty(&mut self) -> usize {
        let set = self.positions.len();
        self.positions.resize(set + self.blocks, 0);
        set
    }

    fn push_copy(&mut self, of: usize) -> usize {
        let set = self.positions.len();
        self.positions.extend_from_within(of..of + self.blocks);
        set
    }

    /// One word further, whatever it is.
    fn push_shifted(&mut self, of: usize) -> usize {
        let set = self.push_copy(of);
        self.clear(set, self.words.len());
        let mut carry = 0;
        for bits in &mut self.positions[set..] {
            let overflow = *bits >> 63;
            *bits = *bits << 1 | carry;
            carry = overflow;
        }
        set
    }

    /// Any number of words further.
    fn push_all_from_first(&mut self, of: usize) -> usize {
        let first = self.first(of).expect("no set is empty");
        let set = self.push_empty();
        for block in first / 64..self.blocks {
            self.positions[set + block] = u64::MAX;
        }
        self.positions[set + first / 64] <<= first % 64;
        let beyond = self.words.len() % 64;
        self.positions[set + self.blocks - 1] &= u64::MAX >> (63 - beyond);
        set
    }
}

#[cfg(test)]
mod tests;
