//! What the log still says of deleted queues when the segments go that said it first.

use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::engine::stepped::{durable_queue, lease, message_for, publish_all};
use crate::{AckReason, Engine, Options, QueueDurability, QueueId, Seq};

/// So many queues come and go at once.
const PASSING: usize = 1_000;
/// No segment is so sparse that it is evacuated.
const EVERYTHING_STAYS: u64 = 1 << 40;

fn open(disk: &SimDisk, evacuation_slack_bytes: u64) -> Engine<SimDisk> {
    let options = Options {
        evacuation_slack_bytes,
        ..Options::tiny()
    };
    Engine::open(disk.clone(), options, ()).unwrap().0
}

fn put(engine: &Engine<SimDisk>, queues: &[QueueId], body: &[u8]) {
    let block = publish_all(engine, [message_for(queues, &[body])]);
    engine.wait_durable(block).unwrap();
}

fn delete(engine: &Engine<SimDisk>, queue: QueueId) {
    let deleted = engine.lock().shard().delete_queue(queue);
    engine.wait_durable(deleted.unwrap()).unwrap();
}

/// Fills segments with what nobody needs afterwards, so that all that can be recycled is.
fn pass(engine: &Engine<SimDisk>, disk: &SimDisk, rounds: usize) {
    pass_until(engine, disk, rounds, || false);
}

/// The same, but for what is left to do once it is `done`.
fn pass_until(engine: &Engine<SimDisk>, disk: &SimDisk, rounds: usize, done: impl Fn() -> bool) {
    let passing = durable_queue(engine);
    for _ in 0..rounds {
        for _ in 0..12 {
            put(engine, &[passing], &[7; 6000]);
        }
        let mut seqs = Vec::new();
        while seqs.len() < 12 {
            seqs.extend(lease(engine, passing, 12));
        }
        let (first, count) = (Seq::new(seqs[0]), u64::try_from(seqs.len()).unwrap());
        let acked = engine
            .lock()
            .shard()
            .acknowledge(passing, first, count, AckReason::Acked, disk.now());
        engine.wait_durable(acked.unwrap()).unwrap();
        engine.checkpoint();
        for _ in 0..20 {
            while !done() && engine.step() {}
            disk.advance(150);
        }
        if done() {
            return;
        }
    }
    delete(engine, passing);
}

fn queues_of(engine: &Engine<SimDisk>) -> Vec<QueueId> {
    engine.lock().shard().queues().map(|(id, ..)| id).collect()
}

/// Whether it is known that the queue has ended.
fn has_ended(engine: &Engine<SimDisk>, queue: QueueId) -> bool {
    let mut guard = engine.lock();
    let state = &guard.shard().state;
    state.tombstones.contains_key(&queue) && !state.queues.contains(queue)
}

/// Many queues come and go.
fn churn(engine: &Engine<SimDisk>) {
    const AT_ONCE: usize = 50;
    for _ in 0..PASSING / AT_ONCE {
        let mut last = None;
        for _ in 0..AT_ONCE {
            let id = engine.next_queue_id();
            let mut guard = engine.lock();
            let made = guard.shard().create_queue(id, QueueDurability::Durable, b"");
            made.unwrap();
            last = Some(guard.shard().delete_queue(id).unwrap());
        }
        engine.wait_durable(last.unwrap()).unwrap();
        while engine.step() {}
    }
}

/// What the log alone says: twice, for a start writes too.
fn rebuilt(disk: &SimDisk) -> Engine<SimDisk> {
    let mut engine = None;
    for _ in 0..2 {
        drop(engine.take());
        for name in disk.list("shard-00").unwrap() {
            if name.starts_with("ckpt-") {
                disk.remove(&format!("shard-00/{name}")).unwrap();
            }
        }
        engine = Some(open(disk, EVERYTHING_STAYS));
    }
    engine.unwrap()
}

#[test]
fn a_delete_is_not_said_again_for_segments_older_than_its_queue() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, EVERYTHING_STAYS);
    let kept = durable_queue(&engine);
    put(&engine, &[kept], b"nobody acknowledges this");
    pass(&engine, &disk, 2);
    let mut left = Vec::new();
    for _ in 0..4 {
        churn(&engine);
        pass(&engine, &disk, 1);
        // This pins one more segment, in which none of those has anything.
        put(&engine, &[kept], b"nor this");
        pass(&engine, &disk, 5);
        left.push(engine.lock().shard().state.tombstones.len());
    }
    assert!(left.iter().all(|left| *left < 10), "{left:?}");
    let counters = engine.counters();
    assert!(counters.segments_recycled > 20, "{counters:?}");
    let disk = disk.after_kill();
    drop(engine);
    let engine = rebuilt(&disk);
    assert_eq!(queues_of(&engine), [kept]);
    assert_eq!(lease(&engine, kept, 10).len(), 5);
}

