//! Segments that are written once before the log comes to them.

use super::stepped::{come_to_rest, durable_queue, message_for};
use super::*;
use crate::disk::sim::SimDisk;
use crate::options::Options;
use crate::shard::{Done, Job, Wear};
use crate::{Persistence, QueueId};

fn options() -> Options {
    Options {
        prewrite_segments: true,
        ..Options::tiny()
    }
}

fn open(options: Options) -> (SimDisk, Engine<SimDisk>, QueueId) {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
    let queue = durable_queue(&engine);
    (disk, engine, queue)
}

/// Publishes messages, durably.
fn publish(engine: &Engine<SimDisk>, queue: QueueId, count: usize) {
    for _ in 0..count {
        let queues = [queue];
        let message = message_for(&queues, &[&[7; 6000]]);
        assert_eq!(message.persistence, Persistence::Persistent);
        let block = engine.lock().shard().publish(&message).unwrap();
        engine.wait_durable(block).unwrap();
    }
}

/// The job that writes the next segment once; the other chores that come before it are done.
fn prewriting(engine: &Engine<SimDisk>, disk: &SimDisk) -> Job<SimDisk> {
    disk.advance(1);
    let now = disk.now();
    loop {
        let job = engine.lock().shard().next_job(now, CheckpointWish::WhenDue);
        let job = job.expect("the next segment is to be written once");
        if matches!(job, Job::Prewrite(_)) {
            return job;
        }
        let (_, done) = engine.inner.perform(job);
        engine.lock().shard().finish_job(done.unwrap(), now);
    }
}

#[test]
fn the_next_segment_is_written_once_when_the_log_is_on_its_way_to_it() {
    for (prewrites, wear) in [(true, Wear::Written), (false, Wear::New)] {
        let (disk, engine, queue) = open(Options {
            prewrite_segments: prewrites,
            ..options()
        });
        publish(&engine, queue, 1);
        come_to_rest(&engine, &disk);
        assert_eq!(engine.lock().shard().tail.next_wear(), Some(wear));
        publish(&engine, queue, 20);
    }
}

#[test]
fn a_disk_that_writes_everything_to_a_new_place_gets_no_zeros() {
    let disk = SimDisk::new(1);
    disk.copy_on_write();
    let (engine, _) = Engine::open(disk.clone(), options(), ()).unwrap();
    let queue = durable_queue(&engine);
    publish(&engine, queue, 1);
    come_to_rest(&engine, &disk);
    assert_eq!(engine.lock().shard().tail.next_wear(), Some(Wear::New));
}

#[test]
fn a_file_that_was_only_kept_in_reserve_or_cut_off_early_counts_as_new() {
    let options = Options {
        checkpoint_ms: 10,
        reserve_segments: 1,
        spare_segments_max: 8,
        ..options()
    };
    let (disk, engine, queue) = open(options.clone());
    // Two segments full, and a third of which little is used.
    publish(&engine, queue, 15);
    let wears = |engine: &Engine<SimDisk>| {
        let mut guard = engine.lock();
        let spares = guard.shard().chores.spares.iter();
        spares.map(|spare| spare.wear).collect::<Vec<_>>()
    };
    come_to_rest(&engine, &disk);
    assert_eq!(wears(&engine), [Wear::New]);
    let disk = disk.after_kill();
    drop(engine);
    let unwritten = Options {
        prewrite_segments: false,
        ..options
    };
    let (engine, _) = Engine::open(disk.clone(), unwritten, ()).unwrap();
    assert!(wears(&engine).iter().all(|wear| *wear == Wear::New));
    let purged = engine.lock().shard().purge(queue, disk.now());
    engine.wait_durable(purged.unwrap().1).unwrap();
    for _ in 0..3 {
        publish(&engine, queue, 1);
        come_to_rest(&engine, &disk);
    }
    assert_eq!(engine.counters().segments_recycled, 3);
    let next = engine.lock().shard().tail.next_wear();
    let written = wears(&engine).into_iter().chain(next);
    assert_eq!(written.filter(|wear| *wear == Wear::Written).count(), 2);
}

#[test]
fn a_log_that_is_faster_than_the_disk_writes_zeros_is_not_slowed() {
    let (_, engine, queue) = open(options());
    // All of it in the same millisecond.
    publish(&engine, queue, 20);
    while engine.step() {}
    assert!(engine.counters().rolls > 0);
    assert_eq!(engine.lock().shard().tail.next_wear(), Some(Wear::New));
}

#[test]
fn zeros_are_not_begun_beside_a_log_that_needs_the_disk_and_end_when_it_has_come_to_need_it() {
    let large = Options {
        segment_bytes: 8 << 20,
        ..options()
    };
    // Enough for a segment to be under way.
    const FIRST: usize = 200;
    for (ms, wear) in [(5, Wear::New), (100, Wear::Written)] {
        let (disk, engine, queue) = open(large.clone());
        publish(&engine, queue, FIRST);
        disk.advance(ms);
        while engine.step() {}
        let next = engine.lock().shard().tail.next_wear();
        assert_eq!(next, Some(wear), "{FIRST} messages in {ms} ms");
    }

    let (disk, engine, queue) = open(large);
    publish(&engine, queue, FIRST);
    disk.advance(9);
    let Job::Prewrite(job) = prewriting(&engine, &disk) else {
        panic!("it is no other job")
    };
    let mut asked = 0;
    let mut is_wanted = || {
        asked += 1;
        if asked == 3 {
            publish(&engine, queue, FIRST);
        }
        engine.inner.is_next_wanted()
    };
    assert_eq!(job.perform(&mut is_wanted).unwrap(), Wear::Interrupted);
    assert_eq!(asked, 3);
}

#[test]
fn the_log_gets_the_segment_as_it_is_when_it_comes_near_its_end() {
    let (disk, engine, queue) = open(options());
    publish(&engine, queue, 2);
    let mut asked = 0;
    let mut is_wanted = || {
        // Somebody publishes while it is being written.
        publish(&engine, queue, 4);
        asked += 1;
        engine.inner.is_next_wanted()
    };
    let Job::Prewrite(job) = prewriting(&engine, &disk) else {
        panic!("it is no other job")
    };
    let wear = job.perform(&mut is_wanted).unwrap();
    assert_eq!((wear, asked), (Wear::Interrupted, 1));
    let done = Done::Prepared { file: job.file, wear };
    engine.lock().shard().finish_job(done, disk.now());
    assert_eq!(engine.counters().rolls, 0);
    publish(&engine, queue, 20);
    assert!(engine.counters().rolls >= 1);
}

#[test]
fn zeros_that_cannot_be_written_end_the_store_like_any_write_of_the_log() {
    let (disk, engine, queue) = open(options());
    publish(&engine, queue, 1);
    let job = prewriting(&engine, &disk);
    disk.fail_at(1);
    let (failed, done) = engine.inner.perform(job);
    let error = done.err().expect("the disk failed");
    engine.lock().shard().fail_job(failed, error, disk.now());
    assert!(engine.lock().shard().poisoned().is_some());
    drop(engine);
    let (_, report) = Engine::open(disk, options(), ()).unwrap();
    assert_eq!(report.queues[0].messages, 1);
}
