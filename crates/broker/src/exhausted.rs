//! Messages of a quorum queue that failed too often, until their dead letters were moved: the store knows them as rejected.
//!
//! Invariants:
//! - Runs are disjoint, and none is empty: what failed too often is rejected, and given to nobody again.
//! - At most `EXHAUSTED_MAX` runs of a queue. Beyond that the oldest are forgotten, and their letters say that they were rejected.

use std::collections::BTreeMap;
use std::ops::Range;

use logpond_store::Seq;

use crate::limits::EXHAUSTED_MAX;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Exhausted {
    /// The end of each run, by its first.
    runs: BTreeMap<Seq, Seq>,
}

impl Exhausted {
    pub(crate) fn insert(&mut self, seqs: Range<Seq>) {
        if seqs.is_empty() {
            return;
        }
        self.runs.insert(seqs.start, seqs.end);
        while self.runs.len() > EXHAUSTED_MAX {
            self.runs.pop_first();
        }
    }

    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.run_of(seq).is_some()
    }

    /// The message is gone.
    pub(crate) fn remove(&mut self, seq: Seq) {
        if let Some(run) = self.run_of(seq) {
            self.runs.remove(&run.start);
            self.insert(run.start..seq);
            self.insert(seq.next()..run.end);
        }
    }

    fn run_of(&self, seq: Seq) -> Option<Range<Seq>> {
        let (&start, &end) = self.runs.range(..=seq).next_back()?;
        (seq < end).then_some(start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, end: u64) -> Range<Seq> {
        Seq::new(start)..Seq::new(end)
    }

    #[test]
    fn what_is_gone_leaves_the_rest_of_its_run() {
        let mut exhausted = Exhausted::default();
        exhausted.insert(run(2, 7));
        for gone in [4, 2, 6, 9] {
            exhausted.remove(Seq::new(gone));
        }
        let left: Vec<_> = (0..9).filter(|seq| exhausted.contains(Seq::new(*seq))).collect();
        assert_eq!(left, [3, 5]);
        exhausted.remove(Seq::new(3));
        exhausted.remove(Seq::new(5));
        assert!(exhausted.runs.is_empty());
    }

    #[test]
    fn the_oldest_are_forgotten_at_the_bound() {
        let mut exhausted = Exhausted::default();
        let many = u64::try_from(EXHAUSTED_MAX).unwrap();
        (0..=many).for_each(|at| exhausted.insert(run(2 * at, 2 * at + 1)));
        assert!(!exhausted.contains(Seq::new(0)));
        assert!(exhausted.contains(Seq::new(2)) && exhausted.contains(Seq::new(2 * many)));
    }
}
