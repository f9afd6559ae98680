//! Fetching, waiting, settling, from several threads.

use crate::support::{PATIENCE, batch, bodies, open, publish, queue};
use logpond_store::{Batch, FetchError, Message, Queue, Store};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

#[test]
fn a_delivery_that_is_dropped_comes_back_first_and_marked() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    publish(&store, &orders, &["one", "two", "three"]);
    let mut deliveries = orders.fetch(2).unwrap();
    assert!(!deliveries[0].is_redelivered());
    deliveries.pop().unwrap().ack().unwrap();
    drop(deliveries);
    let again = orders.fetch(9).unwrap();
    assert_eq!(bodies(&again), ["one", "three"]);
    assert!(again[0].is_redelivered() && !again[1].is_redelivered());
}

#[test]
fn what_a_handler_held_when_it_panicked_goes_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    publish(&store, &orders, &["one"]);
    let handler = {
        let orders = orders.clone();
        thread::spawn(move || {
            let _held = orders.fetch(1).expect("the disk works");
            panic!("a handler that fails on purpose");
        })
    };
    assert!(handler.join().is_err());
    let again = orders.fetch(1).unwrap();
    assert!(again[0].is_redelivered());
}

#[test]
fn a_fetch_that_waits_is_woken_by_a_publish_and_by_a_delivery_put_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    let waiting = fetch_elsewhere(&orders);
    publish(&store, &orders, &["one"]);
    let first = waiting.join().unwrap();
    let waiting = fetch_elsewhere(&orders);
    drop(first);
    assert!(waiting.join().unwrap()[0].is_redelivered());
}

fn fetch_elsewhere(orders: &Queue) -> thread::JoinHandle<Vec<logpond_store::Delivery>> {
    let orders = orders.clone();
    thread::spawn(move || orders.fetch_timeout(1, PATIENCE).unwrap())
}

#[test]
fn a_fetch_gives_up_when_its_time_is_over_and_leaves_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    for _ in 0..3 {
        assert!(
            orders
                .fetch_timeout(1, Duration::from_millis(1))
                .unwrap()
                .is_empty()
        );
    }
    publish(&store, &orders, &["one"]);
    assert_eq!(orders.counts().ready, 1, "nobody took it");
}

#[test]
fn who_waits_for_a_queue_hears_of_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (deleted, closed) = (queue(&store, "deleted"), queue(&store, "closed"));
    let waits = |queue: &Queue| {
        let queue = queue.clone();
        thread::spawn(move || queue.fetch_timeout(1, PATIENCE).unwrap_err())
    };
    let (on_deleted, on_closed) = (waits(&deleted), waits(&closed));
    deleted.delete().unwrap();
    let error = on_deleted.join().unwrap();
    assert!(
        matches!(error, FetchError::UnknownQueue(ref queue) if queue.id == deleted.id()),
        "{error}"
    );
    assert_eq!(error.to_string(), "queue 'deleted' does not exist");
    store.close().unwrap();
    let error = on_closed.join().unwrap();
    assert!(matches!(error, FetchError::Poisoned(_)), "{error}");
}

#[test]
fn four_publishers_and_two_consumers_lose_nothing_and_repeat_nothing_but_what_is_marked() {
    const PUBLISHERS: u64 = 4;
    const MESSAGES: u64 = 500;
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (store, orders) = (store.clone(), orders.clone());
            thread::spawn(move || publish_numbers(&store, &orders, publisher * MESSAGES, MESSAGES))
        })
        .collect();
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let (store, orders) = (store.clone(), orders.clone());
            thread::spawn(move || consume(&store, &orders))
        })
        .collect();
    for publisher in publishers {
        publisher.join().unwrap();
    }
    // One end for each consumer; what was put back lies before them.
    publish(&store, &orders, &["end"]);
    publish(&store, &orders, &["end"]);
    let mut times_done = BTreeMap::new();
    let mut repeated_unmarked = 0;
    for consumer in consumers {
        let (done, unmarked) = consumer.join().unwrap();
        repeated_unmarked += unmarked;
        for number in done {
            *times_done.entry(number).or_insert(0) += 1;
        }
    }
    assert_eq!(repeated_unmarked, 0);
    assert!((0..PUBLISHERS * MESSAGES).all(|number| times_done.get(&number) == Some(&1)));
    assert!(orders.is_empty() || orders.counts().ready == 0);
}

fn publish_numbers(store: &Store, orders: &Queue, first: u64, count: u64) {
    let numbers: Vec<u64> = (first..first + count).collect();
    for (round, some) in numbers.chunks(7).enumerate() {
        let mut batch = Batch::new();
        for number in some {
            batch.publish(&[orders.id()], Message::new(&number.to_le_bytes()));
        }
        if round % 2 == 0 {
            store.commit(batch).unwrap();
        } else {
            drop(store.commit_buffered(batch).unwrap());
        }
    }
}

/// The numbers that this consumer acknowledged, and how many came back without a mark. Every fifth is put back once.
fn consume(store: &Store, orders: &Queue) -> (Vec<u64>, u64) {
    let (mut done, mut put_back, mut unmarked) = (Vec::new(), Vec::new(), 0);
    loop {
        let mut acks = Batch::new();
        let mut is_over = false;
        for delivery in orders.fetch_timeout(16, PATIENCE).unwrap() {
            if delivery.body() == b"end" {
                // Anything behind it is the other consumer's end.
                if is_over {
                    delivery.requeue().unwrap();
                } else {
                    is_over = true;
                    delivery.ack().unwrap();
                }
                continue;
            }
            let number = u64::from_le_bytes(delivery.body().try_into().unwrap());
            unmarked += u64::from(put_back.contains(&number) && !delivery.is_redelivered());
            if number % 5 == 0 && !delivery.is_redelivered() {
                put_back.push(number);
                drop(delivery);
            } else {
                done.push(number);
                acks.ack(delivery);
            }
        }
        store.commit(acks).unwrap();
        if is_over {
            // What came back meanwhile is still somebody's to do.
            for delivery in orders.fetch(u32::MAX).unwrap() {
                if delivery.body() == b"end" {
                    delivery.requeue().unwrap();
                } else {
                    done.push(u64::from_le_bytes(delivery.body().try_into().unwrap()));
                    delivery.ack().unwrap();
                }
            }
            return (done, unmarked);
        }
    }
}

#[test]
fn a_fetch_never_brings_what_is_not_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    let ticket = store.commit_buffered(batch(&orders, &["one"])).unwrap();
    assert_eq!(bodies(&orders.fetch(1).unwrap()), ["one"]);
    assert!(ticket.is_durable());
}
