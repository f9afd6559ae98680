//! What rot costs: the record that it hit, and nothing else.

use crate::support::{
    Footers, ack, append, bodies, copy_dir, fetch, find, flip, held, index_file, no_checkpoints, open,
    open_with, publish, queue, redelivered, remove_checkpoints, remove_derived, rest, segment_name, seqs,
    wait_until,
};
use logpond_store::{
    AppendError, Batch, LostEntries, Message, Persistence, Quarantined, QueueDurability, QueueId,
    QueueOptions, RecoveryReport, Seq, Sources, Store,
};
use std::path::Path;
use tempfile::TempDir;

const FIRST_SEGMENT: u64 = 1;
const PAGE: u64 = 4096;

#[test]
fn the_log_alone_rebuilds_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    for _ in 0..100 {
        publish(&store, &[orders], &[&[1; 2000]]);
    }
    fetch(&store, orders, 50);
    ack(&store, orders, 10, 20);
    ack(&store, orders, 0, 5);
    store.checkpoint();
    drop(store);
    remove_checkpoints(dir.path());
    std::fs::remove_dir_all(dir.path().join("shard-00/x")).unwrap();
    let (store, report) = open(dir.path());
    assert!(report.index_rebuilt);
    assert_eq!(held(&report), [(orders, 75)]);
    let expected: Vec<u64> = (5..10).chain(30..100).collect();
    assert_eq!(seqs(&fetch(&store, orders, 1000)), expected);
}

#[test]
fn a_rotten_index_page_that_a_start_meets_is_rebuilt_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b"]);
    store.checkpoint();
    // Behind the checkpoint, so that the start has to change the page.
    publish(&store, &[orders], &[b"c"]);
    publish(&store, &[orders], &[b"d"]);
    drop(store);
    flip(&index_file(dir.path()), 70);
    let (store, report) = open(dir.path());
    assert!(report.index_rebuilt);
    assert_nothing_lost(&report);
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"a", b"b", b"c", b"d"]);
    store.close().unwrap();
    let (store, report) = open(dir.path());
    assert!(!report.index_rebuilt, "the rebuilt index is sound");
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"a", b"b", b"c", b"d"]);
}

#[test]
fn a_rotten_index_page_that_a_consumer_meets_stops_the_store_and_the_next_start_rebuilds_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b"]);
    fetch(&store, orders, 1);
    store.close().unwrap();
    flip(&index_file(dir.path()), 70);

    // A start reads no page that it does not need, so that a long backlog does not make it slow.
    let (store, report) = open(dir.path());
    assert!(!report.index_rebuilt);
    let (mut leases, mut sources) = (Vec::new(), Sources::default());
    let met = store
        .lock()
        .shard()
        .lease(orders, 1, 1, &mut leases, &mut sources);
    assert!(
        matches!(&met, Err(AppendError::Poisoned(cause)) if cause.file == "shard-00/x"),
        "{met:?}"
    );
    assert!(leases.is_empty(), "nothing is delivered by a rotten page");
    drop(store);

    let (store, report) = open(dir.path());
    assert!(report.index_rebuilt);
    assert_nothing_lost(&report);
    let found = fetch(&store, orders, 10);
    assert_eq!(bodies(&found), [b"a", b"b"]);
    assert!(redelivered(&found)[0], "the first was delivered before");
}

#[test]
fn a_segment_whose_header_rots_keeps_all_its_messages() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a"]);
    publish(&store, &[orders], &[b"b"]);
    drop(store);
    flip(&dir.path().join(segment_name(FIRST_SEGMENT)), 20);
    let (store, report) = open(dir.path());
    assert_eq!(report.quarantined, [rotten_page(0, 0)]);
    assert_eq!((&report.torn, report.lost.as_slice()), (&None, &[][..]));
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"a", b"b"]);
}

