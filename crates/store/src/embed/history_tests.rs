//! What a queue still holds of what was acknowledged, on a simulated disk.

use super::{Batch, Entry, EntryState, FetchError, From, Message, Queue, QueueOptions, ReadOnlyStore, Store};
use crate::disk::sim::{Rng, SimDisk};
use crate::{Options, Seq};

type SimStore = Store<SimDisk>;

fn open(disk: &SimDisk) -> SimStore {
    Store::open_on(disk.clone(), Options::tiny()).unwrap().0
}

fn publish(store: &SimStore, queue: &Queue<SimDisk>, bodies: impl IntoIterator<Item = Vec<u8>>) {
    let mut batch = Batch::new();
    for body in bodies {
        batch.publish(&[queue.id()], Message::new(&body));
    }
    store.commit(batch).unwrap();
}

/// Acknowledges so many messages, durably.
fn consume(store: &SimStore, queue: &Queue<SimDisk>, count: u32) {
    let mut left = count;
    while left > 0 {
        let mut batch = Batch::new();
        for delivery in queue.fetch(left).unwrap() {
            batch.ack(delivery);
            left -= 1;
        }
        store.commit(batch).unwrap();
    }
}

fn history(queue: &Queue<SimDisk>, from: From) -> Vec<Entry> {
    queue.history(from).map(Result::unwrap).collect()
}

fn seqs_of(entries: &[Entry], state: EntryState) -> Vec<u64> {
    let of_state = entries.iter().filter(|entry| entry.state == state);
    of_state.map(|entry| entry.seq.get()).collect()
}

fn all_seqs(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq.get()).collect()
}

#[test]
fn a_history_shows_what_was_acknowledged_beside_what_waits_and_what_is_held() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let orders = store.queue("orders", QueueOptions::default()).unwrap();
    let other = store.queue("other", QueueOptions::default()).unwrap();
    for number in 0..10_u8 {
        publish(&store, &orders, [vec![number]]);
        publish(&store, &other, [vec![100 + number]]);
    }
    consume(&store, &orders, 4);
    let held = orders.fetch(3).unwrap();
    let found = history(&orders, From::Start);
    let bodies: Vec<u8> = found.iter().map(|entry| entry.body[0]).collect();
    assert_eq!(bodies, (0..10).collect::<Vec<_>>());
    assert_eq!(seqs_of(&found, EntryState::Acknowledged), [0, 1, 2, 3]);
    assert_eq!(seqs_of(&found, EntryState::Leased), [4, 5, 6]);
    assert_eq!(seqs_of(&found, EntryState::Ready), [7, 8, 9]);
    assert_eq!(orders.browse().count(), 6, "a browse shows what lives");
    drop(held);
    assert_eq!(orders.counts().ready, 6, "nothing was taken");
}

#[test]
fn a_history_begins_where_it_is_told_to() {
    let disk = SimDisk::new(2);
    let store = open(&disk);
    let orders = store.queue("orders", QueueOptions::default()).unwrap();
    publish(&store, &orders, (0..5).map(|number| vec![number]));
    disk.advance(1000);
    let later_ms = crate::Disk::now(&disk).wall_ms;
    publish(&store, &orders, (5..9).map(|number| vec![number]));
    consume(&store, &orders, 7);
    let from_seq = history(&orders, From::Seq(Seq::new(3)));
    assert_eq!(all_seqs(&from_seq), [3, 4, 5, 6, 7, 8]);
    let from_time = history(&orders, From::Time(later_ms));
    assert_eq!(all_seqs(&from_time), [5, 6, 7, 8]);
}

#[test]
fn a_history_survives_restarts_crashes_and_the_loss_of_the_index() {
    let disk = SimDisk::new(3);
    let store = open(&disk);
    let orders = store.queue("orders", QueueOptions::default()).unwrap();
    publish(&store, &orders, (0..10).map(|number| vec![number]));
    consume(&store, &orders, 6);
    drop(orders);
    store.close().unwrap();
    let check = |store: &SimStore| {
        let orders = store.find_queue("orders").unwrap();
        let found = history(&orders, From::Start);
        assert_eq!(
            seqs_of(&found, EntryState::Acknowledged),
            (0..6).collect::<Vec<_>>()
        );
        assert_eq!(seqs_of(&found, EntryState::Ready), (6..10).collect::<Vec<_>>());
    };
    let store = open(&disk);
    check(&store);
    drop(store);
    let disk = disk.after_crash(&mut Rng::new(3));
    check(&open(&disk));
    crate::checkpoint::remove_all(&disk).unwrap();
    check(&open(&disk));
    let view = ReadOnlyStore::open_on(&disk).unwrap();
    let orders = view.find_queue("orders").unwrap();
    let found: Vec<_> = orders.history(From::Start).map(Result::unwrap).collect();
    assert_eq!(all_seqs(&found), (0..10).collect::<Vec<_>>());
    assert_eq!(seqs_of(&found, EntryState::Acknowledged).len(), 6);
}

