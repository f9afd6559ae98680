//! A store that is started while its disk is full.

use super::full_disk_tests::{acknowledge, large_for, on_a_small_disk, publish_while_there_is_room};
use super::stepped::{come_to_rest, durable_queue, message_for, publish_all};
use super::*;
use crate::disk::sim::{Rng, SimDisk};
use crate::error::OpenError;
use crate::options::Options;
use crate::segments::JOURNAL_DIR;
use crate::{QueueId, RecoveryReport};

/// Calls that a start makes, and more.
const CALLS_MAX: u64 = 40;

fn open(disk: &SimDisk) -> Result<(Engine<SimDisk>, RecoveryReport), OpenError> {
    Engine::open(disk.clone(), Options::tiny(), ())
}

/// Publishes whatever is taken, faster than the disk writes it, until the disk is full; how much.
fn fill(engine: &Engine<SimDisk>, disk: &SimDisk, queue: QueueId) -> u64 {
    let mut published = 0;
    for _ in 0..1000 {
        if engine.counters().is_disk_full {
            break;
        }
        while engine.lock().shard().has_room() {
            publish_all(engine, [large_for(&[queue])]);
            published += 1;
        }
        come_to_rest(engine, disk);
    }
    assert!(engine.counters().is_disk_full);
    published
}

/// Takes all that is held, until publishing goes on.
fn drain(engine: &Engine<SimDisk>, disk: &SimDisk, queue: QueueId, held: u64) {
    come_to_rest(engine, disk);
    acknowledge(engine, disk, queue, 0, held);
    come_to_rest(engine, disk);
    assert!(!engine.counters().is_disk_full, "{:?}", engine.counters());
    assert_eq!(publish_while_there_is_room(engine, disk, queue, 5), 5);
}

#[test]
fn what_was_published_until_the_disk_was_full_does_not_wait_for_the_reserve() {
    let (disk, engine, queue) = on_a_small_disk(4 * Options::tiny().segment_bytes);
    let published = fill(&engine, &disk, queue);
    assert!(
        engine.lock().shard().tail.is_idle(),
        "all that was taken is durable"
    );
    drain(&engine, &disk, queue, 20 + published);
}

#[test]
fn a_store_that_was_stopped_on_a_full_disk_starts_and_is_drained() {
    for more in 0..6 {
        let (disk, engine, queue) = on_a_small_disk(4 * Options::tiny().segment_bytes + more * 12_000);
        let held = 20 + fill(&engine, &disk, queue);
        engine.close().unwrap();
        drop(engine);
        for _ in 0..3 {
            // A start that does nothing takes nothing.
            let (engine, report) = open(&disk).unwrap();
            assert!(report.clean && report.queues[0].messages == held, "{report:?}");
            engine.close().unwrap();
        }
        let (engine, _) = open(&disk).unwrap();
        drain(&engine, &disk, queue, held);
    }
}

#[test]
fn a_store_that_was_killed_on_a_full_disk_starts_and_is_drained() {
    let (disk, engine, queue) = on_a_small_disk(4 * Options::tiny().segment_bytes);
    let held = 20 + fill(&engine, &disk, queue);
    drop(engine);
    let disk = disk.after_kill();
    let (engine, report) = open(&disk).unwrap();
    assert_eq!(report.queues[0].messages, held);
    drain(&engine, &disk, queue, held);
}

/// A stopped store without a reserve, and the names of its journal. The last is of the segment that was prepared.
fn without_a_reserve(is_closed: bool) -> (SimDisk, Vec<String>) {
    let disk = SimDisk::new(1);
    let options = Options {
        spare_segments_max: 0,
        reserve_segments: 0,
        ..Options::tiny()
    };
    let (engine, _) = Engine::open(disk.clone(), options, ()).unwrap();
    let queue = durable_queue(&engine);
    for _ in 0..12 {
        let block = publish_all(&engine, [large_for(&[queue])]);
        engine.wait_durable(block).unwrap();
    }
    come_to_rest(&engine, &disk);
    assert!(engine.lock().shard().tail.has_next_segment());
    let disk = if is_closed {
        engine.close().unwrap();
        disk
    } else {
        // The last block is one that nothing behind it proves.
        let block = publish_all(&engine, [message_for(&[queue], &[b"last"])]);
        engine.wait_durable(block).unwrap();
        disk.after_kill()
    };
    let names = disk.list(JOURNAL_DIR).unwrap();
    let segments = names.into_iter().filter(|name| name.ends_with(".seg")).collect();
    disk.set_capacity(Some(disk.used_bytes()));
    (disk, segments)
}

#[test]
fn a_start_that_finds_no_room_leaves_everything_as_it_was() {
    let (disk, segments) = without_a_reserve(true);
    // The prepared one would do.
    let prepared = segments.last().unwrap();
    disk.remove(&format!("{JOURNAL_DIR}/{prepared}")).unwrap();
    disk.set_capacity(Some(disk.used_bytes()));
    let before = disk.list(JOURNAL_DIR).unwrap();
    for _ in 0..3 {
        let error = open(&disk).err().expect("there is no room");
        assert!(
            matches!(error, OpenError::DiskFull { needed, .. } if needed == Options::tiny().segment_bytes),
            "{error}"
        );
        assert_eq!(disk.list(JOURNAL_DIR).unwrap(), before);
    }
    disk.set_capacity(None);
    let (engine, report) = open(&disk).unwrap();
    assert!(report.clean, "it was stopped in order");
    assert_eq!(report.queues[0].messages, 12);
    engine.close().unwrap();
}

#[test]
fn a_crash_at_any_call_of_a_start_on_a_full_disk_loses_nothing() {
    for is_closed in [true, false] {
        let mut whole = 0;
        for seed in 0..4 {
            for call in 1..CALLS_MAX {
                let (disk, _) = without_a_reserve(is_closed);
                disk.crash_at(call);
                whole += u64::from(open(&disk).is_ok());
                let disk = disk.after_crash(&mut Rng::new(seed));
                let opened = open(&disk);
                // Once the block at the end stands in the segment that was prepared, another start needs another.
                let opened = opened.or_else(|error| {
                    assert!(!is_closed, "call {call}: {error}");
                    disk.set_capacity(None);
                    open(&disk)
                });
                let (engine, report) = opened.unwrap();
                let messages = if is_closed { 12 } else { 13 };
                let held = report.queues[0].messages;
                assert_eq!(held, messages, "{is_closed}, call {call}: {report:?}");
                assert!(
                    report.lost.is_empty() && report.quarantined.is_empty(),
                    "{report:?}"
                );
                drop(engine);
            }
        }
        assert!(whole > 0);
    }
}
