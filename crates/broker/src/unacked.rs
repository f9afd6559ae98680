//! The messages of one channel that were delivered and not yet acknowledged, as runs of consecutive tags.
//!
//! Invariants:
//! - Runs are disjoint, none is empty, and tags ascend; the open run `tail` lies behind all others.
//! - Within a run tag, queue position and consumer advance together, so a busy consumer costs one run and
//!   not an entry per message.
//! - A tag that was taken out is unknown from then on. What has lapsed has only its tag left: it is taken out alone, never with others.

use std::collections::BTreeMap;

use logpond_store::disk::Now;
use logpond_store::{QueueId, Seq};

use crate::consumer::ConsumerKey;
use crate::deadline::Deadline;

/// Consecutive messages of one queue, delivered one after the other to one consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Delivery tag of the first.
    pub first_tag: u64,
    /// Position of the first in its queue.
    pub first_seq: Seq,
    /// How many.
    pub count: u64,
    /// Their queue.
    pub queue: QueueId,
    /// Who holds them; `None` for `basic.get`.
    pub consumer: Option<ConsumerKey>,
    /// Until when they have to be acknowledged.
    pub deadline: Deadline,
}

impl Run {
    fn last_tag(&self) -> u64 {
        self.first_tag + self.count - 1
    }

    fn continues(&self, next: &Self) -> bool {
        self.first_tag + self.count == next.first_tag
            && self.first_seq.plus(self.count) == next.first_seq
            && self.queue == next.queue
            && self.consumer == next.consumer
            && self.deadline == next.deadline
    }

    /// Whether they went back to their queue, since nobody acknowledged them in time.
    pub(crate) fn has_lapsed(&self) -> bool {
        self.deadline == Deadline::LAPSED
    }

    /// Takes `next` in, if it continues this run; in the order of the queue alone, so that it works for settled
    /// messages of any channel.
    pub(crate) fn append(&mut self, next: &Self) -> bool {
        let continues = self.first_seq.plus(self.count) == next.first_seq
            && self.queue == next.queue
            && self.consumer == next.consumer;
        if continues {
            self.count += next.count;
        }
        continues
    }

    /// Takes `next` in, if it continues this run in every regard.
    pub(crate) fn extend(&mut self, next: &Self) -> bool {
        let continues = self.continues(next);
        if continues {
            self.count += next.count;
        }
        continues
    }

    /// Hands itself out and is lapsed from then on, if it is due. Whether it was.
    pub(crate) fn lapse(&mut self, now: Now, taken: &mut impl FnMut(Self)) -> bool {
        let is_due = self.deadline.is_due(now);
        if is_due {
            taken(*self);
            self.deadline = Deadline::LAPSED;
        }
        is_due
    }

    /// Cuts the first `count` off.
    fn split_front(&mut self, count: u64) -> Self {
        assert!(count <= self.count, "a run cannot give more than it has");
        let front = Self { count, ..*self };
        self.first_tag += count;
        self.first_seq = self.first_seq.plus(count);
        self.count -= count;
        front
    }
}

/// The outstanding deliveries of a channel.
#[derive(Debug, Default)]
pub(crate) struct Unacked {
    /// By last tag, so that taking from a run's front leaves its key alone.
    runs: BTreeMap<u64, Run>,
    tail: Option<Run>,
    /// How many messages have lapsed.
    lapsed: u64,
}

impl Unacked {
    /// Remembers a delivery. Tags ascend from call to call.
    pub(crate) fn push(&mut self, next: Run) {
        assert!(next.count > 0, "a run is never empty");
        if let Some(tail) = &mut self.tail {
            assert!(next.first_tag > tail.last_tag(), "delivery tags ascend");
            if tail.extend(&next) {
                return;
            }
            self.runs.insert(tail.last_tag(), *tail);
        }
        self.tail = Some(next);
    }