#[test]
fn a_rotten_block_at_the_cut_of_a_segment_is_damage_whatever_became_of_the_files_size() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), no_checkpoints());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a"]);
    publish(&store, &[orders], &[b"the last"]);
    store.close().unwrap();
    // The log goes on in a segment of the next epoch, and nothing is written there.
    drop(open_with(dir.path(), no_checkpoints()));
    let path = dir.path().join(segment_name(FIRST_SEGMENT));
    let block = find(&path, b"the last") / PAGE * PAGE;
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(block + PAGE).unwrap();
    // Two bits of its header, so that it cannot be mended.
    flip(&path, block + 11);
    flip(&path, block + 59);
    remove_checkpoints(dir.path());
    let (store, report) = open_with(dir.path(), no_checkpoints());
    assert_eq!(report.quarantined, [rotten_page(block, 1)]);
    assert_eq!(bodies(&fetch(&store, orders, 10)), [&b"a"[..], b"the last"]);
}

#[test]
fn a_segment_in_which_every_header_rots_is_what_the_checkpoint_says_and_keeps_its_messages() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), no_checkpoints());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a"]);
    publish(&store, &[orders], &[b"b"]);
    store.checkpoint();
    drop(store);
    let segment = dir.path().join(segment_name(FIRST_SEGMENT));
    for page in 0..std::fs::metadata(&segment).unwrap().len() / 4096 {
        flip(&segment, page * 4096 + 20);
    }

    let without_index = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), without_index.path());
    std::fs::remove_file(index_file(without_index.path())).unwrap();
    for image in [dir.path(), without_index.path()] {
        let (store, report) = open(image);
        assert_eq!(report.quarantined[0], rotten_page(0, 0));
        assert_eq!(report.lost, []);
        assert_eq!(bodies(&fetch(&store, orders, 10)), [b"a", b"b"]);
    }
}

#[test]
fn a_block_whose_header_rots_before_the_cut_of_a_later_start_keeps_its_records() {
    let (image, orders) = restarted_image(&[b"second"]);
    let segment = image.path().join(segment_name(FIRST_SEGMENT));
    let block = find(&segment, b"second") / 4096 * 4096;
    flip(&segment, block + 40);
    let (store, report) = open(image.path());
    assert_eq!(report.quarantined, [rotten_page(block, 1)]);
    assert_eq!((&report.torn, report.lost.as_slice()), (&None, &[][..]));
    assert_eq!(bodies(&fetch(&store, orders, 10)), [&b"first"[..], b"second"]);
}

#[test]
fn a_message_that_rots_before_the_cut_of_a_later_start_costs_none_of_its_block() {
    let (image, orders) = restarted_image(&[b"second", b"third-rots"]);
    let segment = image.path().join(segment_name(FIRST_SEGMENT));
    let rot = find(&segment, b"third-rots");
    flip(&segment, rot);
    let (store, report) = open(image.path());
    assert_eq!(report.quarantined, [rotten_page(rot / 4096 * 4096, 1)]);
    assert_eq!(report.torn, None);
    assert_eq!(bodies(&fetch(&store, orders, 10)), [&b"first"[..], b"second"]);
}

#[test]
fn a_body_that_looks_like_records_cannot_mislead_the_search_for_intact_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    // Wherever the search looks in it, there stands the beginning of a record.
    let body: Vec<u8> = std::iter::repeat_n(0_u8, 7)
        .chain((0..500).flat_map(|_| 0x201_u32.to_le_bytes()))
        .collect();
    publish(&store, &[orders], &[&body]);
    publish(&store, &[orders], &[b"later"]);
    publish(&store, &[orders], &[b"latest"]);
    drop(store);
    let segment = dir.path().join(segment_name(FIRST_SEGMENT));
    let rot = find(&segment, &body[..64]);
    flip(&segment, rot + 1000);
    let (store, report) = open(dir.path());
    assert_eq!(report.quarantined, [rotten_page(rot / 4096 * 4096, 0)]);
    let lost = LostEntries {
        queue: orders,
        first: Seq::new(0),
        count: 1,
    };
    assert_eq!(report.lost, [lost]);
    assert_eq!(report.torn, None);
    assert_eq!(bodies(&fetch(&store, orders, 10)), [&b"later"[..], b"latest"]);
}

