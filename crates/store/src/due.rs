//! The ready entries of a queue by when they expire.
//!
//! Invariants:
//! - An entry stands in both sets or in neither; of two with the same time the older one comes first, and what never expires last.
//! - Some 25 bytes for each entry, and no heap object.

use roaring::RoaringTreemap;
use std::collections::BTreeSet;

#[derive(Default)]
pub(crate) struct Due {
    by_time: BTreeSet<(u64, u64)>,
    seqs: RoaringTreemap,
}

/// An entry without a time has a zero there.
const fn time(expires_ms: u64) -> u64 {
    if expires_ms == 0 { u64::MAX } else { expires_ms }
}

impl Due {
    pub(crate) fn insert(&mut self, expires_ms: u64, seq: u64) {
        self.by_time.insert((time(expires_ms), seq));
        self.seqs.insert(seq);
    }

    /// Whether it was there.
    pub(crate) fn remove(&mut self, expires_ms: u64, seq: u64) -> bool {
        self.seqs.remove(seq);
        self.by_time.remove(&(time(expires_ms), seq))
    }

    pub(crate) fn head(&self) -> Option<u64> {
        self.by_time.first().map(|(_, seq)| *seq)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_time.is_empty()
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        self.seqs.contains(seq)
    }

    /// Takes what stands here out of `entries`.
    pub(crate) fn remove_from(&self, entries: &mut RoaringTreemap) {
        *entries -= &self.seqs;
    }

    /// Empties it, and says what was there.
    pub(crate) fn take(&mut self) -> RoaringTreemap {
        self.by_time.clear();
        std::mem::take(&mut self.seqs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_expire_is_the_head_and_among_equals_the_oldest() {
        let mut due = Due::default();
        for (seq, expires_ms) in [0, 30, 20, 30, 20].into_iter().enumerate() {
            due.insert(expires_ms, u64::try_from(seq).unwrap());
        }
        assert!(due.contains(3) && !due.contains(5));
        for (expires_ms, seq) in [(20, 2), (20, 4), (30, 1), (30, 3), (0, 0)] {
            assert_eq!(due.head(), Some(seq));
            assert!(due.remove(expires_ms, seq));
        }
        assert!(due.is_empty() && due.take().is_empty());
    }
}
