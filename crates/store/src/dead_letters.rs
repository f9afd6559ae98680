//! The entries of one queue that came to their end and are held for whoever owns the queue.
//!
//! Invariants:
//! - An entry is in at most one set, is not dead, and counts as leased.
//! - Nothing of this is written to disk: after a crash the entries are back, and come to the same end again.
//! - No heap object per entry.

use crate::format::record::AckReason;
use roaring::RoaringTreemap;

/// By reason; those that have none of their own are never held.
#[derive(Default)]
pub(crate) struct Held {
    rejected: RoaringTreemap,
    expired: RoaringTreemap,
    dropped: RoaringTreemap,
}

/// The reasons for which entries are held.
const REASONS: [AckReason; 3] = [AckReason::Rejected, AckReason::Expired, AckReason::Dropped];

impl Held {
    fn set(&mut self, reason: AckReason) -> Option<&mut RoaringTreemap> {
        match reason {
            AckReason::Rejected => Some(&mut self.rejected),
            AckReason::Expired => Some(&mut self.expired),
            AckReason::Dropped => Some(&mut self.dropped),
            AckReason::Acked | AckReason::Purged => None,
        }
    }

    /// Whether entries of that reason are held at all.
    pub(crate) fn insert(&mut self, reason: AckReason, first: u64, count: u64) -> bool {
        let set = self.set(reason);
        set.is_some_and(|set| {
            set.insert_range(first..first.saturating_add(count));
            true
        })
    }

    /// The next entry below `end`, with its reason: the oldest, for what leaves by the head leaves in order, whatever the reason.
    pub(crate) fn first(&self, end: u64) -> Option<(AckReason, u64)> {
        let sets = [&self.rejected, &self.expired, &self.dropped];
        REASONS
            .into_iter()
            .zip(sets)
            .filter_map(|(reason, set)| Some((reason, set.min().filter(|seq| *seq < end)?)))
            .min_by_key(|(_, seq)| *seq)
    }

    pub(crate) fn remove(&mut self, reason: AckReason, seq: u64) {
        if let Some(set) = self.set(reason) {
            set.remove(seq);
        }
    }

    /// These entries are dead. How many of them were held.
    pub(crate) fn remove_range(&mut self, first: u64, end: u64) -> HeldCount {
        let expired = self.expired.remove_range(first..end);
        let others = [&mut self.rejected, &mut self.dropped];
        let others = others.into_iter().map(|set| set.remove_range(first..end));
        HeldCount {
            all: expired + others.sum::<u64>(),
            expired,
        }
    }

    /// Takes what is held out of `entries`.
    pub(crate) fn remove_from(&self, entries: &mut RoaringTreemap) {
        for set in [&self.rejected, &self.expired, &self.dropped] {
            *entries -= set;
        }
    }

    /// Takes what is held out of `entries`, but for what a consumer had.
    pub(crate) fn remove_unseen_from(&self, entries: &mut RoaringTreemap) {
        for set in [&self.expired, &self.dropped] {
            *entries -= set;
        }
    }

    pub(crate) fn count(&self) -> HeldCount {
        HeldCount {
            all: self.rejected.len() + self.expired.len() + self.dropped.len(),
            expired: self.expired.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rejected.is_empty() && self.expired.is_empty() && self.dropped.is_empty()
    }
}

/// How many entries are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeldCount {
    pub all: u64,
    /// … of them, those that expired.
    pub expired: u64,
}

impl HeldCount {
    /// So many that came to the same end.
    pub(crate) fn of(reason: AckReason, count: u64) -> Self {
        let is_expired = reason == AckReason::Expired;
        Self {
            all: count,
            expired: if is_expired { count } else { 0 },
        }
    }

    pub(crate) const fn add(&mut self, more: Self) {
        self.all += more.all;
        self.expired += more.expired;
    }

    pub(crate) const fn subtract(&mut self, fewer: Self) {
        self.all = self.all.saturating_sub(fewer.all);
        self.expired = self.expired.saturating_sub(fewer.expired);
    }
}
