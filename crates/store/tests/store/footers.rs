//! Footers save a rebuild the bodies, and are believed only where the log bears them out.

use crate::support::{
    Footers, RealEngine, ack, copy_dir, fetch, find, flip, footers, held, no_checkpoints, open, open_with,
    publish, queue, remove_derived, requeue, rest, segment_name, seqs, wait_until,
};
use logpond_store::disk::{Disk, RealDisk, WriteMode};
use logpond_store::inspect::{Inspector, Part, plan, repair, verify};
use logpond_store::{Options, QueueId, ReadError, RecoveryReport, Seq, Sources};
use std::path::Path;

/// The first segment's.
const FIRST: &str = "shard-00/j/0000000000000001.footer";

/// A store of several segments, with a message in each of their pages, some of them acknowledged, requeued or delivered.
fn fill(dir: &Path, options: Options) -> (RealEngine, QueueId) {
    let (store, _) = open_with(dir, options);
    let orders = queue(&store);
    for number in 0..60 {
        publish(&store, &[orders], &[&[number; 3700]]);
        rest(&store);
    }
    fetch(&store, orders, 50);
    ack(&store, orders, 0, 3);
    ack(&store, orders, 10, 20);
    requeue(&store, orders, 35);
    publish(&store, &[orders], &[b"the last one"]);
    rest(&store);
    (store, orders)
}

fn contents(store: &RealEngine, queue: QueueId) -> Vec<(u64, bool, u8)> {
    let found = fetch(store, queue, 1000);
    let content = found
        .iter()
        .map(|found| (found.seq, found.redelivered, found.body[0]));
    content.collect()
}

/// What a start finds in a copy of `dir` without index and checkpoints.
fn rebuilt(dir: &Path, footers: Footers, queue: QueueId) -> (RecoveryReport, Vec<(u64, bool, u8)>) {
    let image = tempfile::tempdir().unwrap();
    copy_dir(dir, image.path());
    remove_derived(image.path(), footers);
    let (store, report) = open_with(image.path(), no_checkpoints());
    assert!(report.index_rebuilt);
    let contents = contents(&store, queue);
    (report, contents)
}

#[test]
fn a_rebuild_from_footers_finds_what_one_from_blocks_finds_and_reads_no_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = fill(dir.path(), no_checkpoints());
    let sealed = store.counters().rolls;
    assert!(sealed >= 3);
    assert_eq!(store.counters().footers_written, sealed);
    drop(store);

    let (from_footers, contents) = rebuilt(dir.path(), Footers::Kept, orders);
    let (from_blocks, same) = rebuilt(dir.path(), Footers::Removed, orders);
    assert_eq!(contents, same);
    assert_eq!(contents.len(), 38);
    assert_eq!(held(&from_footers), held(&from_blocks));
    assert_eq!(from_footers.segments_from_footers, sealed);
    assert!(from_footers.segments_from_blocks <= 2, "{from_footers:?}");
    assert_eq!(from_blocks.segments_from_footers, 0);
    assert!(from_footers.bytes_replayed * 2 < from_blocks.bytes_replayed);
    assert_eq!(from_footers.blocks_replayed, from_blocks.blocks_replayed);
}

#[test]
fn a_start_with_its_index_reads_no_footer() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = fill(dir.path(), no_checkpoints());
    store.checkpoint();
    drop(store);
    let (_store, report) = open(dir.path());
    assert!(!report.index_rebuilt);
    assert_eq!(
        (report.segments_from_footers, report.segments_from_blocks),
        (0, 0)
    );
}

#[test]
fn a_segment_of_small_messages_gets_no_footer() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        footer_fraction: 24,
        ..no_checkpoints()
    };
    let (store, _) = open_with(dir.path(), options);
    let orders = queue(&store);
    let small: Vec<&[u8]> = vec![b"16 bytes of body"; 40];
    while store.counters().rolls < 2 {
        publish(&store, &[orders], &small);
        rest(&store);
    }
    assert!(footers(dir.path()).is_empty());
    // The next segment is judged anew.
    while store.counters().rolls < 4 {
        publish(&store, &[orders], &[&[1; 4000]]);
        rest(&store);
    }
    assert_eq!(footers(dir.path()).len(), 1);
}

#[test]
fn a_segment_of_an_epoch_begins_with_what_was_appended_again_and_so_does_its_footer() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), no_checkpoints());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"appended again"]);
    drop(store);
    let (store, report) = open_with(dir.path(), no_checkpoints());
    assert_eq!(report.records_appended_again, 1);
    while store.counters().footers_written == 0 {
        publish(&store, &[orders], &[&[1; 3700]]);
        rest(&store);
    }
    drop(store);
    let (report, contents) = rebuilt(dir.path(), Footers::Kept, orders);
    assert_eq!(report.segments_from_footers, 1);
    assert_eq!(contents[0], (0, false, b'a'));
}

