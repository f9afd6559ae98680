//! A few messages that stay do not pin the disk: they are moved together, and are what they were.

use crate::support::{
    Footers, RealEngine, ack, bodies, copy_dir, fetch, find, flip, held, open_with, publish,
    publish_transient_logged, queue, remove_derived, rest, seqs, wait_until,
};
use logpond_store::disk::{RealDisk, WriteMode};
use logpond_store::inspect::verify;
use logpond_store::{COLD, Counters, Options, QueueId, ReadError, RecoveryReport, Sources};
use std::path::Path;

const SEGMENT_BYTES: u64 = 64 << 10;
/// What a store with these options may take beyond twice what lives: the slack, the segment in use, the cold one in use,
/// and those that the two checkpoints still need.
const ROOM_BYTES: u64 = 8 * SEGMENT_BYTES;

fn options() -> Options {
    Options {
        evacuation_slack_bytes: 2 * SEGMENT_BYTES,
        checkpoint_ms: 5,
        ..Options::tiny()
    }
}

/// In each round one message that stays and some that come and go, more than a segment of them.
fn leave_one_of_many(store: &RealEngine, kept: QueueId, passing: QueueId, rounds: u8) {
    let burst: Vec<&[u8]> = vec![&[7; 4000]; 20];
    for round in 0..rounds {
        publish(store, &[kept], &[&[round; 100]]);
        publish(store, &[passing], &burst);
        let found = fetch(store, passing, 20);
        ack(store, passing, found[0].seq, 20);
    }
}

/// Lets the store do all that it wants to do.
fn come_to_rest(store: &RealEngine) -> Counters {
    wait_until("the disk is well used", || {
        rest(store);
        let counters = store.counters();
        counters.segment_bytes <= 2 * counters.live_bytes + ROOM_BYTES
    });
    store.counters()
}

fn firsts(store: &RealEngine, queue: QueueId) -> Vec<u8> {
    fetch(store, queue, 1000)
        .iter()
        .map(|found| found.body[0])
        .collect()
}

/// Opens the store by its log, and what is left of its footers.
fn rebuild(dir: &Path, footers: Footers) -> (RealEngine, RecoveryReport) {
    remove_derived(dir, footers);
    let (store, report) = open_with(dir, options());
    assert!(report.index_rebuilt);
    (store, report)
}

#[test]
fn one_message_of_each_segment_that_nobody_acknowledges_does_not_pin_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), options());
    let (kept, passing) = (queue(&store), queue(&store));
    leave_one_of_many(&store, kept, passing, 40);
    let counters = come_to_rest(&store);
    assert!(counters.copies >= 30, "{counters:?}");
    assert!(counters.segments_recycled >= 30, "{counters:?}");
    let expected: Vec<u8> = (0..40).collect();
    assert_eq!(firsts(&store, kept), expected);
    drop(store);

    let (store, report) = open_with(dir.path(), options());
    assert!(!report.index_rebuilt);
    assert_eq!(held(&report), [(kept, 40), (passing, 0)]);
    assert_eq!(firsts(&store, kept), expected);
    drop(store);

    let (store, report) = rebuild(dir.path(), Footers::Kept);
    assert_eq!((report.quarantined, report.lost), (vec![], vec![]));
    assert_eq!(firsts(&store, kept), expected);
}

#[test]
fn the_disk_stays_bounded_while_the_threads_of_the_store_work() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), options());
    store.start().unwrap();
    let (kept, passing) = (queue(&store), queue(&store));
    leave_one_of_many(&store, kept, passing, 20);
    wait_until("the disk is well used", || {
        let counters = store.counters();
        counters.segment_bytes <= 2 * counters.live_bytes + ROOM_BYTES
    });
    assert_eq!(firsts(&store, kept), (0..20).collect::<Vec<u8>>());
    store.close().unwrap();
}

#[test]
fn what_was_evacuated_can_be_acknowledged_and_stays_dead_without_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), options());
    let (kept, passing) = (queue(&store), queue(&store));
    leave_one_of_many(&store, kept, passing, 30);
    come_to_rest(&store);
    assert_eq!(fetch(&store, kept, 100).len(), 30);
    ack(&store, kept, 5, 20);
    drop(store);
    let (store, _) = rebuild(dir.path(), Footers::Kept);
    let expected: Vec<u8> = (0..5).chain(25..30).collect();
    assert_eq!(firsts(&store, kept), expected);
}

