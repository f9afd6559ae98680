//! Messages of a quorum queue that failed too often, until their dead letters were moved: the store knows them as rejected.
//!
//! Invariant: at most `EXHAUSTED_MAX` of a queue. Beyond that the oldest are forgotten, and their letters say that they were rejected.

use std::collections::BTreeSet;

use logpond_store::Seq;

use crate::limits::EXHAUSTED_MAX;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Exhausted {
    seqs: BTreeSet<Seq>,
}

impl Exhausted {
    pub(crate) fn insert(&mut self, seq: Seq) {
        self.seqs.insert(seq);
        if self.seqs.len() > EXHAUSTED_MAX {
            self.seqs.pop_first();
        }
    }

    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.seqs.contains(&seq)
    }

    /// The message is gone.
    pub(crate) fn remove(&mut self, seq: Seq) {
        if !self.seqs.is_empty() {
            self.seqs.remove(&seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_at_the_bound() {
        let mut exhausted = Exhausted::default();
        let many = u64::try_from(EXHAUSTED_MAX).unwrap();
        (0..=many).for_each(|seq| exhausted.insert(Seq::new(seq)));
        assert!(!exhausted.contains(Seq::new(0)));
        assert!(exhausted.contains(Seq::new(1)) && exhausted.contains(Seq::new(many)));
        exhausted.remove(Seq::new(1));
        assert!(!exhausted.contains(Seq::new(1)));
    }
}
