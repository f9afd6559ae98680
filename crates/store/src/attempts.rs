//! How often the messages of a queue were given back, and how often of these somebody had failed with them.
//!
//! Invariants:
//! - Runs are disjoint, not empty, and say something; neighbours that touch and say the same are one.
//! - A count never falls while its message lives, so that what the log says of it can be taken in twice, and in any order.
//! - At most [`ATTEMPT_RUNS_MAX`] runs: beyond that those of the newest messages are forgotten. A count is therefore a lower bound.
//!
//! Elsewhere: the records that say it (REQUEUE, and QUEUE for what is said again; docs/format.md).

use crate::format::record::Range;
use crate::limits::ATTEMPT_RUNS_MAX;
use byteorder::{ByteOrder, LittleEndian as LE};
use roaring::RoaringTreemap;
use serde::Serialize;
use std::collections::BTreeMap;

/// How a leased message comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Return {
    /// Nobody has seen it: it does not count.
    Unseen,
    /// Somebody gave it back.
    Released,
    /// Somebody failed with it.
    Failed,
}

/// How often a message came back. Counts stay at their largest value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize)]
pub struct Attempts {
    /// How often it was given back, failures included.
    pub returned: u16,
    /// How often somebody failed with it.
    pub failed: u16,
}

impl Attempts {
    fn and(self, how: Return) -> Self {
        let Self { returned, failed } = self;
        match how {
            Return::Unseen => self,
            Return::Released => Self {
                returned: returned.saturating_add(1),
                failed,
            },
            Return::Failed => Self {
                returned: returned.saturating_add(1),
                failed: failed.saturating_add(1),
            },
        }
    }

    fn max(self, other: Self) -> Self {
        Self {
            returned: self.returned.max(other.returned),
            failed: self.failed.max(other.failed),
        }
    }

    fn is_none(self) -> bool {
        self == Self::default()
    }

    /// As a range of a REQUEUE has it in place of its length: the length in four bytes, then both counts.
    pub(crate) fn pack(self, range: Range) -> Range {
        let count = range.count.min(RANGE_MAX);
        let (returned, failed) = (u64::from(self.returned), u64::from(self.failed));
        Range {
            count: count | returned << 32 | failed << 48,
            ..range
        }
    }

    /// What [`Attempts::pack`] made.
    pub(crate) fn unpack(range: Range) -> (Range, Self) {
        let mut bytes = [0; 8];
        LE::write_u64(&mut bytes, range.count);
        let attempts = Self {
            returned: LE::read_u16(&bytes[4..]),
            failed: LE::read_u16(&bytes[6..]),
        };
        let count = u64::from(LE::read_u32(&bytes));
        (Range { count, ..range }, attempts)
    }
}

/// Messages one behind the other that came back equally often.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    end: u64,
    attempts: Attempts,
}

/// See the module.
#[derive(Default, Debug)]
pub(crate) struct AttemptCounts {
    /// By their first seq.
    runs: BTreeMap<u64, Run>,
}

/// Longest range that a REQUEUE speaks of.
pub(crate) const RANGE_MAX: u64 = 0xffff_ffff;

/// Bytes of a run in a QUEUE record and in a checkpoint: first seq (8), how many (4), both counts (2 each).
pub(crate) const ATTEMPT_RUN_BYTES: usize = 16;

impl AttemptCounts {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub(crate) fn of(&self, seq: u64) -> Attempts {
        let before = self.runs.range(..=seq).next_back();
        before
            .filter(|(_, run)| seq < run.end)
            .map_or_else(Attempts::default, |(_, run)| run.attempts)
    }

    /// Messages come back.
    pub(crate) fn give_back(&mut self, first: u64, end: u64, how: Return) {
        if how != Return::Unseen {
            self.change(first, end, |attempts| attempts.and(how));
        }
    }

    /// The log says that messages came back so often.
    pub(crate) fn raise(&mut self, first: u64, end: u64, said: Attempts) {
        if !said.is_none() {
            self.change(first, end, |attempts| attempts.max(said));
        }
    }

    /// What is known of a range, run by run. What is not known of is left out.
    pub(crate) fn within(&self, first: u64, end: u64) -> impl Iterator<Item = (u64, u64, Attempts)> {
        let before = self.runs.range(..first).next_back();
        let runs = before.into_iter().chain(self.runs.range(first..end.max(first)));
        runs.map(move |(&start, run)| (start.max(first), run.end.min(end), run.attempts))
            .filter(|(start, end, _)| start < end)
    }