#[test]
fn a_delete_is_said_again_while_an_older_segment_knows_the_queue() {
    for restarts in [[false, false], [true, false], [false, true], [true, true]] {
        let disk = SimDisk::new(1);
        let mut engine = open(&disk, EVERYTHING_STAYS);
        let kept = durable_queue(&engine);
        let deleted = durable_queue(&engine);
        put(&engine, &[kept, deleted], b"nobody acknowledges this");
        pass(&engine, &disk, 3);
        if restarts[0] {
            drop(engine);
            engine = open(&disk, EVERYTHING_STAYS);
        }
        delete(&engine, deleted);
        pass(&engine, &disk, 3);
        if restarts[1] {
            drop(engine);
            engine = open(&disk, EVERYTHING_STAYS);
        }
        pass(&engine, &disk, 6);
        drop(engine);
        let engine = rebuilt(&disk.after_kill());
        assert_eq!(queues_of(&engine), [kept], "{restarts:?}");
        assert!(has_ended(&engine, deleted), "{restarts:?}");
    }
}

/// Messages of both queues, moved together out of segments that hold little else. There they stay.
fn evacuate(engine: &Engine<SimDisk>, disk: &SimDisk, queues: [QueueId; 2]) {
    for _ in 0..10 {
        put(engine, &queues[..1], b"one");
        put(engine, &queues[1..], b"other");
        pass(engine, disk, 1);
    }
    assert!(engine.counters().copies > 0);
    engine.lock().shard().options.evacuation_slack_bytes = EVERYTHING_STAYS;
}

#[test]
fn a_delete_is_said_again_while_copies_are_left() {
    let disk = SimDisk::new(1);
    let engine = open(&disk, 0);
    let (kept, deleted) = (durable_queue(&engine), durable_queue(&engine));
    evacuate(&engine, &disk, [kept, deleted]);
    delete(&engine, deleted);
    pass(&engine, &disk, 10);
    let disk = disk.after_kill();
    drop(engine);
    let engine = rebuilt(&disk);
    assert!(has_ended(&engine, deleted));
    let mut guard = engine.lock();
    let mut segments = guard.shard().state.segments.iter();
    assert!(segments.any(|segment| segment.file.number.is_cold()));
}

#[test]
fn a_delete_is_said_again_while_there_may_be_copies_that_no_checkpoint_knows() {
    for restarts in 1..4 {
        let mut disk = SimDisk::new(1);
        let engine = open(&disk, 0);
        let (kept, deleted) = (durable_queue(&engine), durable_queue(&engine));
        // A checkpoint knows what pins the cold segment, and does not know what is copied to it later.
        for queue in [kept, deleted] {
            let is_moved = || {
                let mut guard = engine.lock();
                let mut segments = guard.shard().state.segments.iter();
                segments.any(|segment| segment.file.number.is_cold() && segment.control.contains(&queue))
            };
            pass(&engine, &disk, 2);
            put(&engine, &[queue], b"this is moved");
            pass_until(&engine, &disk, 20, is_moved);
            assert!(is_moved());
        }
        disk = disk.after_kill();
        drop(engine);
        let mut engine = open(&disk, EVERYTHING_STAYS);
        for restart in 1..restarts {
            pass(&engine, &disk, 2);
            if restart == 1 {
                disk = disk.after_kill();
            } else {
                engine.close().unwrap();
            }
            drop(engine);
            engine = open(&disk, EVERYTHING_STAYS);
        }
        for queue in queues_of(&engine) {
            if queue != kept {
                delete(&engine, queue);
            }
        }
        pass(&engine, &disk, 10);
        let disk = disk.after_kill();
        drop(engine);
        let engine = rebuilt(&disk);
        assert!(has_ended(&engine, deleted), "{restarts} restarts");
    }
}

#[test]
fn what_was_recycled_just_before_a_kill_leaves_no_end_of_a_queue_behind() {
    let mut disk = SimDisk::new(1);
    let mut engine = open(&disk, EVERYTHING_STAYS);
    pass(&engine, &disk, 1);
    let mut left = Vec::new();
    for _ in 0..4 {
        churn(&engine);
        let recycled = engine.counters().segments_recycled;
        pass_until(&engine, &disk, 10, || {
            engine.counters().segments_recycled > recycled
        });
        disk = disk.after_kill();
        drop(engine);
        engine = open(&disk, EVERYTHING_STAYS);
        queues_of(&engine)
            .into_iter()
            .for_each(|queue| delete(&engine, queue));
        pass(&engine, &disk, 8);
        left.push(engine.lock().shard().state.tombstones.len());
    }
    assert!(left.iter().all(|left| *left < 20), "{left:?}");
}
