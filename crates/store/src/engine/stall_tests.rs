//! What is told of a disk that keeps the log waiting.

use super::stepped::{come_to_rest, durable_queue, message_for, publish_all};
use super::*;
use crate::QueueId;
use crate::disk::sim::SimDisk;
use crate::limits::WRITE_STALL_MS;
use crate::options::Options;
use crate::tail::{Next, Take};

/// Publishes and writes, without any chore, until the log stands still.
fn write_until_a_segment_is_needed(engine: &Engine<SimDisk>, disk: &SimDisk, queue: QueueId) {
    loop {
        let mut locked = engine.inner.lock();
        let next = engine.inner.next_write(&mut locked, disk.now(), Take::All);
        drop(locked);
        match next {
            Next::Write(job) => engine.inner.complete(job.perform()),
            Next::NeedsSegment => return,
            Next::Nothing => drop(publish_all(engine, [message_for(&[queue], &[&[7; 6000]])])),
        }
    }
}

fn standing_still() -> (SimDisk, Engine<SimDisk>) {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let queue = durable_queue(&engine);
    write_until_a_segment_is_needed(&engine, &disk, queue);
    (disk, engine)
}

#[test]
fn a_log_that_waits_for_a_segment_is_a_stall_until_it_has_one() {
    let (disk, engine) = standing_still();
    assert!(!engine.rests());
    disk.advance(WRITE_STALL_MS - 1);
    assert_eq!(engine.write_stall(), None);
    disk.advance(6);
    assert_eq!(
        engine.write_stall(),
        Some(Duration::from_millis(WRITE_STALL_MS + 5))
    );
    come_to_rest(&engine, &disk);
    disk.advance(2 * WRITE_STALL_MS);
    assert_eq!(engine.write_stall(), None);
}

#[test]
fn a_log_that_waits_for_room_on_a_full_disk_is_no_stall() {
    let (disk, engine) = standing_still();
    disk.set_capacity(Some(disk.used_bytes()));
    come_to_rest(&engine, &disk);
    disk.advance(2 * WRITE_STALL_MS);
    assert!(engine.lock().shard().chores.is_full);
    assert_eq!(engine.write_stall(), None);
}
