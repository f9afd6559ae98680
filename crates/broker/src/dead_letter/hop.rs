//! Where a dead letter goes, or a message whose delay is over: found and published under the shard's lock.
//!
//! Invariants:
//! - A queue that refuses it goes without, as in RabbitMQ; one that passes on what it refuses makes it die again.
//! - The chain of queues that pass on ends, for each of them is one in which it died since; and there are not many chains (`walk`).
//! - A letter that no block has room for is lost, and reported; the other letters and the publish stand.

use std::sync::Arc;

use logpond_store::disk::{Disk, Now};
use logpond_store::{BlockNumber, QueueId, Shard, TransactionSize};

use super::deaths::Reason;
use super::letter::Letter;
use super::walk::Walk;
use crate::errors::{Answer, Scope};
use crate::queue::{Queue, QueueSpec};
use crate::queue_policy::Destination;
use crate::state::BrokerState;
use crate::stored::Stored;
use crate::topology::Topology;

/// A letter, and the queues that take it.
pub(crate) struct Hop {
    letter: Letter,
    queues: Vec<QueueId>,
    durable: bool,
    stay: Stay,
}

/// For how long a letter stays in the queues of a hop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// Until somebody takes it.
    ToBeTaken,
    /// Until its delay is over.
    WhileDelayed,
}

impl Hop {
    fn stored<'a>(&'a self, body: &'a [&'a [u8]]) -> Stored<'a> {
        match self.stay {
            Stay::ToBeTaken => self.letter.to_store(&self.queues, self.durable, body),
            Stay::WhileDelayed => self.letter.to_wait(&self.queues, self.durable, body),
        }
    }

    /// Counts it among what a transaction brings.
    pub(crate) fn add_to(&self, body: &[&[u8]], size: &mut TransactionSize) {
        self.stored(body).add_to(size);
    }

    /// Appends it to the block that is being built.
    pub(crate) fn publish<D: Disk>(
        &self,
        shard: &mut Shard<D>,
        body: &[&[u8]],
        now: Now,
    ) -> Answer<BlockNumber> {
        self.stored(body).publish(shard, now)
    }
}

/// Where a dying message goes.
#[derive(Default)]
pub(crate) struct Plan {
    pub hops: Vec<Hop>,
    /// Whether it has an exchange and a route, and nobody refuses it.
    pub reaches_all: bool,
}

/// What came of the letters of a message that full queues refused.
#[derive(Default)]
pub(crate) struct PassedOn {
    pub letters: usize,
    /// The block of the last.
    pub block: Option<BlockNumber>,
}

/// A letter on its way from an exchange.
pub(crate) struct Way {
    pub letter: Letter,
    /// Where it is routed, if not where it says.
    pub exchange: Option<Box<[u8]>>,
    /// Of what it died, if it did so just now.
    pub reason: Option<Reason>,
}

/// A message, where and of what it dies, and where it goes then.
pub(crate) struct Dying<'a> {
    pub letter: &'a Letter,
    pub queue: Arc<QueueSpec>,
    pub reason: Reason,
    pub to: Arc<Destination>,
}

impl Dying<'_> {
    /// What becomes of it.
    pub(crate) fn way(&self, now: Now) -> Way {
        Way {
            letter: self
                .letter
                .died(&self.queue.name, self.reason, now.wall_ms, &self.to),
            exchange: None,
            reason: Some(self.reason),
        }
    }
}

