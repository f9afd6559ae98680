//! A store of the smallest sizes in a directory of its own, and what every test does with it.

use logpond_store::{Batch, Delivery, Message, Options, Queue, QueueOptions, RecoveryReport, Store};
use std::path::Path;
use std::time::Duration;

/// Far more than anything here takes: a test that waits longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn open(dir: &Path) -> (Store, RecoveryReport) {
    Store::open(dir, Options::tiny()).unwrap()
}

pub fn queue(store: &Store, name: &str) -> Queue {
    store.queue(name, QueueOptions::default()).unwrap()
}

pub fn publish(store: &Store, queue: &Queue, bodies: &[&str]) {
    store.commit(batch(queue, bodies)).unwrap();
}

pub fn batch(queue: &Queue, bodies: &[&str]) -> Batch {
    let mut batch = Batch::new();
    for body in bodies {
        batch.publish(&[queue.id()], Message::new(body));
    }
    batch
}

pub fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
    let bodies = deliveries.iter().map(Delivery::body);
    bodies.map(|body| std::str::from_utf8(body).unwrap()).collect()
}

/// The bodies in a queue, none of them taken.
pub fn held(queue: &Queue) -> Vec<String> {
    let entries = queue.browse().map(Result::unwrap);
    entries
        .map(|entry| String::from_utf8(entry.body).unwrap())
        .collect()
}

/// What a crash at this moment would leave.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
