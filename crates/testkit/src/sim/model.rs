//! What a store must hold, in maps: the specification against which recovery is compared.
//!
//! Invariants:
//! - `accepted` is `durable` with all of `pending` applied in order.
//! - Pending events are in the order of their blocks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use logpond_store::{Attempts, Return};

use super::policy::Policies;
use super::trace;

/// One entry of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) message: u64,
    pub(super) persistent: bool,
    /// Whether somebody may have seen it: from then on it must be marked as redelivered.
    pub(super) delivered: bool,
    /// How often it came back, as far as blocks say it.
    pub(super) attempts: Attempts,
    /// How often it came back. A crash may forget what no durable block says, and need not.
    pub(super) attempts_most: Attempts,
    pub(super) priority: Option<u8>,
    pub(super) expires_ms: Option<u64>,
    /// Of its body.
    pub(super) bytes: u64,
}

impl Entry {
    pub(super) fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|at| at <= now_ms)
    }
}

/// One queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct QueueModel {
    pub(super) durable: bool,
    pub(super) next_seq: u64,
    /// Behind the newest persistent entry that there ever was.
    pub(super) persistent_end: u64,
    /// No entry from here on was ever near to being delivered.
    pub(super) delivered_end: u64,
    pub(super) entries: BTreeMap<u64, Entry>,
}

/// Something that happened, and becomes durable with a block.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Create {
        queue: u64,
        durable: bool,
    },
    Delete {
        queue: u64,
    },
    Publish {
        entries: Vec<(u64, Entry)>,
    },
    /// Acknowledged or purged.
    Gone {
        queue: u64,
        entries: Vec<u64>,
    },
    /// Dropped or expired.
    Ended {
        queue: u64,
        entries: Vec<u64>,
    },
    /// Given back.
    Returned {
        queue: u64,
        entries: Vec<u64>,
        how: Return,
    },
}

/// One more.
fn count(attempts: &mut Attempts, how: Return) {
    attempts.returned += u16::from(how != Return::Unseen);
    attempts.failed += u16::from(how == Return::Failed);
}

pub(super) type Contents = BTreeMap<u64, QueueModel>;

impl Event {
    pub(super) fn apply(&self, contents: &mut Contents) {
        match self {
            Self::Create { queue, durable } => {
                contents.insert(
                    *queue,
                    QueueModel {
                        durable: *durable,
                        ..QueueModel::default()
                    },
                );
            }
            Self::Delete { queue } => {
                contents.remove(queue);
            }
            Self::Publish { entries } => {
                for (queue, entry) in entries {
                    if let Some(queue) = contents.get_mut(queue) {
                        queue.entries.insert(queue.next_seq, *entry);
                        queue.next_seq += 1;
                        if entry.persistent {
                            queue.persistent_end = queue.next_seq;
                        }
                    }
                }
            }
            Self::Returned { queue, entries, how } => {
                if let Some(queue) = contents.get_mut(queue) {
                    for seq in entries {
                        if let Some(entry) = queue.entries.get_mut(seq) {
                            count(&mut entry.attempts, *how);
                        }
                    }
                }
            }
            Self::Gone { queue, entries } | Self::Ended { queue, entries } => {
                if let Some(queue) = contents.get_mut(queue) {
                    for seq in entries {
                        queue.entries.remove(seq);
                        queue.delivered_end = queue.delivered_end.max(seq + 1);
                    }
                }
            }
        }
    }
}

/// An event and the blocks that may carry it; more than one only where many entries go at once.
#[derive(Clone, Debug)]
struct Pending {
    first: u64,
    last: u64,
    event: Event,
}

/// The end of entries that no crash would leave: at once if the log does not hold them, and otherwise with a block.
#[derive(Clone, Copy, Debug)]
struct Unsaid {
    queue: u64,
    count: usize,
    last: u64,
}

