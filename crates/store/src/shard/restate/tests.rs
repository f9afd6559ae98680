//! Large states in small segments.

use crate::attempts::{Attempts, Return};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::engine::stepped::{come_to_rest, durable_queue, lease, message_for, publish_all};
use crate::limits::ATTEMPT_RUNS_MAX;
use crate::{AckReason, AppendError, Engine, Options, QueueDurability, QueueId, Seq, TransactionSize};
use roaring::RoaringTreemap;

/// Entries of a queue of which every other one is dead: that takes 8 KiB for 65,536 of them.
const ENTRIES: u64 = 1 << 21;

fn open(disk: &SimDisk, checkpoint_ms: u64) -> Engine<SimDisk> {
    let options = Options {
        checkpoint_ms,
        ..Options::tiny()
    };
    Engine::open(disk.clone(), options, ()).unwrap().0
}

fn every_other() -> RoaringTreemap {
    RoaringTreemap::from_sorted_iter((0..ENTRIES / 2).map(|at| 2 * at + 1)).unwrap()
}

/// As if so many messages had been published and every other one had been acknowledged.
fn age(engine: &Engine<SimDisk>, id: QueueId) {
    let mut guard = engine.lock();
    let queue = guard.shard().state.queues.get_mut(id).unwrap();
    (queue.next_seq, queue.visible_end, queue.cursor) = (ENTRIES, ENTRIES, ENTRIES);
    queue.acked = every_other();
}

#[test]
fn a_state_that_no_block_can_hold_is_said_in_several() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, u64::MAX);
    let id = engine.next_queue_id();
    let meta = vec![b'm'; 15_360];
    let durable = QueueDurability::Durable;
    let made = engine.lock().shard().create_queue(id, durable, &meta);
    engine.wait_durable(made.unwrap()).unwrap();
    age(&engine, id);
    let seen = RoaringTreemap::from_sorted_iter((0..ENTRIES / 6).map(|at| 6 * at)).unwrap();
    let failed = Attempts {
        returned: 1,
        failed: 1,
    };
    let many = u64::try_from(ATTEMPT_RUNS_MAX).unwrap();
    let mut guard = engine.lock();
    let queue = guard.shard().state.queues.get_mut(id).unwrap();
    queue.redelivered = seen.clone();
    for at in 0..many {
        queue.attempts.give_back(6 * at, 6 * at + 1, Return::Failed);
    }
    let stated = guard.shard().write_state_again(id).unwrap();
    drop(guard);
    engine.wait_durable(stated).unwrap();
    assert!(engine.counters().rolls > 3);

    let disk = disk.after_kill();
    drop(engine);
    let engine = open(&disk, u64::MAX);
    let mut guard = engine.lock();
    let queue = guard.shard().state.queues.get_mut(id).unwrap();
    assert_eq!((&*queue.meta, queue.next_seq), (&*meta, ENTRIES));
    assert!(queue.acked == every_other() && queue.redelivered == seen);
    for at in 0..many {
        assert_eq!(queue.attempts(6 * at), failed);
    }
}

#[test]
fn segments_that_owe_much_wait_until_others_are_dead_too() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, 10);
    let queue = durable_queue(&engine);
    age(&engine, queue);
    let (queues, mut first, mut most) = ([queue], ENTRIES, 0);
    for _ in 0..60 {
        let message = message_for(&queues, &[&[7; 6000]]);
        let block = publish_all(&engine, std::iter::repeat_n(message, 8));
        engine.wait_durable(block).unwrap();
        assert_eq!(lease(&engine, queue, 8).len(), 8);
        let (reason, now) = (AckReason::Acked, disk.now());
        let acked = engine
            .lock()
            .shard()
            .acknowledge(queue, Seq::new(first), 8, reason, now);
        engine.wait_durable(acked.unwrap()).unwrap();
        first += 8;
        most = most.max(come_to_rest(&engine, &disk).segments);
    }
    let recycled = engine.counters().segments_recycled;
    assert!(
        most < 40 && recycled > 20,
        "up to {most} segments, {recycled} recycled"
    );
    let disk = disk.after_kill();
    drop(engine);
    let engine = open(&disk, 10);
    let mut guard = engine.lock();
    let found = guard.shard().state.queues.get_mut(queue).unwrap();
    let mut dead = every_other();
    dead.insert_range(ENTRIES..first);
    assert!(found.acked == dead);
}

#[test]
fn a_description_leaves_room_for_the_state_of_its_queue() {
    let engine = open(&SimDisk::new(1), u64::MAX);
    let made = engine
        .lock()
        .shard()
        .create_queue(QueueId::new(1), QueueDurability::Durable, &[0; 15_361]);
    assert!(matches!(
        made,
        Err(AppendError::TooLarge {
            bytes: 15_361,
            limit: 15_360
        })
    ));
}

#[test]
fn a_transaction_takes_no_queue_that_its_block_has_no_room_for() {
    let engine = open(&SimDisk::new(1), u64::MAX);
    let done = engine
        .lock()
        .shard()
        .transaction(&TransactionSize::default(), |shard| {
            let mut made = Vec::new();
            for id in 1..10 {
                made.push(shard.create_queue(QueueId::new(id), QueueDurability::Durable, &[0; 15_000]));
            }
            made
        });
    let (made, block) = done.unwrap();
    let refused = made.iter().filter(|made| made.is_err()).count();
    assert_eq!(refused, 5);
    engine.wait_durable(block).unwrap();
}
