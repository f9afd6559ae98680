//! Segments that are read because of what a queue keeps.

use super::Engine;
use super::stepped::{come_to_rest, durable_queue, lease, message_for, publish_all};
use crate::AckReason;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::ids::{QueueId, Seq};
use crate::options::Options;
use crate::retention::Retention;

fn options() -> Options {
    Options {
        segment_bytes: 16 << 20,
        block_bytes_soft: 1 << 20,
        evacuation_slack_bytes: 0,
        spare_segments_max: 0,
        reserve_segments: 0,
        checkpoint_ms: u64::MAX,
        checkpoint_bytes: u64::MAX,
        ..Options::tiny()
    }
}

fn put(engine: &Engine<SimDisk>, queue: QueueId, body: &[u8]) {
    let block = publish_all(engine, [message_for(&[queue], &[body])]);
    engine.wait_durable(block).unwrap();
}

/// Segments in which nothing lives and that somebody holds.
fn dead_and_held(engine: &Engine<SimDisk>) -> usize {
    let locked = engine.inner.lock();
    let segments = locked.shard.state.segments.iter();
    let is_held =
        |segment: &&crate::segments::Segment<_>| segment.file.is_pinned() && segment.live.entries == 0;
    segments.filter(is_held).count()
}

#[test]
fn a_survey_that_nobody_needs_any_more_lets_go_of_its_segment() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), options(), ()).unwrap();
    let (keeps, passing) = (durable_queue(&engine), durable_queue(&engine));
    let retention = Retention {
        age_ms: Some(1),
        bytes: None,
    };
    engine
        .lock()
        .shard()
        .set_retention(keeps, Some(retention))
        .unwrap();
    let body = vec![7; 900_000];
    for _ in 0..24 {
        put(&engine, passing, &body);
    }
    while !lease(&engine, passing, 100).is_empty() {}
    let acked = engine
        .lock()
        .shard()
        .acknowledge(passing, Seq::new(0), 24, AckReason::Acked, disk.now());
    engine.wait_durable(acked.unwrap()).unwrap();
    // A survey of the dead segment takes several steps.
    while dead_and_held(&engine) == 0 {
        assert!(engine.step(), "no survey has begun");
    }
    let deleted = engine.lock().shard().delete_queue(keeps).unwrap();
    engine.wait_durable(deleted).unwrap();
    for _ in 0..6 {
        disk.advance(2_000);
        put(&engine, passing, b"news");
        engine.checkpoint();
        come_to_rest(&engine, &disk);
    }
    assert_eq!(dead_and_held(&engine), 0);
}
