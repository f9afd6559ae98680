//! Which checkpoints a start takes, and which of them are kept.

use super::Engine;
use super::stepped::{come_to_rest, durable_queue, message_for, publish_all};
use crate::checkpoint::{self, RETAINED};
use crate::disk::sim::{Loss, SimDisk};
use crate::ids::QueueId;
use crate::options::Options;
use crate::shard::{LeaseOutcome, Sources};

fn options() -> Options {
    Options {
        checkpoint_ms: u64::MAX,
        checkpoint_bytes: u64::MAX,
        evacuation_slack_bytes: 0,
        ..Options::tiny()
    }
}

fn open(disk: &SimDisk) -> Engine<SimDisk> {
    Engine::open(disk.clone(), options(), ()).unwrap().0
}

fn put(engine: &Engine<SimDisk>, queue: QueueId, body: &[u8]) {
    let block = publish_all(engine, [message_for(&[queue], &[body])]);
    engine.wait_durable(block).unwrap();
}

fn checkpoints(disk: &SimDisk) -> usize {
    checkpoint::list(disk).unwrap().len()
}

/// The first bytes of all bodies of a queue.
fn bodies(engine: &Engine<SimDisk>, queue: QueueId) -> Vec<u8> {
    let (mut leases, mut sources) = (Vec::new(), Sources::default());
    loop {
        let leased = engine
            .lock()
            .shard()
            .lease(queue, 100, u64::MAX, &mut leases, &mut sources);
        match leased.unwrap() {
            LeaseOutcome::Pending(block) => drop(engine.wait_durable(block).unwrap()),
            LeaseOutcome::Some(_) => {}
            LeaseOutcome::Empty => break,
        }
    }
    let mut reader = engine.reader();
    let body = |lease| reader.message(queue, lease, &sources).unwrap().body[0];
    leases.iter().map(body).collect()
}

#[test]
fn checkpoints_that_a_power_loss_brings_back_go_again() {
    let mut disk = SimDisk::new(1);
    let mut engine = open(&disk);
    let orders = durable_queue(&engine);
    for _ in 0..5 {
        for _ in 0..4 {
            put(&engine, orders, b"news");
            engine.checkpoint();
        }
        drop(engine);
        disk = disk.after_loss(Loss::All);
        assert!(checkpoints(&disk) > RETAINED, "the last removal was not synced");
        engine = open(&disk);
        assert_eq!(checkpoints(&disk), RETAINED);
    }
}

#[test]
fn a_superseded_checkpoint_that_came_back_is_not_taken_when_the_newer_ones_rot() {
    let disk = SimDisk::new(1);
    let engine = open(&disk);
    let (kept, passing) = (durable_queue(&engine), durable_queue(&engine));
    for number in 0..20 {
        put(&engine, kept, &[number; 100]);
        let message = message_for(std::slice::from_ref(&passing), &[&[7; 6000]]);
        let block = publish_all(&engine, std::iter::repeat_n(message, 10));
        engine.wait_durable(block).unwrap();
        while engine.step() {}
    }
    for _ in 0..3 {
        put(&engine, passing, b"news");
        engine.checkpoint();
    }
    drop(engine);
    let disk = disk.after_loss(Loss::All);
    assert_eq!(checkpoints(&disk), RETAINED + 1);
    let engine = open(&disk);
    let deleted = engine.lock().shard().delete_queue(passing).unwrap();
    engine.wait_durable(deleted).unwrap();
    let other = durable_queue(&engine);
    for _ in 0..12 {
        put(&engine, other, b"news");
        engine.checkpoint();
        come_to_rest(&engine, &disk);
    }
    let counters = engine.counters();
    assert!(
        counters.copies > 0 && counters.segments_recycled > 0,
        "{counters:?}"
    );
    drop(engine);
    let disk = disk.after_kill();
    for lsn in checkpoint::newest(&disk).unwrap() {
        disk.flip_bit(&checkpoint::path(lsn), 8 * 40).unwrap();
    }
    let engine = open(&disk);
    assert_eq!(bodies(&engine, kept), (0..20).collect::<Vec<u8>>());
}
