//! The vocabulary of exhaustive workloads: what a store can be asked for, with the smallest arguments that make sense.
//!
//! Invariant: the outcome of an operation follows from the state of the store alone.

use logpond_store::{AckReason, Persistence, QueueDurability, Return};

use super::machine::Machine;
use crate::sim::message::Content;
use crate::sim::policy::{Levels, Policy};
use crate::sim::session::{Entries, Flow, Publication, Session, Step};

/// What a workload is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    CreateDurable,
    CreateTransient,
    Publish,
    PublishTransient,
    /// A message that goes first in a queue with levels, and does not live long.
    PublishBrief,
    FanOut,
    Transaction,
    Acknowledge,
    Requeue,
    Purge,
    Delete,
    /// The first queue holds one message at most from now on, and drops the others.
    Limit,
    /// The first queue has levels from now on.
    Rank,
    /// Time passes, and what is due expires.
    Expire,
    /// One write or one chore.
    Step,
    /// Steps until nothing waits.
    Commit,
    Checkpoint,
    /// Large messages until the log goes on to the next segment.
    Roll,
    /// All that is due, however long it waits: checkpoints, evacuation, recycling.
    Rest,
    CloseAndOpen,
    KillAndOpen,
}

/// Whether an operation had something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Yes(Flow),
    Inapplicable,
}

/// A few of these fill a segment.
const LARGE_BODY_BYTES: usize = 16 << 10;
/// Numbers of large messages, out of reach of the others.
const LARGE_FROM: u64 = 1 << 40;
/// How long a brief message lives.
const LIFE_MS: u64 = 50;
/// Steps within which a message that was published is delivered.
const LEASE_STEPS_MAX: usize = 8;

impl Operation {
    pub(super) const ALL: [Self; 21] = [
        Self::CreateDurable,
        Self::CreateTransient,
        Self::Publish,
        Self::PublishTransient,
        Self::PublishBrief,
        Self::FanOut,
        Self::Transaction,
        Self::Acknowledge,
        Self::Requeue,
        Self::Purge,
        Self::Delete,
        Self::Limit,
        Self::Rank,
        Self::Expire,
        Self::Step,
        Self::Commit,
        Self::Checkpoint,
        Self::Roll,
        Self::Rest,
        Self::CloseAndOpen,
        Self::KillAndOpen,
    ];

    /// Does it, if the store is such that it makes sense.
    pub(super) fn perform(self, machine: &mut Machine<'_>) -> Result<Done, String> {
        let queues = machine.queues();
        let flow = match (self, &queues[..]) {
            (Self::CloseAndOpen, _) => machine.close_and_open()?,
            (Self::KillAndOpen, _) => machine.kill_and_open()?,
            (Self::CreateDurable, _) => create(machine.session(), QueueDurability::Durable)?,
            (Self::CreateTransient, _) => create(machine.session(), QueueDurability::Transient)?,
            (Self::Step, _) => machine.session().step()?,
            (Self::Commit, _) => return commit(machine.session()),
            (Self::Checkpoint, _) => machine.session().checkpoint()?,
            (Self::Rest, _) => machine.session().come_to_rest()?,
            (_, []) => return Ok(Done::Inapplicable),
            (Self::FanOut, [_]) => return Ok(Done::Inapplicable),
            (Self::Publish, [first, ..]) => {
                publish(machine.session(), vec![*first], Persistence::Persistent)?
            }
            (Self::PublishTransient, [first, ..]) => {
                publish(machine.session(), vec![*first], Persistence::Transient)?
            }
            (Self::PublishBrief, [first, ..]) => brief(machine.session(), *first)?,
            (Self::Limit, [first, ..]) => {
                return decide(machine.session(), *first, |policy| {
                    policy.limits.messages = Some(1);
                });
            }
            (Self::Rank, [first, ..]) => {
                return decide(machine.session(), *first, |policy| {
                    policy.levels = Levels::Always(1);
                });
            }
            (Self::Expire, _) => {
                machine.session().disk.advance(LIFE_MS);
                machine.session().expire()?
            }
            (Self::FanOut, _) => publish(machine.session(), queues, Persistence::Persistent)?,
            (Self::Transaction, [first, ..]) => transaction(machine.session(), *first, &queues)?,
            (Self::Acknowledge, [first, ..]) => {
                return leased(machine.session(), *first, |session, entries| {
                    session.acknowledge(entries, AckReason::Acked)
                });
            }
            (Self::Requeue, [first, ..]) => {
                return leased(machine.session(), *first, |session, entries| {
                    session.requeue(entries, Return::Failed)
                });
            }
            (Self::Purge, [first, ..]) => machine.session().purge(*first)?,
            (Self::Delete, [first, ..]) => machine.session().delete_queue(*first)?,
            (Self::Roll, [first, ..]) => roll(machine.session(), *first)?,
        };
        Ok(Done::Yes(flow))
    }
}

