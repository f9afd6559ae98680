//! Units that are spilled beside the housekeeper.

use super::*;
use crate::disk::sim::SimDisk;
use crate::engine::stepped::{come_to_rest, durable_queue, message_for, publish_all};
use crate::options::Options;
use crate::shard::{CheckpointWish, Job, LeaseOutcome, NewMessage, Sources};
use crate::{Lease, Persistence, QueueId};
use std::time::{Duration, Instant};

/// Far more than anything here takes: a test that waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);
const BODY_BYTES: usize = 1000;
const MESSAGES: u32 = 60;

/// An engine that has taken [`MESSAGES`] transient messages, each with a body of its number.
fn filled(disk: &SimDisk) -> (Engine<SimDisk>, QueueId) {
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let queue = durable_queue(&engine);
    publish(&engine, queue, 0..MESSAGES);
    (engine, queue)
}

fn publish(engine: &Engine<SimDisk>, queue: QueueId, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let (queues, body) = ([queue], number.to_le_bytes().repeat(BODY_BYTES / 4));
        let body: &[&[u8]] = &[&body];
        let message = NewMessage {
            persistence: Persistence::Transient,
            ..message_for(&queues, body)
        };
        let block = publish_all(engine, [message]);
        engine.wait_durable(block).unwrap();
    }
}

/// The numbers of all messages of the queue, in its order.
fn numbers(engine: &Engine<SimDisk>, queue: QueueId) -> Vec<u32> {
    let (mut leases, mut sources): (Vec<Lease>, _) = (Vec::new(), Sources::default());
    loop {
        let mut guard = engine.lock();
        let leased = guard
            .shard()
            .lease(queue, u32::MAX, u64::MAX, &mut leases, &mut sources);
        drop(guard);
        match leased.unwrap() {
            LeaseOutcome::Pending(block) => drop(engine.wait_durable(block).unwrap()),
            LeaseOutcome::Some(_) => {}
            LeaseOutcome::Empty => break,
        }
    }
    let mut reader = engine.reader();
    let number_of = |lease: &Lease| {
        let message = reader.message(queue, lease, &sources).unwrap();
        let (number, rest) = message.body.split_first_chunk().unwrap();
        assert!(rest.chunks(4).all(|again| again == number));
        u32::from_le_bytes(*number)
    };
    leases.iter().map(number_of).collect()
}

#[test]
fn two_units_are_on_their_way_at_once_and_each_is_read_from_its_slot() {
    let disk = SimDisk::new(1);
    let (engine, queue) = filled(&disk);
    let (inner, now) = (&engine.inner, disk.now());
    let first = loop {
        let job = inner.lock().shard.next_job(now, CheckpointWish::WhenDue);
        match job.expect("more lies in memory than may") {
            job @ Job::Spill(_) => break job,
            other => drop(inner.carry_out(other, now)),
        }
    };
    let second = inner
        .lock()
        .shard
        .next_spill(now)
        .expect("and more than one unit");
    let second = second.perform(&inner.disk, &inner.units, inner.salt);
    inner.lock().shard.finish_spill(second);
    assert!(inner.lock().shard.chores.busy, "the housekeeper is not done");
    inner.carry_out(first, now);
    assert_eq!(engine.counters().transient_spills, 2);
    assert!(numbers(&engine, queue).into_iter().eq(0..MESSAGES));
}

#[test]
fn a_unit_that_died_before_it_was_written_takes_no_slot() {
    let disk = SimDisk::new(1);
    let (engine, queue) = filled(&disk);
    let (inner, now) = (&engine.inner, disk.now());
    let spill = || {
        inner
            .lock()
            .shard
            .next_spill(now)
            .expect("more lies in memory than may")
    };
    let written = spill().perform(&inner.disk, &inner.units, inner.salt);
    inner.lock().shard.finish_spill(written);
    let job = spill();
    let (_, purged) = engine.lock().shard().purge(queue, now).unwrap();
    engine.wait_durable(purged).unwrap();
    let before = engine.counters().transient_spills;
    let spilled = job.perform(&inner.disk, &inner.units, inner.salt);
    inner.lock().shard.finish_spill(spilled);
    let counters = come_to_rest(&engine, &disk);
    assert_eq!(
        (counters.transient_spills, counters.transient_spilled_bytes),
        (before, 0)
    );
}

#[test]
fn a_disk_that_refuses_is_left_alone_for_a_while_by_both() {
    let disk = SimDisk::new(1);
    let (engine, queue) = filled(&disk);
    let inner = &engine.inner;
    disk.set_capacity(Some(0));
    let next = || inner.lock().shard.next_spill(disk.now());
    let refused = next().expect("more lies in memory than may");
    let refused = refused.perform(&inner.disk, &inner.units, inner.salt);
    assert!(refused.is_refused());
    inner.lock().shard.finish_spill(refused);
    assert!(next().is_none());
    disk.advance(1_000);
    let job = next().map(Job::Spill).expect("it is tried again");
    assert_eq!(inner.carry_out(job, disk.now()), Did::Failed);
    disk.set_capacity(None);
    disk.advance(1_000);
    come_to_rest(&engine, &disk);
    assert!(engine.counters().transient_spills > 0);
    assert!(numbers(&engine, queue).into_iter().eq(0..MESSAGES));
}

#[test]
fn the_spill_thread_is_woken_only_when_the_housekeeper_does_not_keep_up() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk, Options::tiny(), ()).unwrap();
    let queue = durable_queue(&engine);
    engine.inner.lock().spiller_sleeps = true;
    let granted = Options::tiny().transient_bytes;
    for number in 0.. {
        publish(&engine, queue, number..number + 1);
        let locked = engine.inner.lock();
        if !locked.spiller_sleeps {
            break;
        }
        assert!(
            locked.shard.state.units.bytes().memory < 2 * granted,
            "nobody woke it"
        );
    }
    let bytes = engine.inner.lock().shard.state.units.bytes();
    assert!(bytes.memory > granted + granted / 4, "{bytes:?}");
}

/// Waits until the store is as it should be.
fn wait_until(engine: &Engine<SimDisk>, is_so: impl Fn(&Locked<SimDisk, ()>) -> bool) {
    let begun = Instant::now();
    while !is_so(&engine.inner.lock()) {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

#[test]
fn the_spill_thread_spills_while_the_housekeeper_does_something_else() {
    let disk = SimDisk::new(1);
    let (engine, queue) = filled(&disk);
    engine.inner.lock().shard.chores.busy = true;
    engine.start().unwrap();
    wait_until(&engine, |locked| locked.spiller_sleeps);
    let before = engine.counters().transient_spills;
    publish(&engine, queue, MESSAGES..2 * MESSAGES);
    wait_until(&engine, |locked| {
        locked.shard.chores.spills > before && locked.spiller_sleeps
    });
    assert!(!engine.inner.lock().shard.spill_is_late());
    engine.inner.lock().shard.chores.busy = false;
    assert!(numbers(&engine, queue).into_iter().eq(0..2 * MESSAGES));
    engine.close().unwrap();
}

#[test]
fn with_threads_all_that_was_spilled_is_read_in_its_order() {
    let disk = SimDisk::new(1);
    let (engine, queue) = filled(&disk);
    engine.start().unwrap();
    publish(&engine, queue, MESSAGES..20 * MESSAGES);
    assert!(numbers(&engine, queue).into_iter().eq(0..20 * MESSAGES));
    assert!(engine.counters().transient_spills > 0);
    engine.close().unwrap();
}
