//! Queues made and deleted on a machine that goes off at any call, and a store whose disk fails.

use super::{Batch, CommitError, FetchError, Message, Queue, QueueOptions, Store};
use crate::Options;
use crate::disk::sim::{FaultPlan, Rng, SimDisk};

const CALLS_MAX: u64 = 60;
const SEEDS: u64 = 5;

fn open(disk: &SimDisk) -> Store<SimDisk> {
    Store::open_on(disk.clone(), Options::tiny()).unwrap().0
}

fn publish(store: &Store<SimDisk>, queue: &Queue<SimDisk>, body: &str) -> Result<(), CommitError> {
    let mut batch = Batch::new();
    batch.publish(&[queue.id()], Message::new(body));
    store.commit(batch).map(drop)
}

fn held(queue: &Queue<SimDisk>) -> Vec<Vec<u8>> {
    queue.browse().map(|entry| entry.unwrap().body).collect()
}

#[test]
fn a_crash_at_any_call_leaves_a_queue_with_its_name_or_neither() {
    for seed in 0..SEEDS {
        for calls in 1..CALLS_MAX {
            let disk = SimDisk::new(seed);
            let store = open(&disk);
            let options = QueueOptions::at_most(3);
            disk.crash_at(calls);
            let made = store.queue("orders", options);
            let has_message = made
                .as_ref()
                .is_ok_and(|queue| publish(&store, queue, "one").is_ok());

            let store = open(&disk.after_crash(&mut Rng::new(seed)));
            let found = store.find_queue("orders");
            assert!(found.is_some() || made.is_err(), "seed {seed}, call {calls}");
            let queue = store.queue("orders", options).unwrap();
            if has_message {
                assert_eq!(held(&queue), [b"one"], "seed {seed}, call {calls}");
            }
            publish(&store, &queue, "two").unwrap();
        }
    }
}

#[test]
fn a_crash_at_any_call_of_a_delete_leaves_the_queue_whole_or_gone_for_good() {
    for seed in 0..SEEDS {
        for calls in 1..CALLS_MAX {
            let disk = SimDisk::new(seed);
            let store = open(&disk);
            let orders = store.queue("orders", QueueOptions::default()).unwrap();
            publish(&store, &orders, "one").unwrap();
            disk.crash_at(calls);
            let deleted = orders.delete();

            let disk = disk.after_crash(&mut Rng::new(seed));
            let store = open(&disk);
            match store.find_queue("orders") {
                Some(queue) => {
                    assert!(deleted.is_err(), "seed {seed}, call {calls}");
                    assert_eq!(held(&queue), [b"one"], "seed {seed}, call {calls}");
                }
                None => {
                    let again = store.queue("orders", QueueOptions::default()).unwrap();
                    assert!(held(&again).is_empty(), "seed {seed}, call {calls}");
                    assert_ne!(again.id(), orders.id(), "ids are never used twice");
                }
            }
        }
    }
}

#[test]
fn after_a_failed_write_every_call_says_which_file_it_was_and_nothing_is_confirmed() {
    let disk = SimDisk::new(1);
    let store = open(&disk);
    let orders = store.queue("orders", QueueOptions::default()).unwrap();
    publish(&store, &orders, "one").unwrap();
    let delivery = orders.fetch(1).unwrap().remove(0);
    disk.set_faults(FaultPlan {
        write_error: 65536,
        sync_error: 65536,
        ..FaultPlan::default()
    });
    let names_the_segment = |error: &CommitError| {
        matches!(error, CommitError::Poisoned(cause)
            if cause.what == "writing a block" && cause.file.starts_with("shard-00/j/"))
    };
    let error = publish(&store, &orders, "two").unwrap_err();
    assert!(names_the_segment(&error), "{error}");
    disk.set_faults(FaultPlan::default());
    let error = publish(&store, &orders, "three").unwrap_err();
    assert!(names_the_segment(&error), "only opening it again helps: {error}");
    let error = delivery.ack().unwrap_err();
    assert!(names_the_segment(&error), "{error}");
    let error = orders.fetch(1).unwrap_err();
    assert!(matches!(error, FetchError::Poisoned(_)), "{error}");
    assert!(store.close().is_err());

    let orders = open(&disk).find_queue("orders").unwrap();
    let found = held(&orders);
    assert_eq!(found[0], b"one");
    assert!(found.len() == 1 || found[1..] == [b"two"], "{found:?}");
}