    /// Puts runs back that were taken out (a transaction was rolled back).
    pub(crate) fn restore(&mut self, run: Run) {
        self.runs.insert(run.last_tag(), run);
        // The tail must stay behind all others; what is restored may lie behind or inside its former place.
        if let Some(tail) = self.tail.take() {
            self.runs.insert(tail.last_tag(), tail);
        }
        if let Some((_, last)) = self.runs.pop_last() {
            self.tail = Some(last);
        }
    }

    /// Takes one tag out; `None` if it is unknown.
    pub(crate) fn take(&mut self, tag: u64) -> Option<Run> {
        if let Some(tail) = &mut self.tail
            && tag >= tail.first_tag
        {
            if tag > tail.last_tag() {
                return None;
            }
            let before = tail.split_front(tag - tail.first_tag);
            let taken = tail.split_front(1);
            if tail.count == 0 {
                self.tail = None;
            }
            if before.count > 0 {
                self.runs.insert(before.last_tag(), before);
                self.reopen_tail();
            }
            return Some(taken);
        }
        let (&key, run) = self.runs.range_mut(tag..).next()?;
        if tag < run.first_tag {
            return None;
        }
        let before = run.split_front(tag - run.first_tag);
        let taken = run.split_front(1);
        if run.count == 0 {
            self.runs.remove(&key);
        }
        if before.count > 0 {
            self.runs.insert(before.last_tag(), before);
        }
        Some(taken)
    }

    /// Takes all tags up to and including `tag` out, in order; false if `tag` itself is unknown (nothing is
    /// taken then). Those that have lapsed are forgotten.
    pub(crate) fn take_up_to(&mut self, tag: u64, mut taken: impl FnMut(Run)) -> bool {
        if !self.contains(tag) {
            return false;
        }
        let mut taken = |run: Run| {
            if !run.has_lapsed() {
                taken(run);
            }
        };
        while let Some(mut entry) = self.runs.first_entry() {
            if *entry.key() <= tag {
                taken(entry.remove());
                continue;
            }
            let run = entry.get_mut();
            if run.first_tag <= tag {
                taken(run.split_front(tag - run.first_tag + 1));
            }
            return true;
        }
        if let Some(tail) = &mut self.tail
            && tail.first_tag <= tag
        {
            taken(tail.split_front(tag - tail.first_tag + 1));
            if tail.count == 0 {
                self.tail = None;
            }
        }
        true
    }

    /// Takes everything out, in order. What has lapsed is forgotten.
    pub(crate) fn take_all(&mut self, taken: impl FnMut(Run)) {
        let runs = std::mem::take(&mut self.runs).into_values();
        runs.chain(self.tail.take())
            .filter(|run| !run.has_lapsed())
            .for_each(taken);
    }

    /// Hands out what is due and keeps its tags, as lapsed. Returns how many messages ever lapsed here.
    pub(crate) fn lapse(&mut self, now: Now, mut taken: impl FnMut(Run)) -> u64 {
        for run in self.runs.values_mut().chain(&mut self.tail) {
            if run.lapse(now, &mut taken) {
                self.lapsed += run.count;
            }
        }
        self.lapsed
    }

    /// So many lapsed while they were taken out, and may be put back.
    pub(crate) const fn count_lapsed(&mut self, count: u64) {
        self.lapsed += count;
    }

    /// The first deadline that is still to come.
    pub(crate) fn first_deadline_ms(&self) -> Option<u64> {
        let runs = self.runs.values().chain(&self.tail);
        runs.filter_map(|run| run.deadline.at_ms()).min()
    }

    /// Whether nothing is outstanding.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.tail.is_none()
    }

    fn contains(&self, tag: u64) -> bool {
        if let Some(tail) = &self.tail
            && tag >= tail.first_tag
        {
            return tag <= tail.last_tag();
        }
        self.runs
            .range(tag..)
            .next()
            .is_some_and(|(_, run)| run.first_tag <= tag)
    }

    /// Only a run that nothing follows may grow, so without a tail the last run becomes it.
    fn reopen_tail(&mut self) {
        if self.tail.is_none()
            && let Some((_, last)) = self.runs.pop_last()
        {
            self.tail = Some(last);
        }
    }
}

#[cfg(test)]
mod tests;
