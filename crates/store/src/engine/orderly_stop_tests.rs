//! What a start may take from an orderly stop: that the log ends at the last checkpoint.

use super::Engine;
use super::stepped::{durable_queue, lease, message_for, publish_all};
use crate::catalog::CatalogError;
use crate::checkpoint;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::error::OpenError;
use crate::segments::JOURNAL_DIR;
use crate::segments::segment_path;
use crate::shard::CheckpointWish;
use crate::tail::{Next, Take};
use crate::{DamagePolicy, Options, QueueId, RecoveryReport, SegmentNumber};

fn open(disk: &SimDisk) -> (Engine<SimDisk>, RecoveryReport) {
    Engine::open(disk.clone(), Options::tiny(), ()).unwrap()
}

fn publish(engine: &Engine<SimDisk>, queue: QueueId) {
    let block = publish_all(engine, [message_for(&[queue], &[b"body"])]);
    engine.wait_durable(block).unwrap();
}

#[test]
fn behind_the_checkpoint_of_an_orderly_stop_a_start_reads_nothing() {
    let reads_after = |stop: fn(&SimDisk, &Engine<SimDisk>) -> SimDisk| {
        let disk = SimDisk::new(1);
        let (engine, _) = open(&disk);
        let queue = durable_queue(&engine);
        publish(&engine, queue);
        let disk = stop(&disk, &engine);
        drop(engine);
        let before = disk.calls().reads;
        let (engine, report) = open(&disk);
        let reads = disk.calls().reads - before;
        assert_eq!(lease(&engine, queue, 9), [0], "{report:?}");
        reads
    };
    let closed = reads_after(|disk, engine| {
        engine.close().unwrap();
        disk.clone()
    });
    let killed = reads_after(|disk, engine| {
        engine.checkpoint();
        disk.after_kill()
    });
    assert!(closed < killed, "{closed} {killed}");
}

#[test]
fn what_is_confirmed_while_a_store_is_closed_is_there_again() {
    let disk = SimDisk::new(1);
    let (engine, _) = open(&disk);
    let queue = durable_queue(&engine);
    publish(&engine, queue);
    // Somebody publishes between the last checkpoint and the end.
    engine.inner.chore_until_clean();
    publish(&engine, queue);
    engine.inner.mark_closed().unwrap();
    drop(engine);
    let (engine, report) = open(&disk.after_kill());
    assert!(!report.clean);
    assert_eq!(lease(&engine, queue, 9), [0, 1]);
}

#[test]
fn what_is_confirmed_by_a_write_that_ends_after_the_stop_is_there_again() {
    let disk = SimDisk::new(1);
    let (engine, _) = open(&disk);
    let queue = durable_queue(&engine);
    engine.inner.chore_until_clean();
    let block = publish_all(&engine, [message_for(&[queue], &[b"body"])]);
    let next = engine.lock().shard().next_write(disk.now(), Take::All);
    let Next::Write(job) = next else {
        panic!("a message waits");
    };
    engine.inner.mark_closed().unwrap();
    engine.inner.complete(job.perform());
    assert!(engine.lock().shard().durable().covers(block));
    drop(engine);
    let (engine, _) = open(&disk.after_kill());
    assert_eq!(lease(&engine, queue, 9), [0]);
}

#[test]
fn the_checkpoint_of_an_earlier_stop_is_not_the_end_of_the_log() {
    let disk = SimDisk::new(1);
    let (engine, _) = open(&disk);
    let queue = durable_queue(&engine);
    publish(&engine, queue);
    engine.close().unwrap();
    drop(engine);
    let (engine, _) = open(&disk);
    publish(&engine, queue);
    engine.close().unwrap();
    drop(engine);
    // The newest is lost, and the one before was the last of its process, too.
    let newest = checkpoint::list(&disk).unwrap()[0];
    checkpoint::remove(&disk, newest).unwrap();
    let (engine, report) = open(&disk);
    assert!(
        !report.index_rebuilt && report.records_appended_again == 1,
        "{report:?}"
    );
    assert!(report.clean, "it was stopped in order all the same");
    assert_eq!(lease(&engine, queue, 9), [0, 1]);
}

#[test]
fn the_definitions_of_a_closed_store_are_not_written_any_more() {
    let disk = SimDisk::new(1);
    let (engine, _) = open(&disk);
    engine.catalog().put(b"before", &1_u8).unwrap();
    engine.close().unwrap();
    let refused = engine.catalog().put(b"behind", &2_u8);
    assert!(matches!(refused, Err(CatalogError::Closed)), "{refused:?}");
    let (engine, _) = open(&disk);
    assert_eq!(engine.catalog().iter().count(), 1);
}

