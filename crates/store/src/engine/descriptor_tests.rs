//! An engine whose process can open nothing more.

use super::stepped::{come_to_rest, durable_queue, message_for, publish_all};
use super::*;
use crate::disk::sim::SimDisk;
use crate::options::Options;

#[test]
fn a_store_that_can_open_no_more_files_goes_on_when_it_can_again() {
    let disk = SimDisk::new(1);
    let options = Options {
        checkpoint_ms: 10,
        ..Options::tiny()
    };
    let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
    let queue = durable_queue(&engine);
    let publish = || publish_all(&engine, [message_for(&[queue], &[&[7; 6000]])]);
    disk.set_opens_nothing(true);
    let mut published = 0_u64;
    while engine.lock().shard().has_room() && published < 1000 {
        publish();
        published += 1;
        come_to_rest(&engine, &disk);
    }
    let before = engine.counters();
    assert!(published < 1000, "the log waits for a segment: {before:?}");
    assert!(engine.lock().shard().poisoned().is_none());
    disk.set_opens_nothing(false);
    come_to_rest(&engine, &disk);
    let after = engine.counters();
    assert!(
        after.checkpoints > before.checkpoints && after.rolls > before.rolls,
        "{before:?} {after:?}"
    );
    let kept = engine.lock().shard().counts(queue).unwrap();
    assert_eq!(kept.ready, published, "all that was accepted");
    let is_idle = engine.lock().shard().tail.is_idle();
    assert!(is_idle, "and durable");
}
