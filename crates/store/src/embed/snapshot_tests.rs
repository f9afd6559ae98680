//! Snapshots of a store without threads, on a simulated disk.

mod crashes;

use super::{Batch, Message, Queue, QueueOptions, ReadOnlyStore, Store};
use crate::disk::sim::{Rng, SimDisk};
use crate::{Difference, Disk, HowTaken, Leftovers, Options, SnapshotError, SnapshotManifest};

type SimStore = Store<SimDisk>;

/// Segments that are recycled are written again soon.
fn options() -> Options {
    Options {
        spare_segments_max: 6,
        reserve_segments: 1,
        ..Options::tiny()
    }
}

fn open(disk: &SimDisk) -> SimStore {
    Store::open_on(disk.clone(), options()).unwrap().0
}

/// Publishes messages of these numbers, each larger than a page so that segments fill.
fn publish(store: &SimStore, queue: &Queue<SimDisk>, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let mut batch = Batch::new();
        let body = [&number.to_le_bytes()[..], &[7; 5000]].concat();
        batch.publish(&[queue.id()], Message::new(&body));
        store.commit(batch).unwrap();
    }
}

fn number(body: &[u8]) -> u32 {
    u32::from_le_bytes(body[..4].try_into().unwrap())
}

/// The numbers of all messages in a queue.
fn held(queue: &Queue<SimDisk>) -> Vec<u32> {
    queue.browse().map(|entry| number(&entry.unwrap().body)).collect()
}

/// Acknowledges so many of the oldest messages, durably.
fn consume(store: &SimStore, queue: &Queue<SimDisk>, count: u32) {
    let mut left = count;
    while left > 0 {
        let mut batch = Batch::new();
        for delivery in queue.fetch(left.min(20)).unwrap() {
            batch.ack(delivery);
            left -= 1;
        }
        store.commit(batch).unwrap();
    }
}

/// Lets a store do all that it wants to do for a while.
fn rest(store: &SimStore, disk: &SimDisk) {
    for _ in 0..20 {
        for _ in 0..200 {
            if !store.engine().step() {
                break;
            }
        }
        disk.advance(500);
        store.commit(Batch::new()).unwrap();
    }
}

/// A store with a backlog of 60 messages over several segments, of which 20 are acknowledged.
fn with_backlog(disk: &SimDisk) -> (SimStore, Queue<SimDisk>) {
    let store = open(disk);
    let queue = store.queue("orders", QueueOptions::default()).unwrap();
    publish(&store, &queue, 0..60);
    consume(&store, &queue, 20);
    (store, queue)
}

fn assert_unchanged(snapshot: &SimDisk, manifest: &SnapshotManifest) {
    assert_eq!(SnapshotManifest::read(snapshot).unwrap(), *manifest);
    assert_eq!(manifest.compare(snapshot).unwrap(), []);
}

#[test]
fn a_snapshot_holds_what_was_durable_and_nothing_that_came_later() {
    let disk = SimDisk::new(1);
    let copy = disk.directory("copy").unwrap();
    let (store, queue) = with_backlog(&disk);
    let manifest = store.snapshot_on(&copy).unwrap();
    assert!(manifest.count(HowTaken::Linked) > 2, "{manifest:?}");
    publish(&store, &queue, 60..70);
    consume(&store, &queue, 10);
    store.queue("later", QueueOptions::default()).unwrap();

    let view = ReadOnlyStore::open_on(&copy).unwrap();
    assert!(view.report().quarantined.is_empty() && view.report().lost.is_empty());
    assert_eq!(view.queues().len(), 1);
    assert_eq!(view.queues()[0].len(), 40);
    assert_unchanged(&copy, &manifest);

    let (other, report) = Store::open_on(copy, options()).unwrap();
    assert!(
        report.quarantined.is_empty() && report.lost.is_empty(),
        "{report:?}"
    );
    let orders = other.find_queue("orders").unwrap();
    assert_eq!(held(&orders), (20..60).collect::<Vec<_>>());
    assert_eq!(orders.id(), queue.id());
    assert_eq!(held(&queue), (30..70).collect::<Vec<_>>());
    assert!(other.find_queue("later").is_none());
}

