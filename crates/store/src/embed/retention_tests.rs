//! Acknowledged messages that are kept for a while, on a simulated disk.

use super::{Batch, EntryState, From, Message, Queue, QueueOptions, Store};
use crate::disk::sim::{Rng, SimDisk};
use crate::{Options, Retention};
use std::time::Duration;

type SimStore = Store<SimDisk>;

/// Bytes of a body, so that a segment holds about ten of them.
const BODY_BYTES: usize = 6000;

fn open(disk: &SimDisk) -> (SimStore, Queue<SimDisk>, Queue<SimDisk>) {
    let (store, _) = Store::open_on(disk.clone(), Options::tiny()).unwrap();
    let kept = store.queue("kept", QueueOptions::default()).unwrap();
    let passing = store.queue("passing", QueueOptions::default()).unwrap();
    (store, kept, passing)
}

fn retain(store: &SimStore, queue: &Queue<SimDisk>, retention: Option<Retention>) {
    let mut guard = store.engine().lock();
    guard.shard().set_retention(queue.id(), retention).unwrap();
}

const fn by_age(age_ms: u64) -> Option<Retention> {
    let (age_ms, bytes) = (Some(age_ms), None);
    Some(Retention { age_ms, bytes })
}

const fn by_bytes(bytes: u64) -> Option<Retention> {
    let (age_ms, bytes) = (None, Some(bytes));
    Some(Retention { age_ms, bytes })
}

/// So many messages come and go.
fn pass(store: &SimStore, queue: &Queue<SimDisk>, count: usize) {
    for _ in 0..count {
        let mut batch = Batch::new();
        batch.publish(&[queue.id()], Message::new(&[7; BODY_BYTES]));
        store.commit(batch).unwrap();
        let mut batch = Batch::new();
        batch.ack(queue.fetch(1).unwrap().remove(0));
        store.commit(batch).unwrap();
    }
}

/// Lets a store do all that it wants to do, and the log go on with others' messages.
fn churn(store: &SimStore, passing: &Queue<SimDisk>, disk: &SimDisk) {
    for _ in 0..60 {
        pass(store, passing, 1);
        disk.advance(300);
        for _ in 0..40 {
            store.engine().step();
        }
    }
}

/// The seqs that are acknowledged and still there.
fn acknowledged(queue: &Queue<SimDisk>) -> Vec<u64> {
    let entries = queue.history(From::Start).map(Result::unwrap);
    let dead = entries.filter(|entry| entry.state == EntryState::Acknowledged);
    dead.map(|entry| entry.seq.get()).collect()
}

#[test]
fn what_was_acknowledged_is_kept_for_its_time_and_not_much_longer() {
    let disk = SimDisk::new(1);
    let (store, kept, passing) = open(&disk);
    retain(&store, &kept, by_age(1_000_000));
    pass(&store, &kept, 30);
    churn(&store, &passing, &disk);
    let counters = store.stats().counters;
    assert!(
        counters.segments_recycled > 2,
        "what is not kept goes: {counters:?}"
    );
    assert!(counters.kept_bytes > 0);
    assert_eq!(acknowledged(&kept), (0..30).collect::<Vec<_>>());
    assert!(kept.is_empty() && kept.fetch(1).unwrap().is_empty());
    disk.advance(1_000_000);
    churn(&store, &passing, &disk);
    assert_eq!(acknowledged(&kept), []);
    assert_eq!(store.stats().counters.kept_bytes, 0);
}

#[test]
fn the_newest_bytes_of_what_was_acknowledged_are_kept() {
    let disk = SimDisk::new(2);
    let (store, kept, passing) = open(&disk);
    retain(&store, &kept, by_bytes(200_000));
    pass(&store, &kept, 200);
    churn(&store, &passing, &disk);
    let found = acknowledged(&kept);
    let bytes = found.len() * BODY_BYTES;
    assert_eq!(
        found,
        (200 - u64::try_from(found.len()).unwrap()..200).collect::<Vec<_>>()
    );
    assert!((200_000 - BODY_BYTES..350_000).contains(&bytes), "{bytes}");
}

#[test]
fn without_a_word_of_the_owner_nothing_is_kept() {
    let disk = SimDisk::new(3);
    let (store, kept, passing) = open(&disk);
    pass(&store, &kept, 30);
    churn(&store, &passing, &disk);
    assert_eq!(acknowledged(&kept), []);
    retain(&store, &kept, by_age(u64::MAX));
    pass(&store, &kept, 20);
    churn(&store, &passing, &disk);
    assert_eq!(acknowledged(&kept).len(), 20);
    retain(&store, &kept, None);
    churn(&store, &passing, &disk);
    assert_eq!(acknowledged(&kept), []);
}

#[test]
fn a_queue_that_begins_to_keep_keeps_what_is_still_there() {
    let disk = SimDisk::new(4);
    let (store, kept, passing) = open(&disk);
    let other = store.queue("other", QueueOptions::default()).unwrap();
    retain(&store, &other, by_age(u64::MAX));
    pass(&store, &other, 5);
    pass(&store, &kept, 30);
    retain(&store, &kept, by_age(u64::MAX));
    churn(&store, &passing, &disk);
    assert_eq!(acknowledged(&kept), (0..30).collect::<Vec<_>>());
    assert_eq!(acknowledged(&other), (0..5).collect::<Vec<_>>());
}

