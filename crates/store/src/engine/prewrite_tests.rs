//! Segments that are written once before the log comes to them.

use super::stepped::{come_to_rest, durable_queue, message_for};
use super::*;
use crate::disk::sim::SimDisk;
use crate::options::Options;
use crate::shard::{Done, Job, Past};
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

/// Has the next segment written once, when the other chores that come before it are done; `before` is called in between.
fn prewrite(
    engine: &Engine<SimDisk>,
    disk: &SimDisk,
    before: impl FnOnce(),
    is_wanted: impl FnMut() -> bool,
) -> Past {
    disk.advance(1);
    let now = disk.now();
    loop {
        let job = engine.lock().shard().next_job(now, CheckpointWish::WhenDue);
        match job.expect("the next segment is to be written once") {
            Job::Prewrite(job) => {
                before();
                let past = job.perform(is_wanted);
                let done = Done::Prepared { file: job.file, past };
                engine.lock().shard().finish_job(done, now);
                return past;
            }
            other => {
                let (_, done) = engine.inner.perform(other);
                engine.lock().shard().finish_job(done.unwrap(), now);
            }
        }
    }
}

#[test]
fn the_next_segment_is_written_once_when_the_log_is_on_its_way_to_it() {
    for (prewrites, past) in [(true, Past::Written), (false, Past::New)] {
        let (disk, engine, queue) = open(Options {
            prewrite_segments: prewrites,
            ..options()
        });
        publish(&engine, queue, 1);
        come_to_rest(&engine, &disk);
        assert_eq!(engine.lock().shard().tail.next_past(), Some(past));
        publish(&engine, queue, 20);
    }
}

#[test]
fn a_log_that_is_faster_than_the_disk_writes_zeros_is_not_slowed() {
    let (_, engine, queue) = open(options());
    // All of it in the same millisecond.
    publish(&engine, queue, 20);
    while engine.step() {}
    assert!(engine.counters().rolls > 0);
    assert_eq!(engine.lock().shard().tail.next_past(), Some(Past::New));
}

#[test]
fn the_log_gets_the_segment_as_it_is_when_it_comes_near_its_end() {
    let (disk, engine, queue) = open(options());
    publish(&engine, queue, 2);
    let mut asked = 0;
    let is_wanted = || {
        // Somebody publishes while it is being written.
        publish(&engine, queue, 4);
        asked += 1;
        engine.inner.is_next_wanted()
    };
    assert_eq!(prewrite(&engine, &disk, || {}, is_wanted), Past::Interrupted);
    assert_eq!(asked, 1);
    assert_eq!(engine.counters().rolls, 0);
    publish(&engine, queue, 20);
    assert!(engine.counters().rolls >= 1);
}

#[test]
fn a_segment_that_could_not_be_written_once_is_as_good_as_before() {
    let (disk, engine, queue) = open(options());
    publish(&engine, queue, 1);
    let past = prewrite(&engine, &disk, || disk.fail_at(1), || false);
    assert!(disk.failed().is_some());
    assert_eq!(past, Past::Interrupted);
    publish(&engine, queue, 20);
    drop(engine);
    let (_, report) = Engine::open(disk, options(), ()).unwrap();
    assert_eq!(report.queues[0].messages, 21);
}