#[test]
fn a_running_store_never_writes_over_the_files_of_its_snapshot() {
    let disk = SimDisk::new(2);
    let copy = disk.directory("copy").unwrap();
    let (store, queue) = with_backlog(&disk);
    let manifest = store.snapshot_on(&copy).unwrap();
    for round in 0..6 {
        publish(&store, &queue, 100..130);
        let (ready, before) = (u32::try_from(queue.len()).unwrap(), store.stats().counters);
        consume(&store, &queue, ready);
        rest(&store, &disk);
        let after = store.stats().counters;
        assert!(
            round > 0 || after.segments_recycled > before.segments_recycled + 3,
            "the segments of the snapshot are dead, and gone: {after:?}"
        );
        assert_unchanged(&copy, &manifest);
    }
    let other = open(&copy);
    let orders = other.find_queue("orders").unwrap();
    assert_eq!(held(&orders), (20..60).collect::<Vec<_>>());
}

#[test]
fn a_store_that_is_opened_on_a_snapshot_never_writes_over_the_files_of_the_original() {
    let disk = SimDisk::new(3);
    let copy = disk.directory("copy").unwrap();
    let (store, queue) = with_backlog(&disk);
    store.snapshot_on(&copy).unwrap();

    let other = open(&copy);
    let orders = other.find_queue("orders").unwrap();
    for _ in 0..4 {
        consume(&other, &orders, u32::try_from(orders.len()).unwrap());
        rest(&other, &disk);
        publish(&other, &orders, 500..540);
    }
    assert!(other.stats().counters.segments_recycled > 5);

    assert_eq!(held(&queue), (20..60).collect::<Vec<_>>());
    assert!(store.verify().unwrap().is_sound());
    drop((queue, store));
    let (store, report) = Store::open_on(disk, options()).unwrap();
    assert!(
        report.quarantined.is_empty() && report.lost.is_empty(),
        "{report:?}"
    );
    let queue = store.find_queue("orders").unwrap();
    assert_eq!(held(&queue), (20..60).collect::<Vec<_>>());
}

#[test]
fn a_start_removes_spares_that_have_another_name() {
    let disk = SimDisk::new(4);
    let copy = disk.directory("copy").unwrap();
    let (store, queue) = with_backlog(&disk);
    let manifest = store.snapshot_on(&copy).unwrap();
    drop((queue, store));
    // What a crash leaves between the renaming of a dead segment and the count of its names.
    let number = "0000000000000001";
    let (segment, spare) = (
        format!("shard-00/j/{number}.seg"),
        format!("shard-00/j/spare-{number}"),
    );
    disk.rename(&segment, &spare).unwrap();
    let store = open(&disk);
    let queue = store.find_queue("orders").unwrap();
    publish(&store, &queue, 60..90);
    rest(&store, &disk);
    assert_unchanged(&copy, &manifest);
}

#[test]
fn an_evacuation_may_be_under_way() {
    for steps in 0..60 {
        let disk = SimDisk::new(5);
        let copy = disk.directory("copy").unwrap();
        let store = open(&disk);
        let kept = store.queue("kept", QueueOptions::default()).unwrap();
        let passing = store.queue("passing", QueueOptions::default()).unwrap();
        for number in 0..20_u32 {
            publish(&store, &kept, number..number + 1);
            publish(&store, &passing, 0..20);
        }
        passing.purge().unwrap();
        for _ in 0..steps {
            disk.advance(50);
            store.engine().step();
        }
        let manifest = store.snapshot_on(&copy).unwrap();
        rest(&store, &disk);
        assert_unchanged(&copy, &manifest);
        let (other, report) = Store::open_on(copy, options()).unwrap();
        assert!(
            report.quarantined.is_empty() && report.lost.is_empty(),
            "{report:?}"
        );
        let found = held(&other.find_queue("kept").unwrap());
        assert_eq!(found, (0..20).collect::<Vec<_>>(), "after {steps} steps");
        assert!(other.find_queue("passing").unwrap().is_empty());
    }
}

#[test]
fn what_cannot_be_linked_is_copied() {
    let disk = SimDisk::new(6);
    let elsewhere = SimDisk::new(7);
    let (store, queue) = with_backlog(&disk);
    let manifest = store.snapshot_on(&elsewhere).unwrap();
    assert_eq!(manifest.count(HowTaken::Linked), 0);
    assert_unchanged(&elsewhere, &manifest);
    let other = open(&elsewhere);
    assert_eq!(held(&other.find_queue("orders").unwrap()), held(&queue));
}