#[test]
fn a_delete_ends_what_was_kept() {
    let disk = SimDisk::new(5);
    let (store, kept, passing) = open(&disk);
    retain(&store, &kept, by_age(u64::MAX));
    pass(&store, &kept, 60);
    churn(&store, &passing, &disk);
    let before = store.stats().counters;
    assert!(before.kept_bytes > 300_000, "{before:?}");
    kept.delete().unwrap();
    churn(&store, &passing, &disk);
    let after = store.stats().counters;
    assert_eq!(after.kept_bytes, 0);
    assert!(
        after.segment_bytes < before.segment_bytes - 200_000,
        "{before:?} {after:?}"
    );
}

#[test]
fn what_is_kept_counts_as_living_and_everything_else_is_evacuated_as_ever() {
    let disk = SimDisk::new(6);
    let (store, kept, passing) = open(&disk);
    retain(&store, &kept, by_age(2_000_000));
    let lasting = store.queue("lasting", QueueOptions::default()).unwrap();
    for number in 0..60_u8 {
        let mut batch = Batch::new();
        batch.publish(&[lasting.id()], Message::new(&[number]));
        store.commit(batch).unwrap();
        // Every other stretch of the log holds something that is kept.
        pass(&store, if number / 10 % 2 == 0 { &kept } else { &passing }, 10);
    }
    churn(&store, &passing, &disk);
    let slack = Options::tiny().evacuation_slack_bytes + 5 * Options::tiny().segment_bytes;
    let counters = store.stats().counters;
    assert!(counters.evacuations > 5, "{counters:?}");
    assert!(
        counters.copies < 45,
        "nothing is moved out of what is kept: {counters:?}"
    );
    assert!(
        counters.segment_bytes <= 2 * (counters.live_bytes + counters.kept_bytes) + slack,
        "{counters:?}"
    );
    assert_eq!(acknowledged(&kept), (0..300).collect::<Vec<_>>());
    disk.advance(2_000_000);
    churn(&store, &passing, &disk);
    let counters = store.stats().counters;
    assert!(
        counters.segment_bytes <= 2 * counters.live_bytes + slack,
        "{counters:?}"
    );
    let left: Vec<u8> = lasting.browse().map(|entry| entry.unwrap().body[0]).collect();
    assert_eq!(left, (0..60).collect::<Vec<_>>());
}

#[test]
fn what_is_kept_stays_through_crashes_and_nothing_of_it_becomes_ready() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let mut disk = SimDisk::new(seed);
        let mut total = 0;
        for life in 0..5 {
            let (store, kept, passing) = open(&disk);
            retain(&store, &kept, by_age(u64::MAX));
            let context = format!("seed {seed}, life {life}");
            assert!(kept.is_empty(), "{context}");
            assert_eq!(acknowledged(&kept), (0..total).collect::<Vec<_>>(), "{context}");
            let count = rng.between(1, 25);
            pass(&store, &kept, usize::try_from(count).unwrap());
            total += count;
            churn(&store, &passing, &disk);
            assert_eq!(acknowledged(&kept), (0..total).collect::<Vec<_>>(), "{context}");
            drop((store, kept, passing));
            disk = disk.after_crash(&mut rng);
            if life % 2 == 1 {
                // The log alone tells the same.
                crate::checkpoint::remove_all(&disk).unwrap();
            }
        }
    }
}

#[test]
fn a_copy_that_is_kept_is_found_by_a_rebuild_and_dead_as_before() {
    let disk = SimDisk::new(8);
    let (store, kept, passing) = open(&disk);
    retain(&store, &kept, by_age(u64::MAX));
    for number in 0..40_u8 {
        let mut batch = Batch::new();
        batch.publish(&[kept.id()], Message::new(&[number]));
        store.commit(batch).unwrap();
        pass(&store, &passing, 10);
    }
    // Nothing is kept of what lives: it moves.
    retain(&store, &kept, None);
    churn(&store, &passing, &disk);
    assert!(store.stats().counters.copies > 20);
    retain(&store, &kept, by_age(u64::MAX));
    while !kept.is_empty() {
        let mut batch = Batch::new();
        for delivery in kept.fetch(8).unwrap() {
            batch.ack(delivery);
        }
        store.commit(batch).unwrap();
    }
    churn(&store, &passing, &disk);
    let before = acknowledged(&kept);
    assert!(before.len() > 20, "{before:?}");
    drop((store, kept, passing));
    crate::checkpoint::remove_all(&disk).unwrap();
    let (store, kept, passing) = open(&disk);
    retain(&store, &kept, by_age(u64::MAX));
    assert!(kept.is_empty());
    assert_eq!(acknowledged(&kept), before);
    churn(&store, &passing, &disk);
    assert_eq!(acknowledged(&kept), before);
}

#[test]
fn a_queue_that_was_made_with_a_retention_keeps_over_restarts() {
    let disk = SimDisk::new(9);
    let (store, _, passing) = open(&disk);
    let options = QueueOptions::default()
        .with_retention(Duration::from_secs(1000))
        .with_retention_bytes(10 << 20);
    let history = store.queue("history", options).unwrap();
    pass(&store, &history, 30);
    churn(&store, &passing, &disk);
    drop((store, history, passing));
    let disk = disk.after_crash(&mut Rng::new(9));
    let (store, _, passing) = open(&disk);
    let history = store.find_queue("history").unwrap();
    assert_eq!(history.options(), options);
    churn(&store, &passing, &disk);
    assert_eq!(acknowledged(&history), (0..30).collect::<Vec<_>>());
    disk.advance(1_000_000);
    churn(&store, &passing, &disk);
    assert_eq!(acknowledged(&history), []);
}
