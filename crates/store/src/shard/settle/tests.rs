//! What comes back on the simulated disk, written step by step.

use super::*;
use crate::Attempts;
use crate::disk::sim::{Rng, SimDisk};
use crate::engine::Engine;
use crate::engine::stepped::{self, message_for, publish_all};
use crate::format::record::Persistence;
use crate::options::Options;
use crate::shard::{Lease, NewMessage, Sources};

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