#[test]
fn a_checkpoint_that_was_taken_on_the_way_is_not_the_end_of_the_log() {
    let disk = SimDisk::new(1);
    let (engine, _) = open(&disk);
    let queue = durable_queue(&engine);
    while engine.inner.chore(CheckpointWish::Now) == super::Did::Done {}
    publish(&engine, queue);
    engine.close().unwrap();
    drop(engine);
    let newest = checkpoint::list(&disk).unwrap()[0];
    checkpoint::remove(&disk, newest).unwrap();
    let (engine, _) = open(&disk);
    assert_eq!(lease(&engine, queue, 9), [0]);
}

#[test]
fn of_two_checkpoints_of_a_stop_the_first_is_not_taken_for_the_end_of_the_log() {
    let disk = SimDisk::new(1);
    let (engine, _) = open(&disk);
    let queue = durable_queue(&engine);
    // Two close the store at once, and somebody publishes between their checkpoints.
    engine.inner.chore_until_clean();
    publish(&engine, queue);
    engine.inner.chore_until_clean();
    engine.inner.mark_closed().unwrap();
    drop(engine);
    let disk = disk.after_kill();
    let newest = checkpoint::list(&disk).unwrap()[0];
    checkpoint::remove(&disk, newest).unwrap();
    let (engine, _) = open(&disk);
    assert_eq!(lease(&engine, queue, 9), [0]);
}

#[test]
fn a_log_that_lost_its_segments_is_refused_and_stays_as_it_is() {
    let disk = SimDisk::new(1);
    let (engine, _) = open(&disk);
    let queue = durable_queue(&engine);
    publish(&engine, queue);
    engine.close().unwrap();
    drop(engine);
    for name in disk.list(JOURNAL_DIR).unwrap() {
        disk.remove(&format!("{JOURNAL_DIR}/{name}")).unwrap();
    }
    for _ in 0..2 {
        let refused = Engine::open(disk.clone(), Options::tiny(), ()).err();
        assert!(
            matches!(refused, Some(OpenError::Incomplete { .. })),
            "{refused:?}"
        );
    }
    for lsn in checkpoint::list(&disk).unwrap() {
        checkpoint::remove(&disk, lsn).unwrap();
    }
    let (engine, _) = open(&disk);
    assert!(engine.lock().shard().counts(queue).is_none(), "as it was told");
}

#[test]
fn a_store_that_was_stopped_in_order_is_told_as_such_whatever_the_options_are_now() {
    let tiny = Options::tiny;
    let others: [fn(&mut Options); 4] = [
        |options| options.segment_bytes *= 2,
        |options| options.slab_bytes *= 2,
        |options| options.slab_bytes = 64 << 10,
        |options| *options = Options::default(),
    ];
    for change in others {
        let disk = SimDisk::new(1);
        let (engine, report) = open(&disk);
        assert!(report.created && !report.clean, "nobody had it before");
        let queue = durable_queue(&engine);
        publish(&engine, queue);
        assert_eq!(lease(&engine, queue, 9), [0]);
        engine.close().unwrap();
        drop(engine);
        let mut options = tiny();
        change(&mut options);
        let has_other_slabs = options.slab_bytes != tiny().slab_bytes;
        let (engine, report): (Engine<SimDisk>, _) = Engine::open(disk.clone(), options.clone(), ()).unwrap();
        assert!(report.clean, "{options:?}");
        assert_eq!(report.index_rebuilt, has_other_slabs, "{options:?}");
        assert_eq!(lease(&engine, queue, 9), [0]);
        drop(engine);
        let (_engine, report): (Engine<SimDisk>, _) = Engine::open(disk, options, ()).unwrap();
        assert!(!report.clean, "this one was not stopped");
    }
}

#[test]
fn a_start_that_refuses_damage_leaves_an_orderly_stop_and_its_checkpoints() {
    let disk = SimDisk::new(1);
    let (engine, _) = open(&disk);
    let queue = durable_queue(&engine);
    publish(&engine, queue);
    engine.checkpoint();
    publish(&engine, queue);
    engine.close().unwrap();
    drop(engine);
    let before = checkpoint::list(&disk).unwrap();
    disk.flip_bit(&checkpoint::path(before[1]), 8 * 40).unwrap();
    disk.flip_bit(&segment_path(SegmentNumber::new(1)), 8 * 20)
        .unwrap();
    let refusing = Options {
        damage: DamagePolicy::Refuse,
        ..Options::tiny()
    };
    let refused = Engine::open(disk.clone(), refusing, ());
    assert!(matches!(refused, Err(OpenError::Damaged(_))));
    assert_eq!(checkpoint::list(&disk).unwrap(), before);
    let (engine, report) = open(&disk);
    assert!(report.clean && report.quarantined.len() == 1, "{report:?}");
    assert_eq!(lease(&engine, queue, 9), [0, 1]);
    assert_eq!(checkpoint::list(&disk).unwrap(), before[..1]);
}