#[test]
fn a_damaged_footer_costs_nothing_but_time_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = fill(dir.path(), no_checkpoints());
    store.close().unwrap();
    let disk = RealDisk::open_read_only(dir.path()).unwrap();
    let sound = verify(&disk, &mut ()).unwrap();
    assert_eq!((sound.findings, sound.footers > 2), (vec![], true));
    let (before, contents) = rebuilt(dir.path(), Footers::Kept, orders);

    flip(&dir.path().join(FIRST), 200);
    let (report, same) = rebuilt(dir.path(), Footers::Kept, orders);
    assert_eq!((&report.quarantined, &report.lost), (&vec![], &vec![]));
    assert_eq!(report.segments_from_footers, before.segments_from_footers - 1);
    assert_eq!(same, contents);

    let found = verify(&disk, &mut ()).unwrap().findings;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].file.as_str(), found[0].part), (FIRST, Part::Footer));
    let disk = RealDisk::open(dir.path(), WriteMode::BufferedFdatasync).unwrap();
    repair(&disk, &disk.lock().unwrap(), &mut ()).unwrap();
    assert!(!dir.path().join(FIRST).exists());
    assert!(verify(&disk, &mut ()).unwrap().is_sound());
}

#[test]
fn a_body_that_rots_is_found_when_it_is_read_and_a_repair_lets_the_blocks_speak_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = fill(dir.path(), no_checkpoints());
    store.close().unwrap();
    let segment = dir.path().join(segment_name(1));
    flip(&segment, find(&segment, &[5; 3700]));

    let image = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), image.path());
    remove_derived(image.path(), Footers::Kept);
    let (store, report) = open(image.path());
    assert_eq!((&report.quarantined, &report.lost), (&vec![], &vec![]));
    let (mut leases, mut reader, sources) = (Vec::new(), store.reader(), Sources::default());
    let peeked = store.lock().shard().peek(orders, Seq::new(0), 1000, &mut leases);
    peeked.unwrap();
    let unread = leases.iter().filter_map(|lease| {
        let read = reader.message(orders, lease, &sources);
        matches!(read, Err(ReadError::Damaged { .. })).then_some(lease.seq.get())
    });
    assert_eq!(unread.collect::<Vec<u64>>(), [5]);

    let disk = RealDisk::open(dir.path(), WriteMode::BufferedFdatasync).unwrap();
    let planned = plan(&disk, &mut ()).unwrap();
    assert_eq!(planned.report.lost.len(), 1);
    repair(&disk, &disk.lock().unwrap(), &mut ()).unwrap();
    assert!(!dir.path().join(FIRST).exists(), "{planned:?}");
    let (report, contents) = rebuilt(dir.path(), Footers::Kept, orders);
    assert_eq!(report.lost.len(), 1, "{report:?}");
    assert!(contents.iter().all(|(seq, ..)| *seq != 5));
}

#[test]
fn a_segment_whose_last_block_is_damaged_is_read_from_its_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = fill(dir.path(), no_checkpoints());
    store.close().unwrap();
    let disk = RealDisk::open_read_only(dir.path()).unwrap();
    let detail = Inspector::new(&disk)
        .unwrap()
        .segment(logpond_store::SegmentNumber::new(1));
    let blocks = detail.unwrap().blocks;
    flip(
        &dir.path().join(segment_name(1)),
        blocks[blocks.len() - 1].offset + 40,
    );
    let (before, _) = rebuilt(dir.path(), Footers::Removed, orders);
    let (report, _) = rebuilt(dir.path(), Footers::Kept, orders);
    assert_eq!(report.quarantined, before.quarantined);
    assert_eq!(report.quarantined.len(), 1);
    assert!(report.segments_from_footers > 0);
}

#[test]
fn a_footer_goes_with_its_segment() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        checkpoint_ms: 5,
        evacuation_slack_bytes: 64 << 20,
        ..Options::tiny()
    };
    let (store, orders) = fill(dir.path(), options);
    assert!(dir.path().join(FIRST).exists());
    fetch(&store, orders, 100);
    ack(&store, orders, 0, 61);
    wait_until("the first segment is recycled", || {
        rest(&store);
        !dir.path().join(segment_name(1)).exists()
    });
    assert!(!dir.path().join(FIRST).exists());
}

#[test]
fn a_start_removes_footers_that_no_segment_has() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = fill(dir.path(), no_checkpoints());
    drop(store);
    let stray = "shard-00/j/00000000000000ff.footer";
    let unfinished = "shard-00/j/0000000000000002.footer.new";
    for path in [stray, unfinished] {
        std::fs::copy(dir.path().join(FIRST), dir.path().join(path)).unwrap();
    }
    let disk = RealDisk::open_read_only(dir.path()).unwrap();
    assert_eq!(verify(&disk, &mut ()).unwrap().findings, []);
    let before = footers(dir.path());
    let (store, _) = open_with(dir.path(), no_checkpoints());
    let after = footers(dir.path());
    assert!(before.contains(&stray.to_owned()) && !after.contains(&stray.to_owned()));
    assert!(!after.contains(&unfinished.to_owned()));
    assert_eq!(after.len(), before.len() - 2);
    assert_eq!(seqs(&fetch(&store, orders, 100)).len(), 38);
}