impl BrokerState {
    /// Where a letter goes. Without the exchange, nowhere.
    pub(crate) fn plan<D: Disk>(
        &mut self,
        shard: &mut Shard<D>,
        topology: &Topology,
        first: Way,
        walk: &mut Walk,
        body: &[&[u8]],
        now: Now,
    ) -> Plan {
        let mut plan = Plan {
            hops: Vec::new(),
            reaches_all: true,
        };
        let mut waiting = vec![first];
        while let Some(way) = waiting.pop() {
            let Way {
                letter,
                exchange,
                reason,
            } = way;
            let (keys, properties) = (letter.keys(), letter.properties());
            let (key, further) = keys.split_first().expect("a letter has a routing key");
            let exchange = exchange.as_deref().unwrap_or(letter.exchange());
            let found =
                self.letter_routes
                    .look_up(topology, exchange, key, further, properties, &self.queues);
            if found.is_err() {
                // Its exchange does not exist (any more).
                plan.reaches_all = false;
                continue;
            }
            let targets = self.letter_routes.passing().queues.iter();
            let targets = targets.filter_map(|id| self.queues.get(id));
            let (cycling, targets): (Vec<&Queue>, Vec<_>) =
                targets.partition(|target| drops_cycles(reason) && letter.has_died_in(&target.spec.name));
            for target in &cycling {
                tracing::debug!(queue = %target.spec, "a dead letter that went round without a rejection is dropped");
            }
            let delays = self.letter_routes.passing().delays.to_vec();
            plan.reaches_all &= !(cycling.is_empty() && targets.is_empty() && delays.is_empty());
            let ids: Vec<_> = targets.iter().map(|target| target.spec.id).collect();
            let stored = letter.to_store(&ids, true, body);
            let (properties_bytes, body_bytes) = stored.lengths();
            self.tell_awaited(shard, &ids, properties_bytes, body_bytes);
            let (refusing, taking): (Vec<&Queue>, Vec<_>) = targets
                .into_iter()
                .partition(|target| shard.refuses(target.spec.id, properties_bytes, body_bytes));
            plan.reaches_all &= refusing.is_empty();
            for target in refusing {
                let policy = target.policy.as_ref();
                if let Some(to) = policy.and_then(|policy| policy.refused_letters()) {
                    if !walk.goes_on(target.spec.id, &letter.keys_to(to)) {
                        continue;
                    }
                    let again = letter.died(&target.spec.name, Reason::Full, now.wall_ms, to);
                    waiting.push(Way {
                        letter: again,
                        exchange: None,
                        reason: Some(Reason::Full),
                    });
                }
            }
            let durable = taking.iter().any(|target| target.spec.is_kept());
            let queues: Vec<_> = taking.iter().map(|target| target.spec.id).collect();
            if !delays.is_empty() {
                plan.hops.push(Hop {
                    letter: letter.clone(),
                    durable: self.delays_durably(&delays),
                    queues: delays,
                    stay: Stay::WhileDelayed,
                });
            }
            if !queues.is_empty() {
                plan.hops.push(Hop {
                    letter,
                    queues,
                    durable,
                    stay: Stay::ToBeTaken,
                });
            }
        }
        plan
    }

    /// Those of the queues, which refused a message, that pass it on.
    pub(crate) fn passing_on(&self, refused: &[QueueId]) -> Vec<QueueId> {
        let passes = |id: &QueueId| {
            let policy = self.queues.get(id).and_then(|queue| queue.policy.as_ref());
            policy.is_some_and(|policy| policy.refused_letters().is_some())
        };
        refused.iter().copied().filter(passes).collect()
    }

    /// Publishes what full queues refused and pass on.
    ///
    /// # Errors
    /// 541 when the storage failed.
    pub(crate) fn pass_on<D: Disk>(
        &mut self,
        shard: &mut Shard<D>,
        topology: &Topology,
        letter: &Letter,
        body: &[&[u8]],
        refused: &[QueueId],
        now: Now,
    ) -> Answer<PassedOn> {
        let mut passed = PassedOn::default();
        let mut walk = Walk::default();
        let passing = |state: &Self, id| {
            let queue = state.queues.get(id)?;
            let to = queue.policy.as_ref()?.refused_letters()?;
            Some((Arc::clone(&queue.spec), Arc::clone(to)))
        };
        // Before the first goes its way, which may lead to the others.
        for id in refused {
            if let Some((_, to)) = passing(self, id) {
                walk.begin(*id, &letter.keys_to(&to));
            }
        }
        for id in refused {
            let Some((queue, to)) = passing(self, id) else {
                continue;
            };
            let dying = Dying {
                letter,
                queue,
                reason: Reason::Full,
                to,
            };
            for hop in self
                .plan(shard, topology, dying.way(now), &mut walk, body, now)
                .hops
            {
                match hop.publish(shard, body, now) {
                    Ok(block) => {
                        passed.block = Some(block);
                        passed.letters += 1;
                    }
                    Err(error) if error.scope == Scope::Connection => return Err(error),
                    // It is larger than a block.
                    Err(error) => tracing::error!(queue = %dying.queue, %error, "a dead letter is lost"),
                }
            }
        }
        self.report_dropped(&walk);
        Ok(passed)
    }
}

/// Whether a letter that comes to a queue in which it died is dropped: one that a client rejected may go round, and so may one that
/// did not die.
fn drops_cycles(reason: Option<Reason>) -> bool {
    reason.is_some_and(|reason| reason != Reason::Rejected)
}
