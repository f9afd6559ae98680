//! The checker: what was published, confirmed and delivered, and what of it cannot be.
//!
//! Invariants: pure (no clock, no socket, no order of its own); what can be judged at once is judged at
//! once, the rest in [`Ledger::finish`]; a few bits per message and queue.

mod violation;

#[cfg(test)]
mod tests;

pub use violation::{Violation, ViolationKind};

use super::bits::Bits;
use super::tally::Tally;
use super::workload::{BodyFault, LEVEL_COUNT, MessageId, PUBLISHER_COUNT, QUEUE_COUNT, Workload};

/// Everything known about a run.
#[derive(Clone, Debug)]
pub struct Ledger {
    workload: Workload,
    publishers: Vec<Publisher>,
    queues: Vec<Queue>,
    tally: Tally,
}

#[derive(Clone, Debug, Default)]
struct Publisher {
    published: u64,
    confirmed: Bits,
}

#[derive(Clone, Debug, Default)]
struct Queue {
    /// By publisher.
    seen: Vec<Seen>,
    delivered: u64,
    redelivered: u64,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    numbers: Bits,
    /// The highest number that was delivered, by lane.
    last: [Option<u64>; LEVEL_COUNT],
}

impl Ledger {
    /// Nothing has happened yet.
    pub fn new(workload: Workload) -> Self {
        let queue = Queue {
            seen: vec![Seen::default(); usize::from(PUBLISHER_COUNT)],
            ..Queue::default()
        };
        Self {
            workload,
            publishers: vec![Publisher::default(); usize::from(PUBLISHER_COUNT)],
            queues: vec![queue; QUEUE_COUNT],
            tally: Tally::default(),
        }
    }

    /// The next message of a publisher, which counts as published from now on: before it is sent.
    pub fn publish(&mut self, publisher: u16) -> MessageId {
        let entry = &mut self.publishers[usize::from(publisher)];
        entry.published += 1;
        MessageId {
            publisher,
            number: entry.published - 1,
        }
    }

    /// The client saw the confirm of a message.
    pub fn confirm(&mut self, id: MessageId) {
        let entry = &mut self.publishers[usize::from(id.publisher)];
        assert!(
            id.number < entry.published,
            "a client confirms only what it published"
        );
        entry.confirmed.insert(id.number);
    }

    /// A message came out of a queue.
    pub fn deliver(&mut self, queue: usize, id: MessageId, redelivered: bool, body: &[u8]) {
        let entry = &mut self.queues[queue];
        entry.delivered += 1;
        entry.redelivered += u64::from(redelivered);
        let published = self
            .publishers
            .get(usize::from(id.publisher))
            .map_or(0, |p| p.published);
        if id.number >= published {
            return self.tally.add(Violation::NeverPublished { queue, id });
        }
        if !self.workload.queues_of(id).contains(&queue) {
            return self.tally.add(Violation::WrongQueue { queue, id });
        }
        if let Err(fault) = self.workload.check(id, body) {
            self.tally.add(Violation::Damaged { queue, id, fault });
        }
        let seen = &mut entry.seen[usize::from(id.publisher)];
        if !seen.numbers.insert(id.number) {
            if !redelivered {
                self.tally.add(Violation::Unflagged { queue, id });
            }
            return;
        }
        let Some(lane) = self.workload.lane(queue, id) else {
            return;
        };
        let last = &mut seen.last[usize::from(lane)];
        match *last {
            Some(after) if after > id.number => self.tally.add(Violation::Reordered { queue, id, after }),
            _ => *last = Some(id.number),
        }
    }

    /// Something came out of a queue that carries no name of ours.
    pub fn deliver_nameless(&mut self, queue: usize, fault: BodyFault) {
        self.queues[queue].delivered += 1;
        self.tally.add(Violation::Nameless { queue, fault });
    }

    /// After everything was acknowledged and the broker was restarted, a queue holds messages.
    pub fn acks_undone(&mut self, queue: usize, count: u64) {
        self.tally.add(Violation::AckUndone { queue, count });
    }

    /// A durable queue is not there after a restart.
    pub fn queue_missing(&mut self, queue: usize) {
        self.tally.add(Violation::QueueMissing { queue });
    }

    /// Everything was drained: what is confirmed and was never seen is lost.
    pub fn finish(mut self) -> Self {
        for publisher in 0..PUBLISHER_COUNT {
            let entry = &self.publishers[usize::from(publisher)];
            for number in 0..entry.published {
                let id = MessageId { publisher, number };
                let queues = self.workload.queues_of(id);
                let is_seen = |queue: usize| {
                    self.queues[queue].seen[usize::from(publisher)]
                        .numbers
                        .contains(number)
                };
                let missing = queues.clone().filter(|&queue| !is_seen(queue));
                if entry.confirmed.contains(number) {
                    missing.for_each(|queue| self.tally.add(Violation::Lost { queue, id }));
                } else if queues.clone().any(is_seen) {
                    // It is one record: what was written for one queue was written for all of them.
                    missing.for_each(|queue| self.tally.add(Violation::Partial { queue, id }));
                }
            }
        }
        self
    }

    /// What was found wrong.
    pub fn violations(&self) -> &Tally {
        &self.tally
    }

    /// Messages published.
    pub fn published(&self) -> u64 {
        self.publishers.iter().map(|p| p.published).sum()
    }

    /// Messages confirmed.
    pub fn confirmed(&self) -> u64 {
        self.publishers.iter().map(|p| p.confirmed.len()).sum()
    }

    /// Deliveries, all of them.
    pub fn delivered(&self) -> u64 {
        self.queues.iter().map(|q| q.delivered).sum()
    }

    /// Deliveries with `redelivered=true`.
    pub fn redelivered(&self) -> u64 {
        self.queues.iter().map(|q| q.redelivered).sum()
    }

    /// Messages that came out of a queue for the first time.
    pub fn first_deliveries(&self) -> u64 {
        self.queues
            .iter()
            .flat_map(|q| &q.seen)
            .map(|seen| seen.numbers.len())
            .sum()
    }
}
