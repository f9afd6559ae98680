//! An engine on a simulated disk that gets full.

use super::stepped::{come_to_rest, durable_queue, message_for};
use super::*;
use crate::disk::sim::SimDisk;
use crate::options::Options;
use crate::segments::JOURNAL_DIR;
use crate::shard::{Done, Job, NewMessage};
use crate::{AckReason, LeaseOutcome, QueueId, Seq, Sources};

pub(super) const fn large_for(queues: &[QueueId]) -> NewMessage<'_> {
    message_for(queues, &[&[7; 6000]])
}

pub(super) fn publish(engine: &Engine<SimDisk>, queue: QueueId) {
    let queues = [queue];
    engine.lock().shard().publish(&large_for(&queues)).unwrap();
    engine.commit(1);
}

/// A store on a disk that has room for a few segments more.
pub(super) fn on_a_small_disk(room_bytes: u64) -> (SimDisk, Engine<SimDisk>, QueueId) {
    let often = Options {
        checkpoint_ms: 10,
        ..Options::tiny()
    };
    on_a_small_disk_with(room_bytes, often)
}

fn on_a_small_disk_with(room_bytes: u64, options: Options) -> (SimDisk, Engine<SimDisk>, QueueId) {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
    let queue = durable_queue(&engine);
    // The log rolls, so that there is a reserve.
    publish_while_there_is_room(&engine, &disk, queue, 20);
    disk.set_capacity(Some(disk.used_bytes() + room_bytes));
    (disk, engine, queue)
}

/// Publishes up to `count` messages; how many.
pub(super) fn publish_while_there_is_room(
    engine: &Engine<SimDisk>,
    disk: &SimDisk,
    queue: QueueId,
    count: usize,
) -> usize {
    for published in 0..count {
        if !engine.lock().shard().has_room() {
            return published;
        }
        publish(engine, queue);
        come_to_rest(engine, disk);
    }
    count
}

pub(super) fn acknowledge(engine: &Engine<SimDisk>, disk: &SimDisk, queue: QueueId, first: u64, count: u64) {
    let (mut leases, mut sources) = (Vec::new(), Sources::default());
    for _ in 0..count {
        let leased = engine
            .lock()
            .shard()
            .lease(queue, 100, u64::MAX, &mut leases, &mut sources);
        if leased.unwrap() == LeaseOutcome::Empty {
            break;
        }
        come_to_rest(engine, disk);
    }
    let acked = AckReason::Acked;
    let now = disk.now();
    let block = engine
        .lock()
        .shard()
        .acknowledge(queue, Seq::new(first), count, acked, now);
    engine.wait_durable(block.unwrap()).unwrap();
}

#[test]
fn on_a_full_disk_nobody_publishes_until_acknowledgements_have_made_room() {
    let (disk, engine, queue) = on_a_small_disk(4 * Options::tiny().segment_bytes);
    let published = publish_while_there_is_room(&engine, &disk, queue, 1000);
    assert!(published < 1000 && engine.counters().is_disk_full);
    assert!(engine.lock().shard().poisoned().is_none());
    acknowledge(&engine, &disk, queue, 0, u64::try_from(published).unwrap());
    come_to_rest(&engine, &disk);
    assert!(!engine.counters().is_disk_full, "{:?}", engine.counters());
    assert!(publish_while_there_is_room(&engine, &disk, queue, 5) == 5);
    let held = engine.lock().shard().counts(queue).unwrap();
    assert_eq!(held.ready + held.leased, 25);
}

#[test]
fn nobody_is_called_for_a_block_that_waits_for_a_segment() {
    let (disk, engine, queue) = on_a_small_disk(4 * Options::tiny().segment_bytes);
    let _ = publish_while_there_is_room(&engine, &disk, queue, 1000);
    // Whoever does not ask for room may use up the reserve.
    while engine.lock().shard().tail.is_idle() {
        publish(&engine, queue);
        come_to_rest(&engine, &disk);
    }
    let now = disk.now();
    assert!(!engine.lock().shard().has_due(now), "the disk is full");
    disk.set_capacity(None);
    disk.advance(10_000);
    come_to_rest(&engine, &disk);
    assert!(engine.lock().shard().tail.is_idle());
}