/// The directory of a store that died idle, its last block covered by a MARK, and was opened once since: that start
/// cut the log. The queue holds `first` and, in a block of their own, the messages of `batch`.
fn restarted_image(batch: &[&[u8]]) -> (TempDir, QueueId) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), no_checkpoints());
    store.start().unwrap();
    let orders = queue(&store);
    publish(&store, &[orders], &[b"first"]);
    let block = append(&store, Persistence::Persistent, &[orders], batch);
    store.commit(batch.len());
    store.wait_durable(block).unwrap();
    wait_until("the idle log is marked", || store.counters().blocks > block.get());
    let image = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), image.path());
    store.close().unwrap();
    drop(open(image.path()));
    (image, orders)
}

fn rotten_page(offset: u64, records_kept: u64) -> Quarantined {
    Quarantined {
        file: segment_name(FIRST_SEGMENT),
        offset,
        bytes: PAGE,
        records_kept,
    }
}

/// A store that ended with two messages in a queue that was made behind its checkpoint. The record that made it rotted.
fn store_with_a_queue_whose_making_rotted(dir: &Path) -> QueueId {
    let (store, _) = open_with(dir, no_checkpoints());
    let other = queue(&store);
    publish(&store, &[other], &[b"x"]);
    store.checkpoint();
    let orders = queue(&store);
    publish(&store, &[orders], &[b"first"]);
    publish(&store, &[orders], &[b"second"]);
    publish(&store, &[other], &[b"y"]);
    drop(store);
    let path = dir.join(segment_name(FIRST_SEGMENT));
    flip(&path, find_last(&path, b"orders"));
    orders
}

fn find_last(path: &Path, needle: &[u8]) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(needle.len()).rposition(|window| window == needle);
    u64::try_from(at.unwrap()).unwrap()
}

#[test]
fn messages_of_a_queue_whose_making_rotted_behind_the_checkpoint_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let orders = store_with_a_queue_whose_making_rotted(dir.path());
    let (store, report) = open_with(dir.path(), no_checkpoints());
    assert!(!report.index_rebuilt && report.quarantined.len() == 1);
    assert_eq!(report.lost, []);
    assert!(held(&report).contains(&(orders, 2)), "{:?}", held(&report));
    assert_eq!(
        bodies(&fetch(&store, orders, 10)),
        [b"first".as_slice(), b"second"]
    );
}

#[test]
fn what_is_published_to_a_queue_whose_making_rotted_survives_a_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let orders = store_with_a_queue_whose_making_rotted(dir.path());
    let (store, report) = open_with(dir.path(), no_checkpoints());
    if !held(&report).iter().any(|(id, _)| *id == orders) {
        let made = store
            .lock()
            .shard()
            .create_queue(orders, QueueDurability::Durable, b"orders");
        store.wait_durable(made.unwrap()).unwrap();
    }
    publish(&store, &[orders], &[b"third"]);
    store.close().unwrap();
    remove_derived(dir.path(), Footers::Removed);
    let (store, report) = open_with(dir.path(), no_checkpoints());
    assert!(report.index_rebuilt);
    let found = fetch(&store, orders, 10);
    assert_eq!(bodies(&found), [b"first".as_slice(), b"second", b"third"]);
}

