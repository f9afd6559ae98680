//! What the intact records of the log say of each queue: which entries there are, and which are dead.
//!
//! Invariants:
//! - The order of records does not matter: an entry is dead when any record says so, a queue is gone when any does.
//! - About a bit for each entry and dead entry, never an object.

use crate::format::message::Origin;
use crate::format::record::{self, QueueAction, RangesKind, Record};
use crate::ids::{QueueId, Seq};
use crate::report::LostEntries;
use crate::shard::ranges_of;
use roaring::RoaringTreemap;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Ledger {
    queues: BTreeMap<QueueId, Known>,
}

#[derive(Default)]
struct Known {
    seen: RoaringTreemap,
    dead: RoaringTreemap,
    naming: Naming,
    fate: Fate,
}

/// Whether anything but messages speaks of a queue. Without damage, one that is unnamed was transient and has vanished.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Naming {
    #[default]
    Unnamed,
    Named,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Lives,
    /// Deleted, or transient and of an earlier process.
    Gone,
}

impl Known {
    fn counts(&self) -> bool {
        self.fate == Fate::Lives && self.naming == Naming::Named
    }
}

impl Ledger {
    /// Takes down what an intact record says. A copy counts for queues that the journal knows; it is read after the journal.
    pub(super) fn note(&mut self, bytes: &[u8]) {
        match record::decode(bytes) {
            Some(Record::Message(message)) if message.origin == Origin::Evacuated => {
                for reference in message.references() {
                    if let Some(known) = self.queues.get_mut(&reference.queue) {
                        known.seen.insert(reference.seq.get());
                    }
                }
            }
            Some(Record::Message(message)) => {
                for reference in message.references() {
                    self.queue(reference.queue).seen.insert(reference.seq.get());
                }
            }
            Some(Record::Ranges { kind, ranges }) => {
                if let RangesKind::Ack(_) | RangesKind::Skip = kind {
                    for range in ranges.iter() {
                        let first = range.first.get();
                        self.bury(range.queue, first, first.saturating_add(range.count));
                    }
                }
            }
            Some(Record::Queue(queue)) => {
                if queue.action == QueueAction::Delete || queue.transient {
                    self.forget(queue.id);
                } else {
                    self.name(queue.id);
                    self.bury(queue.id, 0, queue.floor.get());
                    let acked = crate::checkpoint::set_of(queue.acked).unwrap_or_default();
                    self.queue(queue.id).dead |= acked;
                }
            }
            Some(Record::Mark { .. }) | None => {}
        }
    }

    /// The entries from `first` to before `end` are dead.
    pub(super) fn bury(&mut self, queue: QueueId, first: u64, end: u64) {
        self.queue(queue).dead.insert_range(first..end);
    }

    /// The entries in `set` are dead.
    pub(super) fn bury_all(&mut self, queue: QueueId, set: &RoaringTreemap) {
        self.queue(queue).dead |= set;
    }

    /// The queue is there and durable.
    pub(super) fn name(&mut self, queue: QueueId) {
        self.queue(queue).naming = Naming::Named;
    }

    /// The queue and its entries are of no interest any more.
    pub(super) fn forget(&mut self, queue: QueueId) {
        self.queue(queue).fate = Fate::Gone;
    }

    /// Whether nobody misses this entry.
    pub(super) fn is_dead(&self, queue: QueueId, seq: u64) -> bool {
        self.queues
            .get(&queue)
            .is_some_and(|known| known.fate == Fate::Gone || known.dead.contains(seq))
    }

    /// Whether the log holds this entry in an intact record.
    pub(super) fn has_seen(&self, queue: QueueId, seq: u64) -> bool {
        self.queues
            .get(&queue)
            .is_some_and(|known| known.seen.contains(seq))
    }

    /// All durable queues that are there.
    pub(super) fn queues(&self) -> impl Iterator<Item = QueueId> {
        let there = self.queues.iter().filter(|(_, known)| known.counts());
        there.map(|(id, _)| *id)
    }

    /// The entries from `first` to before `end` that are neither in an intact record nor dead. Without an `end`: up to the
    /// last entry that was seen.
    pub(super) fn missing(&self, queue: QueueId, first: u64, end: Option<u64>) -> Vec<LostEntries> {
        let Some(known) = self.queues.get(&queue).filter(|known| known.counts()) else {
            return Vec::new();
        };
        let end = end.unwrap_or_else(|| known.seen.max().map_or(0, |last| last.saturating_add(1)));
        let mut missing = RoaringTreemap::new();
        missing.insert_range(first.min(end)..end);
        missing -= &known.seen;
        missing -= &known.dead;
        runs(queue, &missing)
    }

    fn queue(&mut self, id: QueueId) -> &mut Known {
        self.queues.entry(id).or_default()
    }
}

/// The entries of a set, those that follow each other together.
pub(super) fn runs(queue: QueueId, set: &RoaringTreemap) -> Vec<LostEntries> {
    ranges_of(set)
        .map(|(first, end)| LostEntries {
            queue,
            first: Seq::new(first),
            count: end - first,
        })
        .collect()
}