#[test]
fn a_log_that_waits_for_a_segment_goes_on_when_a_checkpoint_sets_dead_ones_free() {
    let rarely = Options {
        checkpoint_ms: 300_000,
        checkpoint_bytes: u64::MAX,
        ..Options::tiny()
    };
    let (disk, engine, queue) = on_a_small_disk_with(4 * Options::tiny().segment_bytes, rarely);
    let published = 20 + publish_while_there_is_room(&engine, &disk, queue, 1000);
    acknowledge(&engine, &disk, queue, 0, u64::try_from(published).unwrap());
    // The older one of the two behind which nothing is set free.
    while engine.counters().checkpoints == 0 {
        engine.checkpoint();
    }
    while engine.lock().shard().tail.is_idle() {
        publish(&engine, queue);
        come_to_rest(&engine, &disk);
    }
    // A segment is asked for ten times a second meanwhile.
    let end_ms = disk.now().mono_ms + 3 * 300_000;
    while disk.now().mono_ms < end_ms {
        while engine.step() {}
        disk.advance(25);
    }
    assert!(engine.lock().shard().tail.is_idle(), "{:?}", engine.counters());
    assert!(!engine.counters().is_disk_full, "{:?}", engine.counters());
}

#[test]
fn on_a_full_disk_what_still_lives_is_evacuated_to_make_room() {
    let (disk, engine, queue) = on_a_small_disk(6 * Options::tiny().segment_bytes);
    let published = 20 + publish_while_there_is_room(&engine, &disk, queue, 1000);
    assert!(engine.counters().is_disk_full);
    // One of ten stays, which is one for each segment.
    let before = engine.counters();
    for first in (0..u64::try_from(published).unwrap()).step_by(10) {
        acknowledge(&engine, &disk, queue, first + 1, 9);
    }
    come_to_rest(&engine, &disk);
    let after = engine.counters();
    assert!(
        after.evacuations > before.evacuations && !after.is_disk_full,
        "{after:?}"
    );
    assert!(publish_while_there_is_room(&engine, &disk, queue, 5) == 5);
}

#[test]
fn a_store_opens_and_takes_acknowledgements_while_the_disk_is_full() {
    let (disk, engine, queue) = on_a_small_disk(4 * Options::tiny().segment_bytes);
    let published = publish_while_there_is_room(&engine, &disk, queue, 1000);
    drop(engine);
    let (engine, report) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    assert_eq!(report.queues[0].messages, 20 + u64::try_from(published).unwrap());
    acknowledge(&engine, &disk, queue, 0, 10);
    let held = engine.lock().shard().counts(queue).unwrap();
    assert_eq!(held.ready + held.leased, 10 + u64::try_from(published).unwrap());
}

#[test]
fn a_full_disk_does_not_meet_an_index_that_has_to_grow() {
    let disk = SimDisk::new(1);
    let options = Options {
        slab_bytes: 64 << 10,
        ..Options::tiny()
    };
    let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
    // Each takes a page of its own, and there are more of them than pages.
    let queues: Vec<_> = (0..40).map(|_| durable_queue(&engine)).collect();
    come_to_rest(&engine, &disk);
    disk.set_capacity(Some(disk.used_bytes()));
    let mut published = Vec::new();
    for queue in &queues {
        // Several wait for the disk together.
        if engine.lock().shard().has_room() {
            let message = large_for(std::slice::from_ref(queue));
            engine.lock().shard().publish(&message).unwrap();
            published.push(*queue);
        }
    }
    come_to_rest(&engine, &disk);
    assert!(engine.lock().shard().poisoned().is_none());
    assert!(
        !published.is_empty() && published.len() < 40,
        "{}",
        published.len()
    );
    disk.set_capacity(None);
    come_to_rest(&engine, &disk);
    assert!(engine.lock().shard().has_room());
    for queue in &queues {
        publish(&engine, *queue);
        let held = engine.lock().shard().counts(*queue).unwrap();
        let before = usize::from(published.contains(queue));
        assert_eq!(held.ready, u64::try_from(before + 1).unwrap());
    }
}

#[test]
fn evacuation_comes_to_rest_when_it_moves_more_than_the_index_has_pages() {
    let disk = SimDisk::new(1);
    let options = Options {
        slab_bytes: 64 << 10,
        spare_segments_max: 0,
        reserve_segments: 0,
        evacuation_slack_bytes: 0,
        ..Options::tiny()
    };
    let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
    let passing = durable_queue(&engine);
    let queues: Vec<_> = (0..200).map(|_| durable_queue(&engine)).collect();
    // One message for all of them: its copy moves 200 entries, each in a page of its own.
    engine
        .lock()
        .shard()
        .publish(&message_for(&queues, &[b"for all"]))
        .unwrap();
    for _ in 0..30 {
        publish(&engine, passing);
    }
    come_to_rest(&engine, &disk);
    acknowledge(&engine, &disk, passing, 0, 30);
    let counters = come_to_rest(&engine, &disk);
    assert!(counters.copies > 0 && counters.cold_segments <= 2, "{counters:?}");
}

