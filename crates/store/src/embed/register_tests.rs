//! Who waits while a queue is made, and what a full disk says.

use super::{Batch, Message, QueueOptions, Store, TryCommitError};
use crate::Options;
use crate::disk::sim::SimDisk;
use std::sync::mpsc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn open() -> (SimDisk, Store<SimDisk>) {
    let disk = SimDisk::new(1);
    let (store, _) = Store::open_on(disk.clone(), Options::tiny()).unwrap();
    (disk, store)
}

#[test]
fn who_looks_does_not_wait_for_a_queue_that_is_being_made() {
    let (_, store) = open();
    store.queue("old", QueueOptions::default()).unwrap();
    // No definition is written while this is held.
    let catalog = store.engine().catalog();
    let first = store.engine().next_queue_id().get();
    let making: Vec<_> = (0..2)
        .map(|_| {
            let store = store.clone();
            std::thread::spawn(move || {
                store
                    .queue("new", QueueOptions::default())
                    .map(|queue| queue.id())
            })
        })
        .collect();
    // It is on its way to the catalog once it has an id.
    while (1..)
        .zip(std::iter::repeat_with(|| store.engine().next_queue_id().get()))
        .take(1 << 20)
        .all(|(more, id)| id == first + more)
    {
        std::thread::yield_now();
    }
    let (looked, has_looked) = mpsc::channel();
    let looking = store.clone();
    std::thread::spawn(move || {
        let found = looking.find_queue("new").is_some() || looking.find_queue("old").is_none();
        looked.send((found, looking.queues().len(), looking.stats().queues))
    });
    let seen = has_looked.recv_timeout(PATIENCE).expect("nobody waits who looks");
    assert_eq!(seen, (false, 1, 1), "it is not there yet");
    drop(catalog);
    let made = making.into_iter().map(|thread| thread.join().unwrap().unwrap());
    let made: Vec<_> = made.collect();
    assert_eq!(made[0], made[1], "one name is one queue");
    assert_eq!(store.find_queue("new").unwrap().id(), made[0]);
}

#[test]
fn a_batch_that_a_full_disk_does_not_take_comes_back_and_says_so_until_a_delete_makes_room() {
    let (disk, store) = open();
    let queue = store.queue("orders", QueueOptions::default()).unwrap();
    disk.set_capacity(Some(disk.used_bytes() + (300 << 10)));
    let mut refused = None;
    for _ in 0..10_000 {
        let mut batch = Batch::new();
        batch.publish(&[queue.id()], Message::new(&[7; 3000]));
        match store.try_commit(batch) {
            Ok(_) => {}
            Err(TryCommitError::DiskFull(batch)) => {
                refused = Some(batch);
                break;
            }
            Err(TryCommitError::Full(_)) => {
                while store.engine().step() {}
                disk.advance(150);
            }
            Err(error) => panic!("{error}"),
        }
    }
    let batch = refused.expect("the disk gets full");
    assert!(store.stats().counters.is_disk_full);
    let other = store.queue("others", QueueOptions::default()).unwrap();
    queue.delete().unwrap();
    for _ in 0..50 {
        while store.engine().step() {}
        disk.advance(150);
    }
    assert!(!store.stats().counters.is_disk_full);
    drop(batch);
    let mut batch = Batch::new();
    batch.publish(&[other.id()], Message::new("after"));
    store.commit(batch).unwrap();
    assert_eq!(other.len(), 1);
}

#[test]
fn a_full_disk_takes_acknowledgements_however_they_are_brought() {
    let (disk, store) = open();
    let queue = store.queue("orders", QueueOptions::default()).unwrap();
    let rest = || {
        while store.engine().step() {}
        disk.advance(150);
    };
    let mut batch = Batch::new();
    batch.publish(&[queue.id()], Message::new("first"));
    batch.publish(&[queue.id()], Message::new("second"));
    batch.publish(&[queue.id()], Message::new("third"));
    store.commit(batch).unwrap();
    disk.set_capacity(Some(disk.used_bytes() + (300 << 10)));
    loop {
        let mut batch = Batch::new();
        batch.publish(&[queue.id()], Message::new(&[7; 3000]));
        match store.try_commit(batch) {
            Ok(_) => {}
            Err(TryCommitError::DiskFull(_)) => break,
            Err(TryCommitError::Full(_)) => rest(),
            Err(error) => panic!("{error}"),
        }
    }
    let fetched = queue.fetch(3).unwrap();
    let [first, second, third] = fetched.try_into().unwrap();
    let of = |deliveries: Vec<_>| {
        let mut batch = Batch::new();
        deliveries.into_iter().for_each(|delivery| batch.ack(delivery));
        batch
    };
    let before = queue.len();
    store.try_commit(of(vec![first])).unwrap().wait().unwrap();
    store.commit(of(vec![second])).unwrap();
    store.commit_buffered(of(vec![third])).unwrap().wait().unwrap();
    assert_eq!(queue.len(), before - 3);
    assert!(store.stats().counters.is_disk_full);
}