#[test]
fn cold_segments_are_recycled_when_all_that_was_moved_there_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), options());
    let (kept, passing) = (queue(&store), queue(&store));
    let large: Vec<&[u8]> = vec![&[9; 3000]; 4];
    for _ in 0..20 {
        publish(&store, &[kept], &large);
        leave_one_of_many(&store, kept, passing, 1);
    }
    let counters = come_to_rest(&store);
    assert!(counters.cold_segments >= 2, "{counters:?}");
    let found = fetch(&store, kept, 1000);
    ack(&store, kept, found[0].seq, 100);
    leave_one_of_many(&store, kept, passing, 2);
    wait_until("one cold segment is left at most", || {
        rest(&store);
        store.counters().cold_segments <= 1
    });
    let files = std::fs::read_dir(dir.path().join("shard-00/c")).unwrap();
    assert!(files.count() <= 1, "what is recycled gives its room back");
}

#[test]
fn a_message_to_many_queues_is_moved_once_for_those_that_still_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), options());
    let (passing, one, two, three) = (queue(&store), queue(&store), queue(&store), queue(&store));
    for _ in 0..30 {
        publish(&store, &[one, two, three], &[&[1; 2000]]);
        leave_one_of_many(&store, one, passing, 1);
    }
    fetch(&store, two, 30);
    ack(&store, two, 0, 30);
    let counters = come_to_rest(&store);
    let messages = 30 * (2000 + 100 + 200);
    assert!(counters.live_bytes < messages, "{counters:?}");
    drop(store);
    let (store, _) = rebuild(dir.path(), Footers::Kept);
    assert_eq!(fetch(&store, one, 100).len(), 60);
    assert_eq!(fetch(&store, two, 100).len(), 0);
    assert_eq!(bodies(&fetch(&store, three, 100)), vec![&[1; 2000][..]; 30]);
}

#[test]
fn a_queue_that_was_deleted_does_not_come_back_from_its_copies() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), options());
    let (kept, passing, deleted) = (queue(&store), queue(&store), queue(&store));
    for _ in 0..30 {
        publish(&store, &[kept, deleted], &[b"both"]);
        leave_one_of_many(&store, kept, passing, 1);
    }
    come_to_rest(&store);
    let gone = store.lock().shard().delete_queue(deleted).unwrap();
    store.wait_durable(gone).unwrap();
    // The record of its end lies in a segment that is recycled long before the copies.
    leave_one_of_many(&store, kept, passing, 30);
    come_to_rest(&store);
    drop(store);
    let (_store, report) = rebuild(dir.path(), Footers::Kept);
    assert_eq!(held(&report), [(kept, 90), (passing, 0)]);
}

#[test]
fn transient_messages_of_an_earlier_life_are_not_moved() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), options());
    let (kept, passing) = (queue(&store), queue(&store));
    for _ in 0..30 {
        publish_transient_logged(&store, kept, b"fleeting");
        leave_one_of_many(&store, passing, passing, 1);
    }
    drop(store);
    let (store, _) = open_with(dir.path(), options());
    let counters = come_to_rest(&store);
    assert!(counters.evacuations >= 20 && counters.copies < 10, "{counters:?}");
    assert!(fetch(&store, kept, 10).is_empty());
}

#[test]
fn a_lease_that_was_not_read_yet_keeps_its_segment() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), options());
    let (kept, passing) = (queue(&store), queue(&store));
    publish(&store, &[kept], &[&[0; 100]]);
    // While all of this lives nothing is moved; it is more than memory holds, so that the lease is of the disk.
    publish(&store, &[passing], &vec![&[7; 3900][..]; 100]);
    // The delivery mark has to be durable before anything is leased.
    let (mut leases, mut sources) = (Vec::new(), Sources::default());
    while leases.is_empty() {
        let leased = store
            .lock()
            .shard()
            .lease(kept, 1, u64::MAX, &mut leases, &mut sources);
        leased.unwrap();
        rest(&store);
    }
    assert_eq!((leases[0].source, store.counters().copies), (COLD, 0));
    fetch(&store, passing, 100);
    ack(&store, passing, 0, 100);
    come_to_rest(&store);
    leave_one_of_many(&store, kept, passing, 10);
    come_to_rest(&store);
    assert!(store.counters().copies > 0);
    let mut reader = store.reader();
    assert_eq!(reader.message(kept, &leases[0], &sources).unwrap().body, [0; 100]);
    sources.clear();
    wait_until("the segment goes that nobody holds", || {
        leave_one_of_many(&store, kept, passing, 1);
        rest(&store);
        let read = store
            .reader()
            .message(kept, &leases[0], &sources)
            .map(|read| read.priority);
        matches!(read, Err(ReadError::Gone))
    });
}

