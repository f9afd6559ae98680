//! Expiry on the simulated disk, written step by step.

use super::*;
use crate::attempts::Return;
use crate::disk::sim::SimDisk;
use crate::engine::Engine;
use crate::engine::stepped::{self, message_for, publish_all};
use crate::options::Options;
use crate::shard::NewMessage;

struct Fixture {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    queue: QueueId,
}

impl Fixture {
    fn new() -> Self {
        let disk = SimDisk::new(1);
        let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
        let queue = stepped::durable_queue(&engine);
        Self { disk, engine, queue }
    }

    /// Publishes messages that live so long, durably.
    fn publish(&self, ttls_ms: &[Option<u64>]) {
        let now_ms = self.disk.now().wall_ms;
        let messages = ttls_ms.iter().map(|ttl_ms| NewMessage {
            expires_ms: ttl_ms.map(|ttl_ms| now_ms + ttl_ms),
            ..message_for(std::slice::from_ref(&self.queue), &[b"body"])
        });
        let block = publish_all(&self.engine, messages);
        self.engine.wait_durable(block).unwrap();
    }

    fn lease(&self) -> Vec<u64> {
        self.engine.lock().shard().set_time(self.disk.now());
        stepped::lease(&self.engine, self.queue, 9)
    }

    fn expire(&self) -> u64 {
        self.engine.lock().shard().expire(self.disk.now(), 2).unwrap()
    }

    fn ready(&self) -> u64 {
        self.engine.lock().shard().counts(self.queue).unwrap().ready
    }

    fn next_in_ms(&self) -> Option<u64> {
        let next = self.engine.lock().shard().next_expiry_ms();
        next.map(|at| at.saturating_sub(self.disk.now().wall_ms))
    }

    /// Writes what waits.
    fn settle(&self) {
        while self.engine.step() {}
    }
}

#[test]
fn what_is_expired_is_never_leased() {
    let fixture = Fixture::new();
    fixture.publish(&[Some(10), Some(1000), Some(10), None]);
    fixture.disk.advance(10);
    assert_eq!(fixture.lease(), [1, 3]);
}

#[test]
fn heads_expire_without_a_consumer() {
    let fixture = Fixture::new();
    fixture.publish(&[Some(10), Some(10), Some(10), Some(50)]);
    assert_eq!((fixture.next_in_ms(), fixture.expire()), (Some(10), 0));
    fixture.disk.advance(10);
    assert_eq!(
        (fixture.expire(), fixture.expire()),
        (2, 1),
        "no more than asked for"
    );
    assert_eq!((fixture.ready(), fixture.next_in_ms()), (1, Some(40)));
    fixture.settle();
    fixture.engine.close().unwrap();
    let (engine, report) = Engine::open(fixture.disk.clone(), Options::tiny(), ()).unwrap();
    assert_eq!(report.queues[0].messages, 1);
    let again = Fixture { engine, ..fixture };
    assert_eq!(again.next_in_ms(), Some(40), "what is due is known after a start");
}

#[test]
fn what_is_expired_waits_behind_what_is_not() {
    let fixture = Fixture::new();
    fixture.publish(&[None, Some(10)]);
    fixture.disk.advance(10);
    assert_eq!(
        (fixture.expire(), fixture.ready(), fixture.next_in_ms()),
        (0, 2, None)
    );
    assert_eq!(fixture.lease(), [0]);
    assert_eq!(fixture.ready(), 0);
}

#[test]
fn what_is_leased_expires_when_it_comes_back() {
    let fixture = Fixture::new();
    fixture.publish(&[Some(10)]);
    assert_eq!(fixture.lease(), [0]);
    fixture.disk.advance(10);
    assert_eq!((fixture.expire(), fixture.next_in_ms()), (0, None));
    let (now, queue) = (fixture.disk.now(), fixture.queue);
    let back = fixture
        .engine
        .lock()
        .shard()
        .requeue(queue, Seq::new(0), 1, Return::Released, now);
    back.unwrap();
    assert_eq!((fixture.next_in_ms(), fixture.expire()), (Some(0), 1));
    assert!(fixture.lease().is_empty());
}

#[test]
fn a_deleted_queue_has_nothing_that_is_due() {
    let fixture = Fixture::new();
    fixture.publish(&[Some(10)]);
    let block = fixture.engine.lock().shard().delete_queue(fixture.queue);
    assert_eq!(fixture.next_in_ms(), None, "before it is durably gone");
    fixture.engine.wait_durable(block.unwrap()).unwrap();
    fixture.disk.advance(10);
    assert_eq!((fixture.expire(), fixture.next_in_ms()), (0, None));
}

/// Leases whatever it is told of.
#[derive(Default)]
struct Waiting {
    leases: Vec<crate::shard::Lease>,
    sources: crate::shard::Sources,
}

impl crate::follower::Follower<SimDisk> for Waiting {
    fn applied(&mut self, shard: &mut crate::shard::Shard<SimDisk>, applied: &crate::shard::Applied<'_>) {
        for queue in applied.queues {
            let leased = shard.lease(*queue, 1, u64::MAX, &mut self.leases, &mut self.sources);
            leased.unwrap();
        }
    }

    fn poisoned(&mut self, _cause: &crate::error::PoisonCause) {}

    fn take_wakers(&mut self) -> Vec<std::task::Waker> {
        Vec::new()
    }

    fn return_wakers(&mut self, _empty: Vec<std::task::Waker>) {}
}

#[test]
fn whoever_waits_gets_what_has_no_time_to_live_and_the_rest_expires() {
    let disk = SimDisk::new(1);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), Waiting::default()).unwrap();
    let queue = engine.next_queue_id();
    let durable = crate::queue::QueueDurability::Durable;
    let settle = || while engine.step() {};
    engine.lock().shard().create_queue(queue, durable, b"").unwrap();
    engine.lock().shard().expect_leases(queue).unwrap();
    settle();
    let no_time = NewMessage {
        expires_ms: Some(disk.now().wall_ms),
        ..message_for(std::slice::from_ref(&queue), &[b"x"])
    };
    for _ in 0..3 {
        engine.lock().shard().publish(&no_time).unwrap();
    }
    settle();
    let mut guard = engine.lock();
    let (shard, waiting) = guard.parts();
    let leased: Vec<_> = waiting.leases.iter().map(|lease| lease.seq.get()).collect();
    assert_eq!(leased, [0]);
    assert_eq!(
        (shard.counts(queue).unwrap().ready, shard.next_expiry_ms()),
        (0, None)
    );
}