#[test]
fn a_start_that_cuts_a_sealed_segment_removes_its_footer_and_nobody_believed_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = fill(dir.path(), no_checkpoints());
    drop(store);
    // All behind the first segment was torn off: so its last block is not proven, and is written again.
    let disk = RealDisk::open_read_only(dir.path()).unwrap();
    let later = Inspector::new(&disk).unwrap().segments().unwrap();
    for segment in later.iter().skip(1).filter(|segment| segment.first_lsn.is_some()) {
        std::fs::remove_file(dir.path().join(&segment.file)).unwrap();
    }
    let (_, contents) = rebuilt(dir.path(), Footers::Removed, orders);
    let (report, same) = rebuilt(dir.path(), Footers::Kept, orders);
    assert_eq!(
        (report.segments_from_footers, report.records_appended_again),
        (0, 1)
    );
    assert_eq!(contents, same);

    let stale = std::fs::read(dir.path().join(FIRST)).unwrap();
    remove_derived(dir.path(), Footers::Kept);
    let (store, _) = open_with(dir.path(), no_checkpoints());
    assert!(footers(dir.path()).is_empty());
    drop(store);
    // Had a crash brought it back, the next rebuild would know that it is of a log that went on elsewhere.
    std::fs::write(dir.path().join(FIRST), stale).unwrap();
    assert_eq!(verify(&disk, &mut ()).unwrap().findings, []);
    let (report, same) = rebuilt(dir.path(), Footers::Kept, orders);
    assert_eq!(report.segments_from_footers, 0);
    assert_eq!(same, contents);
}

#[test]
fn a_footer_under_the_name_of_another_segment_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = fill(dir.path(), no_checkpoints());
    store.close().unwrap();
    let (_, contents) = rebuilt(dir.path(), Footers::Removed, orders);
    let second = "shard-00/j/0000000000000002.footer";
    std::fs::copy(dir.path().join(FIRST), dir.path().join(second)).unwrap();
    let (report, same) = rebuilt(dir.path(), Footers::Kept, orders);
    assert_eq!(same, contents);
    assert!(report.segments_from_footers > 0 && report.segments_from_blocks > 0);
    let disk = RealDisk::open_read_only(dir.path()).unwrap();
    let found = verify(&disk, &mut ()).unwrap().findings;
    assert_eq!((found[0].file.as_str(), found[0].part), (second, Part::Footer));
}

#[test]
fn inspect_shows_the_footer_of_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), no_checkpoints()).0.close().unwrap();
    let disk = RealDisk::open_read_only(dir.path()).unwrap();
    let detail = Inspector::new(&disk)
        .unwrap()
        .segment(logpond_store::SegmentNumber::new(1))
        .unwrap();
    let footer = detail.footer.unwrap();
    assert_eq!(footer.file, FIRST);
    assert_eq!(footer.blocks, Some(u64::try_from(detail.blocks.len()).unwrap()));
    flip(&dir.path().join(FIRST), 20);
    let detail = Inspector::new(&disk)
        .unwrap()
        .segment(logpond_store::SegmentNumber::new(1))
        .unwrap();
    assert_eq!(detail.footer.unwrap().blocks, None);
}

#[test]
fn copies_that_were_evacuated_are_rebuilt_from_the_footers_of_their_segments() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        evacuation_slack_bytes: 64 << 10,
        checkpoint_ms: 5,
        ..Options::tiny()
    };
    let (store, _) = open_with(dir.path(), options);
    let (kept, passing) = (queue(&store), queue(&store));
    let burst: Vec<&[u8]> = vec![&[7; 4000]; 20];
    let mut rounds = 0;
    while !footers(dir.path()).iter().any(|name| name.contains("/c/")) {
        publish(&store, &[kept], &[&[rounds; 3000]]);
        publish(&store, &[passing], &burst);
        let found = fetch(&store, passing, 20);
        ack(&store, passing, found[0].seq, 20);
        rest(&store);
        rounds += 1;
    }
    drop(store);
    let (report, contents) = rebuilt(dir.path(), Footers::Kept, kept);
    let (_, same) = rebuilt(dir.path(), Footers::Removed, kept);
    assert!(report.segments_from_footers > 0);
    assert_eq!(contents, same);
    let firsts: Vec<u8> = contents.iter().map(|(.., first)| *first).collect();
    assert_eq!(firsts, (0..rounds).collect::<Vec<u8>>());
}
