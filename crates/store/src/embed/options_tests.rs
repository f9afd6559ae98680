//! How long messages live and in which order they go, on the clock of a simulated disk.

use crate::disk::sim::SimDisk;
use crate::{Batch, CommitError, Message, Options, Queue, QueueOptions, Store};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn simulated(disk: &SimDisk) -> Store<SimDisk> {
    Store::open_on(disk.clone(), Options::tiny()).unwrap().0
}

fn commit(queue: &Queue<SimDisk>, store: &Store<SimDisk>, messages: &[Message<'_>]) {
    let mut batch = Batch::new();
    for message in messages {
        batch.publish(&[queue.id()], *message);
    }
    store.commit(batch).unwrap();
}

fn fetched(queue: &Queue<SimDisk>) -> Vec<String> {
    let mut bodies = Vec::new();
    for delivery in queue.fetch(9).unwrap() {
        bodies.push(String::from_utf8(delivery.body().to_vec()).unwrap());
        delivery.ack().unwrap();
    }
    bodies
}

#[test]
fn the_highest_priority_is_fetched_first_and_the_oldest_within_it() {
    let disk = SimDisk::new(1);
    let store = simulated(&disk);
    let options = QueueOptions::default().with_priority_max(2);
    let jobs = store.queue("jobs", options).unwrap();
    let job = |text, priority| Message::new(text).with_priority(priority);
    commit(
        &jobs,
        &store,
        &[job("a", 0), job("b", 2), job("c", 1), job("d", 200), job("e", 0)],
    );
    assert_eq!(fetched(&jobs), ["b", "d", "c", "a", "e"]);
}

#[test]
fn a_message_expires_when_its_own_time_or_that_of_its_queue_has_come() {
    let disk = SimDisk::new(1);
    let store = simulated(&disk);
    let options = QueueOptions::default().with_time_to_live(MINUTE);
    let offers = store.queue("offers", options).unwrap();
    let lasting = store.queue("lasting", QueueOptions::default()).unwrap();
    let message = |text, seconds| Message::new(text).expires_in(Duration::from_secs(seconds));
    let mut both = Batch::new();
    for message in [
        message("10 s", 10),
        message("10 min", 600),
        Message::new("for ever"),
    ] {
        both.publish(&[offers.id(), lasting.id()], message);
    }
    store.commit(both).unwrap();
    disk.advance(10_000);
    assert_eq!(fetched(&lasting), ["10 min", "for ever"]);
    disk.advance(50_000);
    assert!(fetched(&offers).is_empty());
}

#[test]
fn bytes_are_those_of_bodies_and_of_what_properties_have_beyond_65535() {
    let disk = SimDisk::new(1);
    let options = Options {
        segment_bytes: 1 << 20,
        ..Options::tiny()
    };
    let store = Store::open_on(disk, options).unwrap().0;
    let options = QueueOptions::default().with_bytes_max(10);
    let orders = store.queue("orders", options).unwrap();
    let (most, more) = (vec![7; 65_535], vec![7; 65_535 + 6]);
    commit(&orders, &store, &[Message::new("12345").with_properties(&most)]);
    let mut batch = Batch::new();
    batch.publish(&[orders.id()], Message::new("").with_properties(&more));
    let Err(CommitError::QueueFull { ready, more, .. }) = store.commit(batch) else {
        panic!("6 more are too many");
    };
    assert_eq!((ready.bytes, more.bytes), (5, 6));
    commit(&orders, &store, &[Message::new("12345")]);
}

#[test]
fn a_queue_that_refuses_has_room_again_when_something_expired() {
    let disk = SimDisk::new(1);
    let store = simulated(&disk);
    let options = QueueOptions::at_most(1).with_time_to_live(MINUTE);
    let offers = store.queue("offers", options).unwrap();
    commit(&offers, &store, &[Message::new("old")]);
    disk.advance(60_000);
    commit(&offers, &store, &[Message::new("new")]);
    assert_eq!(fetched(&offers), ["new"]);
}
