//! An orderly stop while other threads are at work in the directory.

use super::Engine;
use super::stepped::{durable_queue, message_for, publish_all};
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, FileKind};
use crate::ids::QueueId;
use crate::options::Options;
use crate::segments::segment_path;
use crate::shard::{CheckpointWish, Job};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

fn options() -> Options {
    Options {
        checkpoint_ms: u64::MAX,
        checkpoint_bytes: u64::MAX,
        ..Options::tiny()
    }
}

fn put(engine: &Engine<SimDisk>, queue: QueueId, body: &[u8]) {
    let block = publish_all(engine, [message_for(&[queue], &[body])]);
    engine.wait_durable(block).unwrap();
}

/// A store, and how it makes its next segment.
fn store_that_prepares(disk: &SimDisk) -> (Engine<SimDisk>, QueueId, Job<SimDisk>) {
    let (engine, _) = Engine::open(disk.clone(), options(), ()).unwrap();
    let orders = durable_queue(&engine);
    let now = disk.now();
    loop {
        let job = engine.inner.lock().shard.next_job(now, CheckpointWish::WhenDue);
        match job {
            Some(job @ Job::Prepare(_)) => return (engine, orders, job),
            Some(job) => drop(engine.inner.carry_out(job, now)),
            None => put(&engine, orders, &[1; 6000]),
        }
    }
}

#[test]
fn a_stop_waits_for_a_chore_that_a_caller_has_under_way() {
    let disk = SimDisk::new(1);
    let (engine, _, job) = store_that_prepares(&disk);
    engine.inner.lock().callers_chores = 1;
    let closing = engine.clone();
    let (tell, told) = mpsc::channel();
    let closer = thread::spawn(move || {
        closing.close().unwrap();
        tell.send(()).unwrap();
    });
    while !engine.inner.lock().closing {
        thread::yield_now();
    }
    assert!(told.recv_timeout(Duration::from_millis(20)).is_err());
    assert!(disk.lock().is_err(), "the directory is not another's");
    let (failed, result) = engine.inner.perform(job);
    engine.inner.finish(failed, result, disk.now());
    drop(super::chores::UnderWay(&engine.inner));
    closer.join().unwrap();
    drop(disk.lock().unwrap());
    let (_, report) = Engine::open(disk, options(), ()).unwrap();
    assert!(report.clean);
}

#[test]
fn a_segment_of_another_owner_is_never_made_again() {
    let disk = SimDisk::new(1);
    let (engine, orders, job) = store_that_prepares(&disk);
    let Job::Prepare(prepare) = &job else {
        unreachable!("it is that one")
    };
    let path = segment_path(prepare.header.number);
    // As if nobody had waited for it.
    engine.close().unwrap_err();
    let (next, _) = Engine::open(disk.clone(), options(), ()).unwrap();
    assert!(
        disk.open(&path, FileKind::Journal).is_ok(),
        "the next owner took this number"
    );
    put(&next, orders, b"confirmed");
    assert!(engine.inner.perform(job).1.is_err());
    put(&next, orders, b"confirmed");
    drop(next);
    let disk = disk.after_kill();
    let (_, report) = Engine::open(disk, options(), ()).unwrap();
    assert!(
        report.quarantined.is_empty() && report.torn.is_none(),
        "{report:?}"
    );
    assert!(report.queues[0].messages >= 2);
}
