//! How many files wait to become segments again, and what makes them fewer.

use super::*;
use crate::AckReason;
use crate::disk::sim::SimDisk;
use crate::engine::stepped::{come_to_rest, durable_queue, lease, message_for, publish_all};
use crate::ids::{QueueId, Seq};
use crate::limits::SEGMENT_BYTES_MIN;
use crate::options::Options;

/// Two spares, and room for four segments that nobody needs.
fn options() -> Options {
    Options {
        spare_segments_max: 2,
        evacuation_slack_bytes: 4 * SEGMENT_BYTES_MIN,
        ..Options::tiny()
    }
}

/// Many a segment of what comes and goes.
fn pass_by(engine: &Engine<SimDisk>, disk: &SimDisk) {
    let passing = durable_queue(engine);
    fill(engine, passing);
    let deleted = engine.lock().shard().delete_queue(passing).unwrap();
    engine.wait_durable(deleted).unwrap();
    come_to_rest(engine, disk);
}

/// Some 20 segments, a block in each.
fn fill(engine: &Engine<SimDisk>, queue: QueueId) {
    for _ in 0..20 {
        let message = message_for(std::slice::from_ref(&queue), &[&[7; 6000]]);
        let block = publish_all(engine, std::iter::repeat_n(message, 10));
        engine.wait_durable(block).unwrap();
        while engine.step() {}
    }
}

/// Files that wait to be used, but for the one that comes next.
fn waiting(engine: &Engine<SimDisk>) -> u64 {
    engine.counters().segments_spare - 1
}

#[test]
fn what_survivors_do_not_take_of_their_room_is_kept_as_spares() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), options(), ()).unwrap();
    pass_by(&engine, &disk);
    assert_eq!(waiting(&engine), 2 + 4);
    let files = disk.list("shard-00/j").unwrap().len();
    assert!(files <= 2 + 4 + 3, "{files} files");
}

#[test]
fn spares_go_when_survivors_take_the_room() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), options(), ()).unwrap();
    let kept = durable_queue(&engine);
    fill(&engine, kept);
    pass_by(&engine, &disk);
    assert_eq!(waiting(&engine), 2 + 4, "all of the others are full");
    while !lease(&engine, kept, 200).is_empty() {}
    for block in 0..20 {
        // Of each segment less than half stays, while the log needs no other.
        let first = Seq::new(10 * block);
        let mut guard = engine.lock();
        let acked = guard
            .shard()
            .acknowledge(kept, first, 6, AckReason::Acked, disk.now());
        acked.unwrap();
    }
    let counters = come_to_rest(&engine, &disk);
    let excess = counters.segment_bytes - 2 * counters.live_bytes;
    assert!(excess > 2 * SEGMENT_BYTES_MIN, "{counters:?}");
    // The segment in use counts only while something lives in it.
    let most = 2 + 4 + 1 - excess / SEGMENT_BYTES_MIN;
    assert!(
        waiting(&engine) <= most,
        "{} of {most}, {counters:?}",
        waiting(&engine)
    );
}

#[test]
fn a_spare_is_given_up_in_pieces_but_not_on_a_full_disk() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), options(), ()).unwrap();
    pass_by(&engine, &disk);
    let mut guard = engine.lock();
    let shard = guard.shard();
    shard.options.evacuation_slack_bytes = 0;
    shard.chores.is_full = true;
    assert!(shard.trim_job(disk.now()).is_none());
    shard.chores.is_full = false;
    let given_up = shard.trim_job(disk.now()).unwrap();
    drop(guard);
    let (files, pieces) = (disk.list("shard-00/j").unwrap().len(), disk.calls().shortenings);
    given_up.perform(&disk, || false).unwrap();
    assert_eq!(disk.list("shard-00/j").unwrap().len(), files - 1);
    assert!(disk.calls().shortenings > pieces, "it goes in pieces");
}
