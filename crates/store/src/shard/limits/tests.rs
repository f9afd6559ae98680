//! Limits on the simulated disk, written step by step.

use super::*;
use crate::attempts::Return;
use crate::disk::sim::SimDisk;
use crate::engine::{Engine, stepped};
use crate::options::Options;
use crate::priority::Priority;
use crate::shard::{NewMessage, TransactionSize};
use crate::{Persistence, Seq};

const DROP_HEAD: WhenFull = WhenFull::DropHead;

struct Fixture {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    queues: Vec<QueueId>,
}

impl Fixture {
    /// Two queues, both with these limits.
    fn new(limits: QueueLimits) -> Self {
        let disk = SimDisk::new(1);
        let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
        let mut queues = Vec::new();
        for _ in 0..2 {
            queues.push(stepped::durable_queue(&engine));
        }
        let fixture = Self { disk, engine, queues };
        fixture.limit(limits);
        fixture.settle();
        fixture
    }

    fn limit(&self, limits: QueueLimits) {
        for queue in &self.queues {
            let set = self
                .engine
                .lock()
                .shard()
                .set_limits(*queue, limits, Now::default());
            set.unwrap();
        }
    }

    fn publish(&self, queues: &[usize], body: &[u8]) -> Result<(), AppendError> {
        let queues: Vec<_> = queues.iter().map(|queue| self.queues[*queue]).collect();
        let message = NewMessage {
            queues: &queues,
            properties: &[b"properties"],
            body: &[body],
            persistence: Persistence::Persistent,
            priority: Priority::NONE,
            timestamp_ms: 1,
            expires_ms: None,
        };
        self.engine.lock().shard().publish(&message).map(drop)
    }

    /// Publishes so many messages of one byte to the first queue.
    fn publish_many(&self, count: usize) {
        for _ in 0..count {
            self.publish(&[0], b"x").unwrap();
        }
    }

    /// Writes all that waits.
    fn settle(&self) {
        let block = self.engine.lock().shard().building();
        while self.engine.step() && !self.engine.lock().shard().durable().covers(block) {}
    }

    fn lease(&self, count: u32) -> Vec<u64> {
        stepped::lease(&self.engine, self.queues[0], count)
    }

    fn counts(&self, queue: usize) -> (u64, u64) {
        let mut guard = self.engine.lock();
        let counts = guard.shard().counts(self.queues[queue]).unwrap();
        (counts.ready, counts.leased)
    }

    fn ready_bytes(&self, queue: usize) -> u64 {
        self.engine
            .lock()
            .shard()
            .ready_bytes(self.queues[queue])
            .unwrap()
    }
}

fn messages(most: u64, when_full: WhenFull) -> QueueLimits {
    QueueLimits {
        messages: Some(most),
        bytes: None,
        when_full,
    }
}

fn bytes(most: u64, when_full: WhenFull) -> QueueLimits {
    QueueLimits {
        messages: None,
        bytes: Some(most),
        when_full,
    }
}

#[test]
fn the_oldest_make_room_for_the_newest() {
    let fixture = Fixture::new(messages(3, DROP_HEAD));
    fixture.publish_many(2);
    fixture.settle();
    fixture.publish_many(3);
    assert_eq!(fixture.counts(0).0, 3);
    fixture.settle();
    assert_eq!(fixture.counts(0), (3, 0));
    assert_eq!(fixture.lease(9), [2, 3, 4]);
}

#[test]
fn what_is_not_durable_yet_makes_room_too() {
    let fixture = Fixture::new(messages(2, DROP_HEAD));
    fixture.publish_many(10);
    assert_eq!(fixture.counts(0).0, 2);
    assert_eq!(fixture.ready_bytes(0), 2);
    fixture.settle();
    assert_eq!((fixture.counts(0), fixture.ready_bytes(0)), ((2, 0), 2));
    assert_eq!(fixture.lease(9), [8, 9]);
}

#[test]
fn what_is_leased_stays_and_does_not_count() {
    let fixture = Fixture::new(messages(2, DROP_HEAD));
    fixture.publish_many(2);
    assert_eq!(fixture.lease(1), [0]);
    fixture.publish_many(3);
    fixture.settle();
    assert_eq!(fixture.counts(0), (2, 1));
    assert_eq!(fixture.lease(9), [3, 4]);
}

#[test]
fn what_comes_back_to_a_full_queue_is_its_head_and_goes() {
    let fixture = Fixture::new(messages(2, DROP_HEAD));
    fixture.publish_many(2);
    assert_eq!(fixture.lease(1), [0]);
    fixture.publish_many(1);
    let queue = fixture.queues[0];
    let back = fixture
        .engine
        .lock()
        .shard()
        .requeue(queue, Seq::new(0), 1, Return::Released, Now::default());
    back.unwrap();
    fixture.settle();
    assert_eq!(fixture.counts(0), (2, 0));
    assert_eq!(fixture.lease(9), [1, 2]);
}

