//! An engine with threads on the simulated disk.

use super::*;
use crate::disk::sim::SimDisk;
use crate::options::Options;
use crate::queue::QueueDurability;
use crate::shard::NewMessage;
use crate::{Persistence, QueueId};
use std::sync::mpsc;
use std::time::Duration;

/// Far more than anything here takes: a test that waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

fn publish(engine: &Engine<SimDisk>, queue: QueueId, count: usize) -> BlockNumber {
    let message = NewMessage {
        queues: &[queue],
        properties: &[],
        body: &[&[7; 6000]],
        persistence: Persistence::Persistent,
        priority: 0,
        timestamp_ms: 1,
        expires_ms: None,
    };
    let mut block = engine.lock().shard().building();
    for _ in 0..count {
        block = engine.lock().shard().publish(&message).unwrap();
    }
    engine.commit(count);
    block
}

#[test]
fn a_stop_does_not_wait_for_room_on_a_full_disk() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let queue = engine.next_queue_id();
    let made = engine
        .lock()
        .shard()
        .create_queue(queue, QueueDurability::Durable, b"");
    engine.wait_durable(made.unwrap()).unwrap();
    let first = publish(&engine, queue, 1);
    engine.wait_durable(first).unwrap();
    disk.set_capacity(Some(0));
    engine.start().unwrap();
    publish(&engine, queue, 100);
    let (stopped, has_stopped) = mpsc::channel();
    std::thread::spawn(move || {
        let result = engine.close();
        stopped.send(result.is_err())
    });
    let is_told = has_stopped
        .recv_timeout(PATIENCE)
        .expect("a stop comes to an end");
    assert!(is_told, "what was not written is not passed over in silence");
    disk.set_capacity(None);
    let (again, _) = Engine::open(disk, Options::tiny(), ()).unwrap();
    assert!(
        again
            .lock()
            .shard()
            .counts(queue)
            .is_some_and(|held| held.ready > 0)
    );
}