    /// Messages are dead.
    pub(crate) fn forget(&mut self, first: u64, end: u64) {
        if first >= end || self.runs.is_empty() {
            return;
        }
        self.split(first);
        self.split(end);
        while let Some((&start, _)) = self.runs.range(first..end).next() {
            self.runs.remove(&start);
        }
        self.keep_to_limit();
    }

    /// A start has found which messages there are.
    pub(crate) fn forget_all_but(&mut self, floor: u64, end: u64, dead: &RoaringTreemap) {
        self.forget(0, floor);
        self.forget(end, u64::MAX);
        if !self.runs.is_empty() {
            for (first, end) in crate::shard::ranges_of(dead) {
                self.forget(first, end);
            }
        }
    }

    /// What is to be said again, without what is dead for the next start; no more of it than is kept.
    pub(crate) fn to_bytes(&self, dead: &RoaringTreemap) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (&first, run) in &self.runs {
            let mut living = RoaringTreemap::new();
            living.insert_range(first..run.end);
            living -= dead;
            for (first, end) in crate::shard::ranges_of(&living) {
                put_run(&mut bytes, first, end, run.attempts);
                if bytes.len() >= ATTEMPT_RUNS_MAX * ATTEMPT_RUN_BYTES {
                    return bytes;
                }
            }
        }
        bytes
    }

    /// About as many bytes as [`AttemptCounts::to_bytes`] writes.
    pub(crate) fn bytes_max(&self) -> usize {
        self.runs.len() * ATTEMPT_RUN_BYTES
    }

    fn change(&mut self, first: u64, end: u64, change: impl Fn(Attempts) -> Attempts) {
        if first >= end {
            return;
        }
        self.split(first);
        self.split(end);
        let inside: Vec<(u64, Run)> = self.runs.range(first..end).map(|(&at, &run)| (at, run)).collect();
        let mut at = first;
        let new = change(Attempts::default());
        for (start, run) in inside {
            if at < start {
                self.insert(at, start, new);
            }
            self.insert(start, run.end, change(run.attempts));
            at = run.end;
        }
        if at < end {
            self.insert(at, end, new);
        }
        self.join(first, end);
        self.keep_to_limit();
    }

    fn keep_to_limit(&mut self) {
        while self.runs.len() > ATTEMPT_RUNS_MAX {
            // What is at the head comes again first: without its count it would never come to its limit.
            self.runs.pop_last();
        }
    }

    fn insert(&mut self, first: u64, end: u64, attempts: Attempts) {
        self.runs.insert(first, Run { end, attempts });
    }

    /// Sees that no run goes over `at`.
    fn split(&mut self, at: u64) {
        if let Some((_, run)) = self.runs.range_mut(..at).next_back()
            && run.end > at
        {
            let rest = *run;
            run.end = at;
            self.runs.insert(at, rest);
        }
    }

    /// Makes neighbours one that say the same, from the one before `first` to the one at `end`.
    fn join(&mut self, first: u64, end: u64) {
        let before = self.runs.range(..first).next_back();
        let mut at = before.map_or(first, |(&at, _)| at);
        while let Some(&run) = self.runs.get(&at)
            && at < end
        {
            match self.runs.get(&run.end).copied() {
                Some(next) if next.attempts == run.attempts => {
                    self.runs.remove(&run.end);
                    self.insert(at, next.end, run.attempts);
                }
                _ => match self.runs.range(run.end..).next() {
                    Some((&next, _)) => at = next,
                    None => return,
                },
            }
        }
    }
}

/// What [`AttemptCounts::to_bytes`] wrote: first, end, how often they came back.
pub(crate) fn runs_in(bytes: &[u8]) -> impl Iterator<Item = (u64, u64, Attempts)> {
    bytes.chunks_exact(ATTEMPT_RUN_BYTES).map(|run| {
        let first = LE::read_u64(run);
        let end = first.saturating_add(u64::from(LE::read_u32(&run[8..])));
        let said = Attempts {
            returned: LE::read_u16(&run[12..]),
            failed: LE::read_u16(&run[14..]),
        };
        (first, end, said)
    })
}

fn put_run(bytes: &mut Vec<u8>, mut first: u64, end: u64, attempts: Attempts) {
    while first < end {
        let count = u32::try_from(end - first).unwrap_or(u32::MAX);
        let mut run = [0; ATTEMPT_RUN_BYTES];
        LE::write_u64(&mut run, first);
        LE::write_u32(&mut run[8..], count);
        LE::write_u16(&mut run[12..], attempts.returned);
        LE::write_u16(&mut run[14..], attempts.failed);
        bytes.extend_from_slice(&run);
        first += u64::from(count);
    }
}

#[cfg(test)]
mod tests;
