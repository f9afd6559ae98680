//! What comes back on the simulated disk, written step by step.

use super::*;
use crate::Attempts;
use crate::disk::sim::{Rng, SimDisk};
use crate::engine::Engine;
use crate::engine::stepped::{self, message_for, publish_all};
use crate::format::message::Persistence;
use crate::options::Options;
use crate::shard::{Lease, NewMessage, Sources, TransactionSize};

fn publish(engine: &Engine<SimDisk>, queue: QueueId, persistence: Persistence) {
    let message = NewMessage {
        persistence,
        ..message_for(std::slice::from_ref(&queue), &[b"body"])
    };
    let block = publish_all(engine, [message]);
    engine.wait_durable(block).unwrap();
}

fn lease(engine: &Engine<SimDisk>, queue: QueueId) -> Vec<Attempts> {
    let (mut leases, mut sources) = (Vec::new(), Sources::default());
    let mut guard = engine.lock();
    let shard = guard.shard();
    let _outcome = shard.lease(queue, 9, u64::MAX, &mut leases, &mut sources);
    leases.iter().map(|lease: &Lease| lease.attempts).collect()
}

fn after_crash(disk: &SimDisk, engine: Engine<SimDisk>) -> (SimDisk, Engine<SimDisk>) {
    disk.turn_off();
    drop(engine);
    let disk = disk.after_crash(&mut Rng::new(1));
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    (disk, engine)
}

#[test]
fn counts_of_what_the_log_does_not_hold_never_become_those_of_another_message() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let queue = stepped::durable_queue(&engine);
    publish(&engine, queue, Persistence::Persistent);
    publish(&engine, queue, Persistence::Transient);
    stepped::lease(&engine, queue, 9);
    let now = disk.now();
    let back = engine
        .lock()
        .shard()
        .requeue(queue, Seq::new(0), 2, Return::Failed, now);
    back.unwrap();
    disk.advance(10);
    while engine.step() {}
    let once = Attempts {
        returned: 1,
        failed: 1,
    };
    assert_eq!(lease(&engine, queue), [once, once]);
    let (disk, engine) = after_crash(&disk, engine);
    // In the place of the transient one.
    publish(&engine, queue, Persistence::Persistent);
    let (_disk, engine) = after_crash(&disk, engine);
    assert_eq!(lease(&engine, queue), [once, Attempts::default()]);
}

#[test]
fn a_transaction_that_brings_more_than_it_said_is_told_so() {
    let disk = SimDisk::new(1);
    let options = Options {
        delivery_mark_step: 20_000,
        ..Options::tiny()
    };
    let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
    let queue = stepped::durable_queue(&engine);
    let message = message_for(std::slice::from_ref(&queue), &[b"m"]);
    for _ in 0..16 {
        let block = publish_all(&engine, std::iter::repeat_n(message, 1000));
        engine.wait_durable(block).unwrap();
    }
    let mut leased = 0;
    while leased < 16_000 {
        leased += stepped::lease(&engine, queue, 16_000).len();
    }
    let now = disk.now();
    // Every other one, so that no two of them are a range.
    let each = |seqs: std::ops::Range<u64>| seqs.step_by(2).map(Seq::new);
    for seq in each(0..8_000) {
        let back = engine.lock().shard().requeue(queue, seq, 1, Return::Failed, now);
        back.unwrap();
    }
    let mut guard = engine.lock();
    let shard = guard.shard();
    let (purged, _) = shard
        .transaction(&TransactionSize::default(), |shard| shard.purge(queue, now))
        .unwrap();
    assert!(matches!(purged, Err(AppendError::TooLarge { .. })), "{purged:?}");
    assert_eq!(shard.counts(queue).unwrap().ready, 4_000, "nothing was changed");
    let (taken, block) = shard
        .transaction(&TransactionSize::default(), |shard| {
            let acked = AckReason::Acked;
            let acks = each(1..8_001).map(|seq| shard.acknowledge(queue, seq, 1, acked, now));
            acks.filter(Result::is_ok).count()
        })
        .unwrap();
    assert!(taken > 2_000 && taken < 4_000, "{taken}");
    shard
        .transaction(&TransactionSize::default(), |shard| {
            for seq in each(8_000..16_000) {
                shard.requeue(queue, seq, 1, Return::Failed, now).unwrap();
            }
        })
        .unwrap();
    drop(guard);
    engine.wait_durable(block).unwrap();
    let (purged, block) = engine.lock().shard().purge(queue, now).unwrap();
    engine.wait_durable(block).unwrap();
    assert_eq!(purged, 8_000);
}
