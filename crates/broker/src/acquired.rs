//! How often messages of a quorum queue were taken and given back: what the header `x-acquired-count` says.
//!
//! Invariants:
//! - Only messages that were given back and not settled since are counted, and at most `ACQUIRED_MAX` of a queue: beyond that the
//!   oldest are forgotten.
//! - A count is a lower bound: it lives in memory, so a restart begins anew, and whatever is delivered again was taken once at least.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use logpond_store::Seq;

use crate::limits::ACQUIRED_MAX;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct AcquiredCounts {
    by_seq: Mutex<BTreeMap<Seq, u32>>,
}

impl AcquiredCounts {
    fn by_seq(&self) -> MutexGuard<'_, BTreeMap<Seq, u32>> {
        self.by_seq.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Consecutive messages were given back.
    pub(crate) fn given_back(&self, first: Seq, count: u64) {
        let mut by_seq = self.by_seq();
        let counted = count.min(u64::try_from(ACQUIRED_MAX).unwrap_or(u64::MAX));
        for at in count - counted..count {
            let count = by_seq.entry(first.plus(at)).or_default();
            *count = count.saturating_add(1);
        }
        while by_seq.len() > ACQUIRED_MAX {
            by_seq.pop_first();
        }
    }

    /// Consecutive messages are done with.
    pub(crate) fn settled(&self, first: Seq, count: u64) {
        let mut by_seq = self.by_seq();
        if by_seq.is_empty() {
            return;
        }
        let mut rest = by_seq.split_off(&first);
        by_seq.append(&mut rest.split_off(&first.plus(count)));
    }

    /// All messages are gone.
    pub(crate) fn clear(&self) {
        self.by_seq().clear();
    }

    /// How often a message that is delivered again was taken before.
    pub(crate) fn of(&self, seq: Seq) -> u32 {
        self.by_seq().get(&seq).copied().unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_is_forgotten_and_nothing_beside_it() {
        let counts = AcquiredCounts::default();
        counts.given_back(Seq::new(3), 4);
        counts.given_back(Seq::new(4), 1);
        counts.settled(Seq::new(4), 2);
        let left: Vec<_> = counts
            .by_seq()
            .iter()
            .map(|(seq, count)| (seq.get(), *count))
            .collect();
        assert_eq!(left, [(3, 1), (6, 1)]);
        assert_eq!(
            counts.of(Seq::new(99)),
            1,
            "it was delivered before, so it was taken once"
        );
    }

    #[test]
    fn the_oldest_are_forgotten_at_the_bound() {
        let counts = AcquiredCounts::default();
        let many = u64::try_from(ACQUIRED_MAX).unwrap();
        counts.given_back(Seq::new(0), 1);
        counts.given_back(Seq::new(10), many);
        assert_eq!(counts.by_seq().len(), ACQUIRED_MAX);
        assert!(!counts.by_seq().contains_key(&Seq::new(0)));
        counts.given_back(Seq::new(0), 3 * many);
        assert_eq!(counts.by_seq().len(), ACQUIRED_MAX);
    }
}