fn create(session: &mut Session<'_>, durability: QueueDurability) -> Step {
    let queue = session.next_queue();
    session.create_queue(queue, durability)
}

fn publish(session: &mut Session<'_>, queues: Vec<u64>, persistence: Persistence) -> Step {
    let message = session.next_message();
    session.publish(&Publication::plain(queues, message, persistence))
}

fn brief(session: &mut Session<'_>, queue: u64) -> Step {
    let message = session.next_message();
    session.publish(&Publication {
        priority: Some(1),
        life_ms: Some(LIFE_MS),
        ..Publication::plain(vec![queue], message, Persistence::Persistent)
    })
}

/// Changes what is decided on a queue, if that is something new.
fn decide(session: &mut Session<'_>, queue: u64, change: impl FnOnce(&mut Policy)) -> Result<Done, String> {
    let before = session.world.model.policies.get(&queue).copied();
    let mut policy = before.unwrap_or_default();
    change(&mut policy);
    if before == Some(policy) {
        return Ok(Done::Inapplicable);
    }
    // What was accepted without a limit cannot be dropped before it is durable.
    if !session.write_out()? {
        return Ok(Done::Yes(Flow::Stopped));
    }
    session.decide(queue, policy).map(Done::Yes)
}

fn commit(session: &mut Session<'_>) -> Result<Done, String> {
    if session.world.model.is_settled() {
        return Ok(Done::Inapplicable);
    }
    let is_written = session.write_out()?;
    match (is_written, session.disk.is_off()) {
        (true, false) => Ok(Done::Yes(Flow::On)),
        (_, true) => Ok(Done::Yes(Flow::Stopped)),
        (false, false) => Err("the journal does not come to rest".to_owned()),
    }
}

/// A message to all queues, one to the first, and an entry acknowledged if one is leased.
fn transaction(session: &mut Session<'_>, first: u64, all: &[u64]) -> Step {
    let publications = [all.to_vec(), vec![first]]
        .map(|queues| Publication::plain(queues, session.next_message(), Persistence::Persistent));
    let acked = session.leased.first().map(|(queue, seq)| Entries {
        queue: *queue,
        first: *seq,
        count: 1,
    });
    session.transaction(&publications, acked)
}

/// Leases an entry of the queue and settles it, so that the oldest of two stays leased.
fn leased<'a>(
    session: &mut Session<'a>,
    queue: u64,
    settle: impl FnOnce(&mut Session<'a>, Entries) -> Step,
) -> Result<Done, String> {
    if session.world.model.accepted[&queue].entries.is_empty() {
        return Ok(Done::Inapplicable);
    }
    let before = session.leased.len();
    for _ in 0..LEASE_STEPS_MAX {
        if session.lease(queue, 2)? == Flow::Stopped || session.disk.is_off() {
            return Ok(Done::Yes(Flow::Stopped));
        }
        if session.leased.len() > before {
            break;
        }
    }
    let Some((_, seq)) = session.leased[before..].last().copied() else {
        return Ok(Done::Inapplicable);
    };
    let entries = Entries {
        queue,
        first: seq,
        count: 1,
    };
    settle(session, entries).map(Done::Yes)
}

fn roll(session: &mut Session<'_>, queue: u64) -> Step {
    let before = session.rolls();
    let mut large = LARGE_FROM + (session.next_message() << 16);
    while session.rolls() == before {
        large += 1;
        while Content::of(large).body.len() < LARGE_BODY_BYTES {
            large += 1;
        }
        let large = Publication::plain(vec![queue], large, Persistence::Persistent);
        if session.publish(&large)? == Flow::Stopped || !session.write_out()? {
            return Ok(Flow::Stopped);
        }
    }
    Ok(Flow::On)
}
