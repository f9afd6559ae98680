//! What unit tests do to an engine without threads on a simulated disk.

use super::{Counters, Engine};
use crate::disk::sim::SimDisk;
use crate::follower::Follower;
use crate::ids::QueueId;
use crate::priority::Priority;
use crate::queue::QueueDurability;
use crate::shard::{LeaseOutcome, NewMessage, Sources};
use crate::{BlockNumber, Persistence};

/// A new queue, durably there.
pub(crate) fn durable_queue(engine: &Engine<SimDisk>) -> QueueId {
    let queue = engine.next_queue_id();
    let durable = QueueDurability::Durable;
    let made = engine.lock().shard().create_queue(queue, durable, b"");
    engine.wait_durable(made.unwrap()).unwrap();
    queue
}

/// A persistent message for these queues.
pub(crate) const fn message_for<'a>(queues: &'a [QueueId], body: &'a [&'a [u8]]) -> NewMessage<'a> {
    NewMessage {
        queues,
        properties: &[],
        body,
        persistence: Persistence::Persistent,
        priority: Priority::NONE,
        timestamp_ms: 1,
        expires_ms: None,
    }
}

/// Publishes messages under one hold of the lock. Returns the block of the last.
pub(crate) fn publish_all<'a>(
    engine: &Engine<SimDisk>,
    messages: impl IntoIterator<Item = NewMessage<'a>>,
) -> BlockNumber {
    let mut guard = engine.lock();
    let mut block = guard.shard().building();
    for message in messages {
        block = guard.shard().publish(&message).unwrap();
    }
    block
}

/// The seqs of up to `count` messages, leased.
pub(crate) fn lease(engine: &Engine<SimDisk>, queue: QueueId, count: u32) -> Vec<u64> {
    let (mut leases, mut sources) = (Vec::new(), Sources::default());
    loop {
        let leased = engine
            .lock()
            .shard()
            .lease(queue, count, u64::MAX, &mut leases, &mut sources);
        match leased.unwrap() {
            LeaseOutcome::Pending(block) => drop(engine.wait_durable(block).unwrap()),
            LeaseOutcome::Some(_) | LeaseOutcome::Empty => break,
        }
    }
    leases.iter().map(|lease| lease.seq.get()).collect()
}

/// Lets the engine do all that it wants to do, also what waits for a while. One that makes work out of work never comes to
/// rest.
pub(crate) fn come_to_rest(engine: &Engine<SimDisk>, disk: &SimDisk) -> Counters {
    let mut steps = 0;
    for _ in 0..20 {
        while engine.step() {
            steps += 1;
            assert!(steps < 5_000, "no rest: {:?}", engine.counters());
        }
        disk.advance(150);
    }
    engine.counters()
}

/// Whether the journal thread, asleep until somebody wakes it, would be woken by what is done.
pub(crate) fn wakes_journal<F: Follower<SimDisk>>(engine: &Engine<SimDisk, F>, done: impl FnOnce()) -> bool {
    engine.inner.lock().journal_sleeps_until = Some(u64::MAX);
    done();
    engine.inner.lock().journal_sleeps_until.take().is_none()
}