#[test]
fn what_was_recycled_is_gone_and_the_rest_is_read_in_order() {
    let disk = SimDisk::new(4);
    let store = open(&disk);
    let orders = store.queue("orders", QueueOptions::default()).unwrap();
    for _ in 0..60 {
        publish(&store, &orders, [vec![7; 6000]]);
        consume(&store, &orders, 1);
        disk.advance(300);
        while store.engine().step() {}
    }
    assert!(store.stats().counters.segments_recycled > 2);
    let found = all_seqs(&history(&orders, From::Start));
    let (first, last) = (found[0], *found.last().unwrap());
    assert!(first > 0 && last == 59, "{found:?}");
    assert_eq!(found, (first..=last).collect::<Vec<_>>());
}

#[test]
fn a_segment_that_a_history_has_come_to_is_not_recycled() {
    let disk = SimDisk::new(5);
    // More than a reader's buffer.
    let options = Options {
        segment_bytes: 512 << 10,
        checkpoint_bytes: 512 << 10,
        ..Options::tiny()
    };
    let (store, _) = Store::open_on(disk.clone(), options).unwrap();
    let orders = store.queue("orders", QueueOptions::default()).unwrap();
    for _ in 0..50 {
        publish(&store, &orders, [vec![7; 6000]]);
    }
    consume(&store, &orders, 50);
    let mut walk = orders.history(From::Start);
    assert_eq!(walk.next().unwrap().unwrap().seq.get(), 0);
    let other = store.queue("other", QueueOptions::default()).unwrap();
    let churn = || {
        for _ in 0..300 {
            publish(&store, &other, [vec![8; 6000]]);
            consume(&store, &other, 1);
            disk.advance(300);
            for _ in 0..20 {
                store.engine().step();
            }
        }
    };
    churn();
    assert!(store.stats().counters.segments_recycled > 2, "others were");
    // Of the segment that it has come to nothing is missing.
    let rest: Vec<u64> = walk.map(|entry| entry.unwrap().seq.get()).collect();
    assert_eq!(rest, (1..50).collect::<Vec<_>>());
    churn();
    assert!(
        history(&orders, From::Start).is_empty(),
        "nobody holds it any more"
    );
}

#[test]
fn what_was_moved_and_acknowledged_afterwards_is_shown_once_and_in_its_place() {
    let disk = SimDisk::new(6);
    let store = open(&disk);
    let kept = store.queue("kept", QueueOptions::default()).unwrap();
    let passing = store.queue("passing", QueueOptions::default()).unwrap();
    for number in 0..100_u8 {
        publish(&store, &kept, [vec![number]]);
        publish(&store, &passing, (0..10).map(|_| vec![7; 4000]));
    }
    passing.purge().unwrap();
    for _ in 0..200 {
        disk.advance(500);
        while store.engine().step() {}
        store.commit(Batch::new()).unwrap();
    }
    let counters = store.stats().counters;
    assert!(
        counters.copies > 50 && counters.segments_recycled > 20,
        "{counters:?}"
    );
    let mut taken = Vec::new();
    while taken.len() < 60 {
        taken.extend(kept.fetch(4).unwrap());
    }
    for delivery in taken {
        if delivery.seq().get() % 2 == 0 {
            delivery.ack().unwrap();
        }
    }
    store.commit(Batch::new()).unwrap();
    while store.engine().step() {}
    let found = history(&kept, From::Start);
    let bodies: Vec<u8> = found.iter().map(|entry| entry.body[0]).collect();
    assert_eq!(bodies, (0..100).collect::<Vec<_>>());
    let dead: Vec<u64> = (0..60).filter(|seq| seq % 2 == 0).collect();
    assert_eq!(seqs_of(&found, EntryState::Acknowledged), dead);
}

#[test]
fn the_history_of_a_deleted_queue_ends_with_an_error() {
    let disk = SimDisk::new(7);
    let store = open(&disk);
    let orders = store.queue("orders", QueueOptions::default()).unwrap();
    publish(&store, &orders, (0..10).map(|number| vec![number]));
    consume(&store, &orders, 10);
    let mut walk = orders.history(From::Start);
    assert!(walk.next().unwrap().is_ok());
    orders.delete().unwrap();
    let error = walk.next().unwrap().unwrap_err();
    assert!(matches!(error, FetchError::UnknownQueue(_)), "{error}");
    assert!(walk.next().is_none());
}

#[test]
fn a_read_that_fails_is_one_error_and_the_history_goes_on() {
    for calls in 1..40 {
        let disk = SimDisk::new(8);
        let store = open(&disk);
        let orders = store.queue("orders", QueueOptions::default()).unwrap();
        for _ in 0..30 {
            publish(&store, &orders, [vec![7; 6000]]);
        }
        consume(&store, &orders, 10);
        disk.fail_at(calls);
        let read: Vec<_> = orders.history(From::Start).collect();
        let errors = read.iter().filter(|entry| entry.is_err()).count();
        assert!(errors <= 1, "call {calls}");
        let entries: Vec<Entry> = read.into_iter().flatten().collect();
        let living = entries
            .iter()
            .filter(|entry| entry.state != EntryState::Acknowledged);
        // A stretch of the log that cannot be read costs no entry that lives, one that cannot be read costs itself.
        assert!(living.count() + errors >= 20, "call {calls}");
        assert!(
            entries.windows(2).all(|pair| pair[0].seq < pair[1].seq),
            "call {calls}"
        );
    }
}