/// A store in which many segments are dead, the job that takes them out, and how many these are.
fn about_to_recycle() -> (SimDisk, Engine<SimDisk>, QueueId, Job<SimDisk>, usize) {
    let disk = SimDisk::new(1);
    let options = Options {
        checkpoint_ms: 10,
        spare_segments_max: 5,
        ..Options::tiny()
    };
    let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
    let (passing, kept) = (durable_queue(&engine), durable_queue(&engine));
    for _ in 0..60 {
        publish(&engine, passing);
    }
    let deleted = engine.lock().shard().delete_queue(passing).unwrap();
    engine.wait_durable(deleted).unwrap();
    for _ in 0..1000 {
        let now = disk.now();
        let job = engine.lock().shard().next_job(now, CheckpointWish::WhenDue);
        match job {
            Some(Job::Recycle(job)) if !job.spares.is_empty() && job.removed.len() > 1 => {
                let wanted = job.spares.len() + job.removed.len();
                return (disk, engine, kept, Job::Recycle(job), wanted);
            }
            Some(job) => {
                let (_, done) = engine.inner.perform(job);
                engine.lock().shard().finish_job(done.unwrap(), now);
            }
            None => {
                let queues = [kept];
                let block = engine.lock().shard().publish(&large_for(&queues)).unwrap();
                engine.wait_durable(block).unwrap();
                disk.advance(10);
            }
        }
    }
    panic!("there is nothing to recycle: {:?}", engine.counters());
}

#[test]
fn a_disk_that_gets_full_while_segments_are_recycled_is_waited_out() {
    let (mut between, mut at_once) = (0, 0);
    for call in 1.. {
        let (disk, engine, queue, job, wanted) = about_to_recycle();
        disk.full_at(call);
        let (failed, result) = engine.inner.perform(job);
        let Some(path) = disk.failed() else {
            assert!(call > 3);
            break;
        };
        match result {
            Ok(Done::Recycled(done)) => {
                let taken_out = done.spares.len() + done.removed.len();
                assert!(taken_out > 0 && taken_out <= wanted);
                between += usize::from(taken_out < wanted);
                engine.lock().shard().finish_job(Done::Recycled(done), disk.now());
            }
            Ok(_) => panic!("it is no other job"),
            Err(error) => {
                at_once += 1;
                engine.lock().shard().fail_job(failed, error, disk.now());
                if path == JOURNAL_DIR {
                    assert!(
                        engine.lock().shard().poisoned().is_some(),
                        "a failed sync is final"
                    );
                    continue;
                }
            }
        }
        let counters = come_to_rest(&engine, &disk);
        assert!(engine.lock().shard().poisoned().is_none(), "{call}: {path}");
        assert!(counters.segments < 12 && !counters.is_disk_full, "{counters:?}");
        publish(&engine, queue);
        come_to_rest(&engine, &disk);
        let held = engine.lock().shard().counts(queue).unwrap().ready;
        drop(engine);
        let (_, report) = Engine::open(disk.after_kill(), Options::tiny(), ()).unwrap();
        assert_eq!(report.queues[0].messages, held);
    }
    assert!(
        between > 2 && at_once > 0,
        "{between} in between, {at_once} at once"
    );
}

#[test]
fn a_checkpoint_that_finds_no_room_is_tried_again_but_for_its_name() {
    for call in 1.. {
        let disk = SimDisk::new(1);
        let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
        durable_queue(&engine);
        let now = disk.now();
        let job = loop {
            let job = engine.lock().shard().next_job(now, CheckpointWish::Now).unwrap();
            if matches!(job, Job::Checkpoint(_)) {
                break job;
            }
            let (_, done) = engine.inner.perform(job);
            engine.lock().shard().finish_job(done.unwrap(), now);
        };
        disk.full_at(call);
        let (failed, result) = engine.inner.perform(job);
        let Some(path) = disk.failed() else {
            assert!(call > 5);
            break;
        };
        let error = result.err().expect("it found no room");
        engine.lock().shard().fail_job(failed, error, now);
        let is_poisoned = engine.lock().shard().poisoned().is_some();
        let is_sync = path == "shard-00" || path.starts_with("shard-00/x");
        assert_eq!(is_poisoned, is_sync, "{path}");
        if !is_poisoned {
            come_to_rest(&engine, &disk);
            engine.checkpoint();
            assert!(engine.counters().checkpoints > 0);
        }
    }
}
