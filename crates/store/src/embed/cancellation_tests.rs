//! What becomes of a batch when the future that commits it is dropped, and what counts until something is durable.

use super::{Batch, Message, Queue, QueueOptions, Store};
use crate::Options;
use crate::disk::sim::SimDisk;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn open(disk: &SimDisk) -> (Store<SimDisk>, Queue<SimDisk>) {
    let (store, _) = Store::open_on(disk.clone(), Options::tiny()).unwrap();
    let queue = store.queue("orders", QueueOptions::default()).unwrap();
    (store, queue)
}

fn one(queue: &Queue<SimDisk>, body: &[u8]) -> Batch<SimDisk> {
    let mut batch = Batch::new();
    batch.publish(&[queue.id()], Message::new(body));
    batch
}

/// Lets the engine do what is due by then.
fn later(disk: &SimDisk, store: &Store<SimDisk>) {
    disk.advance(100);
    while store.engine().step() {}
}

/// Polls a future once; it must not be done by then.
fn poll_and_drop<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Pending));
}

#[test]
fn a_commit_that_is_dropped_before_its_batch_was_accepted_has_done_nothing() {
    let disk = SimDisk::new(1);
    let (store, queue) = open(&disk);
    store.commit(one(&queue, b"held")).unwrap();
    let mut batch = one(&queue, b"never polled");
    batch.ack(queue.fetch(1).unwrap().remove(0));
    drop(store.commit_async(batch));
    // As much waits for the disk as may.
    let mut taken = 1;
    while store.engine().lock().shard().has_room() {
        drop(store.commit_buffered(one(&queue, &vec![7; 20_000])).unwrap());
        taken += 1;
    }
    poll_and_drop(store.commit_async(one(&queue, b"dropped while the disk is behind")));
    later(&disk, &store);
    assert_eq!(queue.len(), taken);
    let back = queue.fetch(1).unwrap().remove(0);
    assert_eq!((back.body(), back.attempts().failed), (&b"held"[..], 1));
}

#[test]
fn a_commit_that_is_dropped_behind_that_becomes_durable_all_the_same() {
    let disk = SimDisk::new(1);
    let (store, queue) = open(&disk);
    store.commit(one(&queue, b"one")).unwrap();
    let mut batch = one(&queue, b"two");
    batch.ack(queue.fetch(1).unwrap().remove(0));
    poll_and_drop(store.commit_async(batch));
    later(&disk, &store);
    let (_store, queue) = open(&disk.after_kill());
    let left: Vec<_> = queue.browse().map(|entry| entry.unwrap().body).collect();
    assert_eq!(left, [b"two"]);
}

#[test]
fn a_message_counts_until_its_acknowledgement_is_durable() {
    let disk = SimDisk::new(1);
    let (store, queue) = open(&disk);
    store.commit(one(&queue, b"one")).unwrap();
    queue.fetch(1).unwrap().remove(0).ack().unwrap();
    assert_eq!(
        (queue.len(), queue.counts().ready, queue.counts().leased),
        (1, 0, 1)
    );
    later(&disk, &store);
    assert!(queue.is_empty());
}