#[test]
fn bytes_of_bodies_count_and_properties_do_not() {
    let fixture = Fixture::new(bytes(10, DROP_HEAD));
    for body in [&[0; 4], &[1; 4], &[2; 4]] {
        fixture.publish(&[0], body).unwrap();
    }
    assert_eq!((fixture.counts(0).0, fixture.ready_bytes(0)), (2, 8));
    fixture.settle();
    fixture.publish(&[0], &[3; 10]).unwrap();
    fixture.settle();
    assert_eq!((fixture.counts(0), fixture.ready_bytes(0)), ((1, 0), 10));
    // A message that never fits is taken, and gone at once.
    fixture.publish(&[0], &[4; 11]).unwrap();
    fixture.settle();
    assert_eq!((fixture.counts(0), fixture.ready_bytes(0)), ((0, 0), 0));
}

#[test]
fn a_refused_message_is_in_none_of_its_queues() {
    let fixture = Fixture::new(QueueLimits::default());
    let limits = messages(1, WhenFull::Refuse);
    let limited = fixture.queues[0];
    let set = fixture
        .engine
        .lock()
        .shard()
        .set_limits(limited, limits, Now::default());
    set.unwrap();
    fixture.publish(&[0, 1], b"first").unwrap();
    let refused = fixture.publish(&[1, 0], b"second").unwrap_err();
    assert!(matches!(refused, AppendError::QueueFull(queue) if queue == limited));
    assert!(fixture.engine.lock().shard().refuses(limited, 0, 1));
    assert!(!fixture.engine.lock().shard().refuses(fixture.queues[1], 0, 1));
    fixture.settle();
    assert_eq!((fixture.counts(0), fixture.counts(1)), ((1, 0), (1, 0)));
    // What is leased does not count.
    assert_eq!(fixture.lease(1), [0]);
    fixture.publish(&[0], b"third").unwrap();
}

#[test]
fn limits_of_bytes_refuse_what_would_exceed_them() {
    let fixture = Fixture::new(bytes(10, WhenFull::Refuse));
    fixture.publish(&[0], &[0; 10]).unwrap();
    assert!(fixture.publish(&[0], &[0; 1]).is_err());
    fixture.publish(&[0], &[]).unwrap();
    fixture.settle();
    assert!(fixture.publish(&[0], &[0; 1]).is_err());
}

#[test]
fn a_limit_that_is_set_later_drops_what_exceeds_it() {
    let fixture = Fixture::new(QueueLimits::default());
    fixture.publish_many(500);
    fixture.settle();
    fixture.limit(messages(7, DROP_HEAD));
    fixture.settle();
    assert_eq!(fixture.counts(0), (7, 0));
    fixture.limit(QueueLimits::default());
    fixture.publish_many(5);
    fixture.settle();
    assert_eq!(fixture.counts(0), (12, 0));
}

#[test]
fn a_restart_keeps_the_counts_of_bytes_and_forgets_the_limits() {
    let fixture = Fixture::new(messages(4, DROP_HEAD));
    for len in 0..10 {
        fixture.publish(&[0], &vec![0; len]).unwrap();
    }
    fixture.settle();
    fixture.engine.close().unwrap();
    let (engine, report) = Engine::open(fixture.disk.clone(), Options::tiny(), ()).unwrap();
    assert!(report.clean);
    let again = Fixture { engine, ..fixture };
    assert_eq!((again.counts(0), again.ready_bytes(0)), ((4, 0), 6 + 7 + 8 + 9));
    again.publish_many(1);
    assert_eq!(again.counts(0).0, 5);
}

#[test]
fn a_transaction_drops_in_its_own_block() {
    let fixture = Fixture::new(messages(3, DROP_HEAD));
    fixture.publish_many(3);
    fixture.settle();
    let body = [7; 100];
    let message = NewMessage {
        queues: &[fixture.queues[0]],
        properties: &[],
        body: &[&body],
        persistence: Persistence::Persistent,
        priority: Priority::NONE,
        timestamp_ms: 1,
        expires_ms: None,
    };
    let mut size = TransactionSize::default();
    (0..5).for_each(|_| size.add_message(message.queues, 0, 100));
    let before = fixture.engine.lock().shard().building();
    let done = fixture.engine.lock().shard().transaction(&size, |shard| {
        (0..5).try_for_each(|_| shard.publish(&message).map(drop))
    });
    let (published, block) = done.unwrap();
    published.unwrap();
    assert_eq!(before, block);
    assert_eq!(fixture.engine.lock().shard().building(), block);
    assert_eq!(fixture.counts(0).0, 3);
    fixture.settle();
    assert_eq!(fixture.counts(0), (3, 0));
    assert_eq!(fixture.lease(9), [5, 6, 7]);
}