/// The store as it must be.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) durable: Contents,
    pub(super) accepted: Contents,
    pending: VecDeque<Pending>,
    unsaid: Vec<Unsaid>,
    pub(super) durable_block: u64,
    /// Behind what left by the head of each queue in this life, even before the queue was durable.
    left: BTreeMap<u64, u64>,
    /// Each message at each place where it was ever published: (queue, seq, message).
    history: BTreeSet<(u64, u64, u64)>,
    /// What the owners of queues decided. Not durable: they say it again.
    pub(super) policies: Policies,
}

/// One of the states that a crash may leave, without transient queues and messages.
#[derive(Clone, Debug, Hash)]
pub(super) struct Candidate {
    /// The last block that counts.
    pub(super) block: u64,
    pub(super) contents: Contents,
    /// Entries of which nobody knows whether they are gone: (queue, seq).
    pub(super) uncertain: Vec<(u64, u64)>,
}

impl Model {
    pub(super) fn record(&mut self, first: u64, last: u64, event: Event) {
        trace::note(|| format!("  block {first}: {event:?}"));
        if let Event::Publish { entries } = &event {
            let places = entries
                .iter()
                .filter_map(|(id, entry)| Some((*id, self.accepted.get(id)?.next_seq, entry.message)));
            self.history.extend(places);
        }
        event.apply(&mut self.accepted);
        if last <= self.durable_block {
            // What ends the life of nothing that a crash would leave needs no block.
            event.apply(&mut self.durable);
            return;
        }
        self.pending.push_back(Pending { first, last, event });
    }

    /// The same of the end of entries that are durable, but that no crash would leave: whether the log holds them is the store's
    /// affair.
    pub(super) fn record_unsaid(&mut self, last: u64, queue: u64, entries: Vec<u64>) {
        let count = entries.len();
        let event = Event::Ended { queue, entries };
        trace::note(|| format!("  at once, or with block {last}: {event:?}"));
        event.apply(&mut self.accepted);
        event.apply(&mut self.durable);
        if last > self.durable_block {
            self.unsaid.push(Unsaid { queue, count, last });
        }
    }

    /// How many entries of a queue have ended, and may be counted until a block is durable.
    pub(super) fn unsaid(&self, queue: u64) -> usize {
        let of_queue = self.unsaid.iter().filter(|unsaid| unsaid.queue == queue);
        of_queue.map(|unsaid| unsaid.count).sum()
    }

    /// Everything up to `block` is durable.
    pub(super) fn confirm(&mut self, block: u64) {
        if block > self.durable_block {
            trace::note(|| format!("  durable: {block}"));
        }
        self.durable_block = self.durable_block.max(block);
        self.unsaid.retain(|unsaid| unsaid.last > block);
        while self.pending.front().is_some_and(|pending| pending.last <= block) {
            if let Some(pending) = self.pending.pop_front() {
                pending.event.apply(&mut self.durable);
            }
        }
    }

    /// Whether the end of several entries of the queue rides in several blocks, of which some may be durable.
    pub(super) fn ends_in_parts(&self, id: u64) -> bool {
        let of_queue = |event: &Event| matches!(event, Event::Gone { queue, .. } | Event::Ended { queue, .. } if *queue == id);
        self.pending
            .iter()
            .any(|pending| pending.first < pending.last && of_queue(&pending.event))
    }

    /// Whether the message was ever published at this place.
    pub(super) fn was_published(&self, queue: u64, seq: u64, message: u64) -> bool {
        self.history.contains(&(queue, seq, message))
    }

    /// Operations that are not durable. What they made end is not counted for itself.
    pub(super) fn pending_count(&self) -> usize {
        let is_consequence =
            |pending: &&Pending| matches!(pending.event, Event::Ended { .. } | Event::Returned { .. });
        self.pending.len() - self.pending.iter().filter(is_consequence).count()
    }

    /// Whether all that was done is durable.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// The entry was handed to somebody.
    pub(super) fn deliver(&mut self, queue: u64, seq: u64) {
        for contents in [&mut self.durable, &mut self.accepted] {
            if let Some(queue) = contents.get_mut(&queue) {
                queue.delivered_end = queue.delivered_end.max(seq + 1);
                if let Some(entry) = queue.entries.get_mut(&seq) {
                    entry.delivered = true;
                }
            }
        }
    }

