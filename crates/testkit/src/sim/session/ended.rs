//! What ends without a consumer: dropped by a limit, or expired. Computed from the model, compared with the store.

use std::cmp::Reverse;

use logpond_store::disk::Disk;
use logpond_store::{AckReason, BlockNumber, DeadLetters, QueueId};

use super::{Flow, Session, Step};
use crate::sim::model::{Entry, Event};
use crate::sim::policy::{HIGHEST_IN_USE, Levels, Policy, UNSAID_IN_USE};

/// An entry that nobody holds.
#[derive(Clone, Copy)]
pub(super) struct Ready {
    pub(super) seq: u64,
    pub(super) entry: Entry,
    /// Durable and applied, so that it can be leased.
    pub(super) is_visible: bool,
}

/// Blocks that may carry something: all that were built meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Carriers {
    pub(super) first: BlockNumber,
    pub(super) last: BlockNumber,
}

impl Session<'_> {
    /// Decides on a queue, which holds nothing that is not durable.
    pub(in crate::sim) fn decide(&mut self, queue: u64, policy: Policy) -> Step {
        self.world.model.policies.insert(queue, policy);
        let (id, now) = (QueueId::new(queue), self.disk.now());
        let first = self.building();
        let done = {
            let mut guard = self.store.lock();
            let shard = guard.shard();
            let ordered = match policy.levels {
                Levels::Always(highest) => shard.set_priorities(id, highest),
                Levels::InUse => shard.set_priorities_in_use(id, HIGHEST_IN_USE, UNSAID_IN_USE),
                Levels::None if policy.is_by_time => shard.set_due_order(id),
                Levels::None => Ok(()),
            };
            let fate = if policy.hands_out {
                DeadLetters::HandOut
            } else {
                DeadLetters::Settle
            };
            ordered
                .and_then(|()| shard.set_dead_letters(id, fate, now))
                .and_then(|()| shard.set_time_to_live(id, policy.life_ms))
                .and_then(|()| shard.set_limits(id, policy.limits, now))
        };
        if let Err(error) = done {
            return self.refused(&error);
        }
        let last = self.building();
        self.trim(queue, Carriers { first, last });
        Ok(Flow::On)
    }

    /// Tells a store that was opened what it was told before.
    pub(in crate::sim) fn decide_again(&mut self) -> Step {
        let model = &self.world.model;
        let known = |(queue, policy): (&u64, &Policy)| {
            let is_there = model.accepted.contains_key(queue) && *policy != Policy::default();
            is_there.then_some((*queue, *policy))
        };
        let policies: Vec<_> = model.policies.iter().filter_map(known).collect();
        for (queue, policy) in policies {
            if self.decide(queue, policy)? == Flow::Stopped {
                return Ok(Flow::Stopped);
            }
        }
        self.check_counts()?;
        Ok(Flow::On)
    }

    pub(super) fn building(&self) -> BlockNumber {
        self.store.lock().shard().building()
    }

    pub(super) fn policy(&self, queue: u64) -> Policy {
        self.world.model.policies.get(&queue).copied().unwrap_or_default()
    }

    /// What nobody holds of a queue, in the order in which it leaves: what is durable by level or time, the rest behind it.
    pub(super) fn ready(&self, queue: u64) -> Box<dyn Iterator<Item = Ready> + '_> {
        let model = &self.world.model;
        let visible_end = model.durable.get(&queue).map_or(0, |durable| durable.next_seq);
        let accepted = model.accepted.get(&queue);
        let entries = accepted.into_iter().flat_map(|queue| &queue.entries);
        let ready = entries
            .filter(move |(seq, _)| {
                let place = (queue, **seq);
                !self.leased.contains(&place) && !self.held.contains_key(&place)
            })
            .map(move |(seq, entry)| Ready {
                seq: *seq,
                entry: *entry,
                is_visible: *seq < visible_end,
            });
        let policy = self.policy(queue);
        if !policy.is_reordered() {
            return Box::new(ready);
        }
        let mut ready: Vec<_> = ready.collect();
        ready.sort_by_key(|ready| {
            let (mut level, mut expires_ms) = (0, 0);
            let goes_first = policy.levels == Levels::InUse && self.returned.contains(&(queue, ready.seq));
            if ready.is_visible && !goes_first {
                level = policy.level(ready.entry.priority);
                if policy.is_by_time {
                    expires_ms = ready.entry.expires_ms.unwrap_or(u64::MAX);
                }
            }
            (
                !ready.is_visible,
                !goes_first,
                Reverse(level),
                expires_ms,
                ready.seq,
            )
        });
        Box::new(ready.into_iter())
    }

    /// Whether a queue refuses a message of so many bytes.
    pub(super) fn refuses(&self, queue: u64, bytes: u64) -> bool {
        let policy = self.policy(queue);
        if policy.drops() || policy.limits.is_unlimited() {
            return false;
        }
        let (messages, held) = amount(self.ready(queue));
        policy.is_exceeded_by(messages + 1, held + bytes)
    }

    /// The queue drops from its head what is beyond its limits.
    pub(super) fn trim(&mut self, queue: u64, carriers: Carriers) {
        let policy = self.policy(queue);
        if !policy.drops() || policy.limits.is_unlimited() {
            return;
        }
        let (mut messages, mut bytes) = amount(self.ready(queue));
        let mut dropped = Vec::new();
        for head in self.ready(queue) {
            if !policy.is_exceeded_by(messages, bytes) {
                break;
            }
            messages -= 1;
            bytes -= head.entry.bytes;
            dropped.push(head.seq);
        }
        self.world.statistics.dropped += u64::try_from(dropped.len()).expect("a short queue");
        self.ended(queue, dropped, AckReason::Dropped, carriers);
    }

    /// These entries ended by themselves, or are held for the owner of the queue.
    pub(super) fn ended(&mut self, queue: u64, entries: Vec<u64>, reason: AckReason, carriers: Carriers) {
        if self.policy(queue).hands_out {
            return self.hold(queue, &entries, reason);
        }
        let (first, last) = (carriers.first.get(), carriers.last.get());
        let model = &mut self.world.model;
        // What is not durable yet ends in a block, whatever it is.
        let durable = model.durable.get(&queue);
        let vanishes = |seq: &u64| {
            durable.is_some_and(|queue| {
                let entry = queue.entries.get(seq);
                entry.is_some_and(|entry| !queue.durable || !entry.persistent)
            })
        };
        let (unsaid, entries): (Vec<u64>, Vec<u64>) = entries.into_iter().partition(vanishes);
        if !unsaid.is_empty() {
            model.record_unsaid(last, queue, unsaid);
        }
        if !entries.is_empty() {
            model.record(first, last, Event::Ended { queue, entries });
        }
    }

    /// Lets expire what is due, as the journal does between two writes.
    pub(super) fn expire_due(&mut self) -> Step {
        let now = self.disk.now();
        let due = self.store.lock().shard().next_expiry_ms();
        if due.is_some_and(|due| due <= now.wall_ms) {
            return self.expire();
        }
        Ok(Flow::On)
    }

    /// Lets expire what is due in all queues, and compares what is due next.
    pub(in crate::sim) fn expire(&mut self) -> Step {
        let now = self.disk.now();
        let first = self.building();
        let expired = self.store.lock().shard().expire(now, u64::MAX);
        let dropped = match expired {
            Ok(dropped) => dropped,
            Err(error) => return self.refused(&error),
        };
        let last = self.building();
        let (expected, next) = self.expire_heads(Carriers { first, last });
        if dropped != expected {
            return Err(format!("{dropped} entries expired instead of {expected}"));
        }
        let due = self.store.lock().shard().next_expiry_ms();
        if due != next {
            return Err(format!("the next expiry is due at {due:?} instead of {next:?}"));
        }
        Ok(Flow::On)
    }

    /// What is due goes from the heads of all queues: how many there are, and when the next one is due.
    pub(super) fn expire_heads(&mut self, carriers: Carriers) -> (u64, Option<u64>) {
        let now = self.disk.now();
        let queues: Vec<u64> = self.world.model.accepted.keys().copied().collect();
        let (mut count, mut next) = (0, None);
        for queue in queues {
            let mut over = Vec::new();
            for head in self.visible(queue) {
                if !head.entry.is_expired(now.wall_ms) {
                    next = next.into_iter().chain(head.entry.expires_ms).min();
                    break;
                }
                over.push(head.seq);
            }
            count += u64::try_from(over.len()).expect("a short queue");
            self.ended(queue, over, AckReason::Expired, carriers);
        }
        self.world.statistics.expired += count;
        (count, next)
    }

    /// What can be leased, in the order in which it is.
    pub(super) fn visible(&self, queue: u64) -> impl Iterator<Item = Ready> {
        self.ready(queue).take_while(|ready| ready.is_visible)
    }
}

/// How many there are, and how many bytes their bodies have.
pub(super) fn amount(ready: impl Iterator<Item = Ready>) -> (u64, u64) {
    ready.fold((0, 0), |(messages, bytes), ready| {
        (messages + 1, bytes + ready.entry.bytes)
    })
}