#[test]
fn an_embedded_store_keeps_what_it_confirmed_around_the_rot_of_the_making_of_a_queue() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), no_checkpoints()).unwrap();
    store.queue("other", QueueOptions::default()).unwrap();
    store.close().unwrap();
    let (store, _) = Store::open(dir.path(), no_checkpoints()).unwrap();
    let orders = store.queue("orders", QueueOptions::default()).unwrap();
    let publish = |store: &Store, orders, body: &'static [u8]| {
        let mut batch = Batch::new();
        batch.publish(&[orders], Message::new(body));
        store.commit(batch).unwrap();
    };
    publish(&store, orders.id(), b"first");
    publish(&store, orders.id(), b"second");
    drop((orders, store));
    for entry in std::fs::read_dir(dir.path().join("shard-00/j")).unwrap() {
        let (path, name) = (entry.unwrap().path(), b"store/queue/orders");
        let bytes = std::fs::read(&path).unwrap();
        if bytes.windows(name.len()).any(|window| window == name) {
            flip(&path, find_last(&path, name));
        }
    }
    let (store, _) = Store::open(dir.path(), no_checkpoints()).unwrap();
    let orders = store.find_queue("orders").unwrap();
    publish(&store, orders.id(), b"third");
    drop(orders);
    store.close().unwrap();
    drop(store);
    remove_derived(dir.path(), Footers::Removed);
    let (store, _) = Store::open(dir.path(), no_checkpoints()).unwrap();
    let orders = store.find_queue("orders").unwrap();
    let found: Vec<_> = orders.browse().map(|entry| entry.unwrap().body).collect();
    assert_eq!(found, [b"first".as_slice(), b"second", b"third"]);
}

#[test]
fn a_segment_that_is_missing_behind_the_checkpoint_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), no_checkpoints());
    let (orders, other) = (queue(&store), queue(&store));
    publish(&store, &[orders], &[b"x"]);
    store.checkpoint();
    let fill = |queue, blocks| {
        for _ in 0..blocks {
            publish(&store, &[queue], &[&[7; 6000]]);
            rest(&store);
        }
    };
    // All that follows of `orders` lies in the second segment, and of `other` before and behind it.
    fill(other, 8);
    fill(orders, 4);
    fill(other, 20);
    drop(store);
    std::fs::remove_file(dir.path().join(segment_name(FIRST_SEGMENT + 1))).unwrap();
    let (store, report) = open_with(dir.path(), no_checkpoints());
    assert!(!report.index_rebuilt);
    let told: Vec<_> = report.quarantined.iter().map(|range| &*range.file).collect();
    assert_eq!(told, [segment_name(FIRST_SEGMENT + 1)]);
    assert!(report.lost.iter().all(|lost| lost.queue == other) && !report.lost.is_empty());
    drop(store);
    let (_, report) = open_with(dir.path(), no_checkpoints());
    assert_eq!(
        report.quarantined.len(),
        1,
        "it is told until a checkpoint was taken"
    );
}

#[test]
fn a_segment_that_is_missing_after_an_orderly_stop_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    for number in 0..60 {
        publish(&store, &[orders], &[&[number; 6000]]);
        rest(&store);
    }
    store.close().unwrap();
    let missing = segment_name(FIRST_SEGMENT + 2);
    std::fs::remove_file(dir.path().join(&missing)).unwrap();
    let (store, report) = open(dir.path());
    assert!(report.clean);
    let told: Vec<_> = report.quarantined.iter().map(|range| &*range.file).collect();
    assert_eq!(told, [missing]);
    store.close().unwrap();
    let (_, report) = open(dir.path());
    assert_nothing_lost(&report);
}

#[test]
fn a_segment_that_was_recycled_behind_a_checkpoint_is_not_missed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), no_checkpoints());
    let (kept, passing) = (queue(&store), queue(&store));
    publish(&store, &[kept], &[b"kept"]);
    for number in 0..30 {
        publish(&store, &[passing], &[&[7; 6000]]);
        fetch(&store, passing, 1);
        ack(&store, passing, number, 1);
        store.checkpoint();
        rest(&store);
    }
    assert!(store.counters().segments_recycled > 0);
    drop(store);
    let (store, report) = open_with(dir.path(), no_checkpoints());
    assert_nothing_lost(&report);
    assert_eq!(bodies(&fetch(&store, kept, 10)), [b"kept"]);
}

fn assert_nothing_lost(report: &RecoveryReport) {
    assert_eq!(report.quarantined, []);
    assert_eq!(report.torn, None);
    assert_eq!(report.lost, []);
}
