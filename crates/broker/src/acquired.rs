//! How often messages of a quorum queue were taken and given back, and how often that was a failure: what the headers
//! `x-acquired-count` and `x-delivery-count` say, and what the delivery limit counts.
//!
//! Invariants:
//! - Only messages that were given back and not settled since are counted, and at most `ACQUIRED_MAX` of a queue: beyond that the
//!   oldest are forgotten.
//! - A count is a lower bound: it lives in memory, so a restart begins anew, and whatever is delivered again was taken once at least.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use logpond_store::Seq;

use crate::limits::ACQUIRED_MAX;

/// How a message came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Return {
    /// Somebody gave it back.
    Released,
    /// Somebody failed with it: it was rejected, or its channel ended.
    Failed,
}

/// What is known of a message that was taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempts {
    /// How often it was taken.
    pub acquired: u32,
    /// How many of these were failures.
    pub failed: u32,
    /// It failed too often, and goes.
    is_over: bool,
}

/// Whatever is delivered again was taken once at least.
const UNKNOWN: Attempts = Attempts {
    acquired: 1,
    failed: 0,
    is_over: false,
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct AcquiredCounts {
    by_seq: Mutex<BTreeMap<Seq, Attempts>>,
}

impl AcquiredCounts {
    fn by_seq(&self) -> MutexGuard<'_, BTreeMap<Seq, Attempts>> {
        self.by_seq.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Consecutive messages were given back. Returns those of them that failed more often than `limit`.
    pub(crate) fn given_back(&self, first: Seq, count: u64, how: Return, limit: Option<u32>) -> Vec<Seq> {
        let mut over = Vec::new();
        let mut by_seq = self.by_seq();
        let counted = count.min(u64::try_from(ACQUIRED_MAX).unwrap_or(u64::MAX));
        for seq in (count - counted..count).map(|at| first.plus(at)) {
            let none = Attempts {
                acquired: 0,
                ..UNKNOWN
            };
            let attempts = by_seq.entry(seq).or_insert(none);
            attempts.acquired = attempts.acquired.saturating_add(1);
            if how == Return::Failed {
                attempts.failed = attempts.failed.saturating_add(1);
            }
            attempts.is_over = limit.is_some_and(|limit| attempts.failed > limit);
            if attempts.is_over {
                over.push(seq);
            }
        }
        while by_seq.len() > ACQUIRED_MAX {
            by_seq.pop_first();
        }
        over
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

    /// What is known of a message that is delivered again.
    pub(crate) fn of(&self, seq: Seq) -> Attempts {
        self.by_seq().get(&seq).copied().unwrap_or(UNKNOWN)
    }

    /// Whether the message failed too often.
    pub(crate) fn is_over(&self, seq: Seq) -> bool {
        self.of(seq).is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(counts: &AcquiredCounts, first: u64, count: u64) {
        assert_eq!(
            counts.given_back(Seq::new(first), count, Return::Released, Some(1)),
            []
        );
    }

    #[test]
    fn what_is_settled_is_forgotten_and_nothing_beside_it() {
        let counts = AcquiredCounts::default();
        release(&counts, 3, 4);
        release(&counts, 4, 1);
        counts.settled(Seq::new(4), 2);
        let left: Vec<_> = counts
            .by_seq()
            .iter()
            .map(|(seq, attempts)| (seq.get(), attempts.acquired))
            .collect();
        assert_eq!(left, [(3, 1), (6, 1)]);
        assert_eq!(
            counts.of(Seq::new(99)).acquired,
            1,
            "it was delivered before, so it was taken once"
        );
    }

    #[test]
    fn who_fails_more_often_than_the_limit_is_over() {
        let counts = AcquiredCounts::default();
        let fail = |limit| counts.given_back(Seq::new(3), 2, Return::Failed, limit);
        assert_eq!(fail(Some(1)), []);
        release(&counts, 4, 1);
        assert_eq!(fail(Some(1)), [Seq::new(3), Seq::new(4)]);
        assert!(counts.is_over(Seq::new(4)) && !counts.is_over(Seq::new(5)));
        assert_eq!(
            (counts.of(Seq::new(4)).acquired, counts.of(Seq::new(4)).failed),
            (3, 2)
        );
        assert_eq!(fail(None), []);
        assert!(!counts.is_over(Seq::new(4)));
    }

    #[test]
    fn the_oldest_are_forgotten_at_the_bound() {
        let counts = AcquiredCounts::default();
        let many = u64::try_from(ACQUIRED_MAX).unwrap();
        release(&counts, 0, 1);
        release(&counts, 10, many);
        assert_eq!(counts.by_seq().len(), ACQUIRED_MAX);
        assert!(!counts.by_seq().contains_key(&Seq::new(0)));
        release(&counts, 0, 3 * many);
        assert_eq!(counts.by_seq().len(), ACQUIRED_MAX);
    }
}