    /// Entries left by the head of their queue, and nobody has seen them.
    pub(super) fn pass(&mut self, queue: u64, entries: &[u64]) {
        let end = entries.iter().map(|seq| seq + 1).max().unwrap_or(0);
        let left = self.left.entry(queue).or_default();
        *left = end.max(*left);
        for contents in [&mut self.durable, &mut self.accepted] {
            if let Some(queue) = contents.get_mut(&queue) {
                queue.delivered_end = queue.delivered_end.max(end);
            }
        }
    }

    /// Entries were given back, in these blocks if the log says it.
    pub(super) fn give_back(&mut self, blocks: (u64, u64), queue: u64, entries: &[u64], how: Return) {
        for contents in [&mut self.durable, &mut self.accepted] {
            let Some(queue) = contents.get_mut(&queue) else {
                continue;
            };
            for seq in entries {
                if let Some(entry) = queue.entries.get_mut(seq) {
                    count(&mut entry.attempts_most, how);
                }
            }
        }
        // What no crash would leave is nobody's affair after one.
        let durable = self.accepted.get(&queue).filter(|queue| queue.durable);
        let is_said = durable.is_some_and(|queue| {
            let mut found = entries.iter().filter_map(|seq| queue.entries.get(seq));
            found.any(|entry| entry.persistent)
        });
        if is_said && how != Return::Unseen {
            let entries = entries.to_vec();
            self.record(blocks.0, blocks.1, Event::Returned { queue, entries, how });
        }
    }

    /// What a crash may leave: what is confirmed, or that and the one block that may have been on its way.
    pub(super) fn candidates(&self) -> [Candidate; 2] {
        [self.after(self.durable_block), self.after(self.durable_block + 1)]
    }

    /// What an orderly stop must leave.
    pub(super) fn complete(&self) -> Candidate {
        self.after(u64::MAX)
    }

    fn after(&self, block: u64) -> Candidate {
        let mut contents = self.durable.clone();
        let mut uncertain = Vec::new();
        for pending in &self.pending {
            if pending.last <= block {
                pending.event.apply(&mut contents);
            } else if pending.first <= block
                && let Event::Gone { queue, entries } | Event::Ended { queue, entries } = &pending.event
            {
                uncertain.extend(entries.iter().map(|seq| (*queue, *seq)));
            }
        }
        contents.retain(|_, queue| queue.durable);
        for (id, queue) in &mut contents {
            let left = self.left.get(id).copied().unwrap_or(0);
            queue.delivered_end = queue.delivered_end.max(left);
        }
        contents
            .values_mut()
            .for_each(|queue| queue.entries.retain(|_, entry| entry.persistent));
        Candidate {
            block,
            contents,
            uncertain,
        }
    }

    /// Goes on from what a recovery found.
    pub(super) fn restart(&mut self, contents: Contents, durable_block: u64) {
        self.accepted.clone_from(&contents);
        self.durable = contents;
        self.pending.clear();
        self.unsaid.clear();
        self.left.clear();
        self.durable_block = durable_block;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_by_the_head_of_a_queue_counts_even_if_its_queue_was_not_durable_yet() {
        let mut model = Model::default();
        let create = Event::Create {
            queue: 6,
            durable: true,
        };
        model.record(1, 1, create);
        model.pass(6, &[0, 1, 2, 3]);
        model.confirm(1);
        for candidate in model.candidates() {
            assert_eq!(candidate.contents[&6].delivered_end, 4);
        }
    }

    #[test]
    fn what_is_gone_with_a_block_that_is_not_durable_was_not_near_to_being_delivered_for_that() {
        let mut model = Model::default();
        let create = Event::Create {
            queue: 6,
            durable: true,
        };
        model.record(1, 1, create);
        model.confirm(1);
        let gone = Event::Gone {
            queue: 6,
            entries: vec![0, 1, 2],
        };
        model.record(2, 2, gone);
        let ends = model
            .candidates()
            .map(|candidate| candidate.contents[&6].delivered_end);
        assert_eq!(ends, [0, 3]);
    }
}