#[test]
fn a_copy_that_rots_costs_itself_alone_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), options());
    let (kept, passing) = (queue(&store), queue(&store));
    leave_one_of_many(&store, kept, passing, 30);
    come_to_rest(&store);
    drop(store);
    let cold = dir.path().join("shard-00/c/0000000000000001.seg");
    flip(&cold, find(&cold, &[3; 100]));

    let image = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), image.path());
    let (store, report) = rebuild(image.path(), Footers::Removed);
    assert_eq!(report.quarantined[0].file, "shard-00/c/0000000000000001.seg");
    assert_eq!((report.lost[0].queue, report.lost[0].first.get()), (kept, 3));
    assert_eq!((report.lost.len(), report.lost[0].count), (1, 1));
    let expected: Vec<u64> = (0..3).chain(4..30).collect();
    assert_eq!(seqs(&fetch(&store, kept, 100)), expected);

    // With the index, or a footer that it is rebuilt from, whoever reads it hears of it.
    let image = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), image.path());
    let (store, report) = rebuild(image.path(), Footers::Kept);
    assert!(report.segments_from_footers > 0, "{report:?}");
    assert_eq!((report.quarantined, damaged(&store, kept)), (vec![], vec![3]));
    let (store, report) = open_with(dir.path(), options());
    assert_eq!((report.quarantined, damaged(&store, kept)), (vec![], vec![3]));
}

/// The entries of a queue that cannot be read.
fn damaged(store: &RealEngine, kept: QueueId) -> Vec<u64> {
    let (mut leases, mut reader, sources) = (Vec::new(), store.reader(), Sources::default());
    let peeked = store
        .lock()
        .shard()
        .peek(kept, logpond_store::Seq::new(0), 100, &mut leases);
    peeked.unwrap();
    leases
        .iter()
        .filter(|lease| {
            let read = reader.message(kept, lease, &sources);
            matches!(read, Err(ReadError::Damaged { .. }))
        })
        .map(|lease| lease.seq.get())
        .collect()
}

#[test]
fn an_interrupted_copy_is_no_damage_once_a_rebuild_has_passed_it_over() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), options());
    let (kept, passing) = (queue(&store), queue(&store));
    leave_one_of_many(&store, kept, passing, 10);
    let image = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), image.path());
    come_to_rest(&store);
    drop(store);
    // The first copies, torn, beside all the originals.
    let copies = "shard-00/c/0000000000000001.seg";
    std::fs::copy(dir.path().join(copies), image.path().join(copies)).unwrap();
    let torn = std::fs::OpenOptions::new()
        .write(true)
        .open(image.path().join(copies))
        .unwrap();
    torn.set_len(8192).unwrap();
    flip(&image.path().join(copies), 4096 + 200);

    let (store, report) = rebuild(image.path(), Footers::Removed);
    assert_eq!((report.quarantined, report.lost), (vec![], vec![]));
    assert_eq!(firsts(&store, kept), (0..10).collect::<Vec<u8>>());
    store.close().unwrap();
    let disk = RealDisk::open(image.path(), WriteMode::DirectDsync).unwrap();
    assert_eq!(verify(&disk, &mut ()).unwrap().findings, []);
}

#[test]
fn a_rebuild_does_not_miss_transient_messages_of_an_earlier_process_whose_segment_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing is moved: the segment goes because all in it is dead, and no other does.
    let options = Options {
        evacuation_slack_bytes: 1 << 30,
        ..options()
    };
    let (store, _) = open_with(dir.path(), options.clone());
    let (kept, staying, passing) = (queue(&store), queue(&store), queue(&store));
    leave_one_of_many(&store, staying, passing, 1);
    publish(&store, &[kept], &[&[0; 100]]);
    publish_transient_logged(&store, kept, &[1; 100]);
    let bulk: Vec<&[u8]> = vec![&[7; 4000]; 20];
    publish(&store, &[passing], &bulk);
    leave_one_of_many(&store, staying, passing, 1);
    publish(&store, &[kept], &[&[2; 100]]);
    drop(store);

    let (store, _) = open_with(dir.path(), options);
    assert_eq!(seqs(&fetch(&store, kept, 10)), [0, 2]);
    ack(&store, kept, 0, 1);
    fetch(&store, passing, 100);
    ack(&store, passing, 0, 100);
    leave_one_of_many(&store, staying, passing, 2);
    wait_until("the segment of the first two messages is recycled", || {
        rest(&store);
        store.counters().segments_recycled > 0
    });
    drop(store);
    let (store, report) = rebuild(dir.path(), Footers::Removed);
    assert_eq!((report.quarantined, report.lost), (vec![], vec![]));
    assert_eq!(seqs(&fetch(&store, kept, 10)), [2]);
}