#[test]
fn a_snapshot_is_taken_into_an_empty_directory_only() {
    let disk = SimDisk::new(8);
    let copy = disk.directory("copy").unwrap();
    let (store, _queue) = with_backlog(&disk);
    let manifest = store.snapshot_on(&copy).unwrap();
    let refused = store.snapshot_on(&copy).unwrap_err();
    assert!(matches!(refused, SnapshotError::NotEmpty { .. }), "{refused}");
    assert_unchanged(&copy, &manifest);
}

#[test]
fn a_snapshot_without_room_leaves_nothing_behind_and_the_store_goes_on() {
    let disk = SimDisk::new(9);
    let copy = disk.directory("copy").unwrap();
    let (store, queue) = with_backlog(&disk);
    disk.set_capacity(Some(disk.used_bytes() + 10_000));
    let failed = store.snapshot_on(&copy).unwrap_err();
    let SnapshotError::NoRoom { leftovers, .. } = &failed else {
        panic!("{failed}");
    };
    assert_eq!(*leftovers, Leftovers::None, "{failed}");
    disk.set_capacity(None);
    publish(&store, &queue, 60..61);
    store.snapshot_on(&copy).unwrap();
    let other = open(&copy);
    assert_eq!(held(&other.find_queue("orders").unwrap()), held(&queue));
}

#[test]
fn a_manifest_tells_which_file_changed_or_went() {
    let disk = SimDisk::new(10);
    let copy = disk.directory("copy").unwrap();
    let (store, _queue) = with_backlog(&disk);
    let manifest = store.snapshot_on(&copy).unwrap();
    let (changed, missing) = (manifest.files[0].path.clone(), manifest.files[1].path.clone());
    copy.flip_bit(&changed, 8 * 5000).unwrap();
    copy.remove(&missing).unwrap();
    assert_eq!(
        manifest.compare(&copy).unwrap(),
        [
            Difference::Changed { path: changed },
            Difference::Missing { path: missing }
        ]
    );
}

#[test]
fn a_closed_store_gives_no_snapshot() {
    let disk = SimDisk::new(11);
    let copy = disk.directory("copy").unwrap();
    let (store, _queue) = with_backlog(&disk);
    store.close().unwrap();
    let refused = store.snapshot_on(&copy).unwrap_err();
    assert!(matches!(refused, SnapshotError::Poisoned(_)), "{refused}");
    assert!(copy.list("").unwrap().is_empty());
}

/// What two stores that began as one are expected to hold, whatever either of them does.
#[test]
fn a_store_and_its_snapshots_go_their_own_ways_through_crashes() {
    for seed in 0..30 {
        let mut rng = Rng::new(seed);
        let mut disk = SimDisk::new(seed);
        let (store, queue) = with_backlog(&disk);
        let copy = disk.directory("copy").unwrap();
        store.snapshot_on(&copy).unwrap();
        drop((queue, store));
        let mut expected = [(20..60).collect::<Vec<u32>>(), (20..60).collect::<Vec<u32>>()];
        for round in 0..6 {
            let which = usize::try_from(rng.below(2)).unwrap();
            let place = [&disk, &disk.directory("copy").unwrap()][which].clone();
            let store = open(&place);
            let queue = store.find_queue("orders").unwrap();
            assert_eq!(held(&queue), expected[which], "seed {seed}, round {round}");
            let dead = rng.index(expected[which].len() + 1);
            consume(&store, &queue, u32::try_from(dead).unwrap());
            expected[which].drain(..dead);
            let first = 1000 * (round + 1);
            publish(&store, &queue, first..first + 25);
            expected[which].extend(first..first + 25);
            rest(&store, &place);
            drop((queue, store));
            disk = disk.after_crash(&mut rng);
        }
        let copy = disk.directory("copy").unwrap();
        for (place, expected) in [disk, copy].iter().zip(expected) {
            let store = open(place);
            assert_eq!(
                held(&store.find_queue("orders").unwrap()),
                expected,
                "seed {seed}"
            );
        }
    }
}
