//! Dead letters on the simulated disk, written step by step.

use super::*;
use crate::attempts::Return;
use crate::disk::sim::SimDisk;
use crate::engine::Engine;
use crate::engine::stepped::{self, message_for, publish_all};
use crate::limits::HELD_MESSAGES_MAX;
use crate::options::Options;
use crate::queue_limits::{QueueLimits, WhenFull};
use crate::shard::{LeaseOutcome, NewMessage};

struct Fixture {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    queues: [QueueId; 2],
}

impl Fixture {
    /// Two queues that hold a message at most, and hand out what goes.
    fn new() -> Self {
        let disk = SimDisk::new(1);
        let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
        let queues = [stepped::durable_queue(&engine), stepped::durable_queue(&engine)];
        let fixture = Self { disk, engine, queues };
        fixture.configure();
        fixture
    }

    fn configure(&self) {
        let mut guard = self.engine.lock();
        for id in self.queues {
            let (shard, now) = (guard.shard(), self.disk.now());
            shard.set_dead_letters(id, DeadLetters::HandOut, now).unwrap();
            let limits = QueueLimits {
                messages: Some(1),
                bytes: None,
                when_full: WhenFull::DropHead,
            };
            shard.set_limits(id, limits, now).unwrap();
        }
    }

    fn publish(&self, queue: usize, bodies: &[&str]) {
        for body in bodies {
            let body = [body.as_bytes()];
            publish_all(&self.engine, [message_for(&self.queues[queue..=queue], &body)]);
        }
    }

    fn settle(&self) {
        let block = self.engine.lock().shard().building();
        while self.engine.step() && !self.engine.lock().shard().durable().covers(block) {}
    }

    /// Takes what can be taken, and reads it.
    fn take(&self, most: u64) -> Vec<(QueueId, AckReason, u64, String)> {
        let (mut letters, mut sources) = (Vec::new(), Sources::default());
        let taken = self
            .engine
            .lock()
            .shard()
            .take_dead_letters(most, &mut letters, &mut sources);
        assert_eq!(taken.unwrap(), u64::try_from(letters.len()).unwrap());
        let mut reader = self.engine.reader();
        let read = |letter: &DeadLetter| {
            let message = reader.message(letter.queue, &letter.lease, &sources).unwrap();
            let body = String::from_utf8(message.body.to_vec()).unwrap();
            (letter.queue, letter.reason, letter.lease.seq.get(), body)
        };
        letters.iter().map(read).collect()
    }

    fn reopened(self) -> Self {
        let (engine, _) = Engine::open(self.disk.after_kill(), Options::tiny(), ()).unwrap();
        Self { engine, ..self }
    }

    fn counts(&self, queue: usize) -> (u64, u64) {
        let counts = self.engine.lock().shard().counts(self.queues[queue]).unwrap();
        (counts.ready, counts.leased)
    }
}

fn letter(queue: QueueId, reason: AckReason, seq: u64, body: &str) -> (QueueId, AckReason, u64, String) {
    (queue, reason, seq, body.to_owned())
}

#[test]
fn what_a_limit_drops_is_handed_out_when_it_is_durable_and_once() {
    let fixture = Fixture::new();
    fixture.publish(0, &["one", "two", "three"]);
    assert_eq!(fixture.counts(0).0, 1);
    assert!(fixture.take(9).is_empty(), "nothing is durable yet");
    fixture.settle();
    assert!(fixture.engine.lock().shard().has_dead_letters());
    let (queue, dropped) = (fixture.queues[0], AckReason::Dropped);
    assert_eq!(
        fixture.take(9),
        [letter(queue, dropped, 0, "one"), letter(queue, dropped, 1, "two")]
    );
    assert!(fixture.take(9).is_empty() && !fixture.engine.lock().shard().has_dead_letters());
    assert_eq!(fixture.counts(0), (1, 2), "they are their taker's");
}

#[test]
fn what_is_expired_or_rejected_is_handed_out_with_its_reason() {
    let fixture = Fixture::new();
    fixture.publish(0, &["one"]);
    fixture.settle();
    assert_eq!(stepped::lease(&fixture.engine, fixture.queues[0], 1), [0]);
    let (now, queue) = (fixture.disk.now(), fixture.queues[0]);
    let brief = NewMessage {
        expires_ms: Some(now.wall_ms + 10),
        ..message_for(std::slice::from_ref(&queue), &[b"brief"])
    };
    publish_all(&fixture.engine, [brief]);
    fixture.settle();
    fixture.disk.advance(10);
    // A step does what is due.
    while fixture.engine.step() {}
    let rejected = fixture.engine.lock().shard().reject(queue, Seq::new(0), 1, now);
    rejected.unwrap();
    assert_eq!(
        fixture.take(9),
        [
            letter(queue, AckReason::Rejected, 0, "one"),
            letter(queue, AckReason::Expired, 1, "brief")
        ]
    );
}

#[test]
fn what_a_lease_finds_expired_is_handed_out_too() {
    let fixture = Fixture::new();
    let (now, queue) = (fixture.disk.now(), fixture.queues[0]);
    let brief = NewMessage {
        expires_ms: Some(now.wall_ms + 10),
        ..message_for(std::slice::from_ref(&queue), &[b"brief"])
    };
    publish_all(&fixture.engine, [brief]);
    fixture.settle();
    fixture.disk.advance(10);
    fixture.engine.lock().shard().set_time(fixture.disk.now());
    assert!(stepped::lease(&fixture.engine, queue, 1).is_empty());
    assert_eq!(fixture.take(9), [letter(queue, AckReason::Expired, 0, "brief")]);
}

#[test]
fn what_leaves_by_the_head_is_handed_out_in_order_whatever_the_reason() {
    let fixture = Fixture::new();
    let (now, queue) = (fixture.disk.now(), fixture.queues[0]);
    let brief = |body: &'static [&'static [u8]]| NewMessage {
        expires_ms: Some(now.wall_ms + 10),
        ..message_for(std::slice::from_ref(&fixture.queues[0]), body)
    };
    publish_all(&fixture.engine, [brief(&[b"dropped"]), brief(&[b"expired"])]);
    fixture.settle();
    fixture.disk.advance(10);
    while fixture.engine.step() {}
    assert_eq!(
        fixture.take(9),
        [
            letter(queue, AckReason::Dropped, 0, "dropped"),
            letter(queue, AckReason::Expired, 1, "expired")
        ]
    );
}

#[test]
fn queues_take_turns() {
    let fixture = Fixture::new();
    fixture.publish(0, &["a", "b", "c", "d"]);
    fixture.publish(1, &["e", "f"]);
    fixture.settle();
    let mut bodies = Vec::new();
    for _ in 0..3 {
        bodies.extend(fixture.take(1).into_iter().map(|letter| letter.3));
    }
    assert_eq!(bodies, ["a", "e", "b"]);
}

#[test]
fn what_was_held_or_taken_is_back_after_a_crash_and_goes_again() {
    let fixture = Fixture::new();
    fixture.publish(0, &["one", "two", "three"]);
    fixture.settle();
    assert_eq!(fixture.take(1).len(), 1);
    let fixture = fixture.reopened();
    assert_eq!(fixture.counts(0), (3, 0));
    fixture.configure();
    assert_eq!(fixture.counts(0), (1, 2));
    let bodies: Vec<_> = fixture.take(9).into_iter().map(|letter| letter.3).collect();
    assert_eq!(bodies, ["one", "two"]);
}

#[test]
fn what_is_given_back_comes_to_the_same_end_again() {
    let fixture = Fixture::new();
    fixture.publish(0, &["one", "two"]);
    fixture.settle();
    assert_eq!(fixture.take(9).len(), 1);
    let (id, now) = (fixture.queues[0], fixture.disk.now());
    let back = fixture
        .engine
        .lock()
        .shard()
        .requeue(id, Seq::new(0), 1, Return::Released, now);
    back.unwrap();
    assert_eq!(fixture.take(9), [letter(id, AckReason::Dropped, 0, "one")]);
}

#[test]
fn what_is_given_back_before_anything_was_delivered_waits_for_the_delivery_mark() {
    let fixture = Fixture::new();
    let queue = fixture.queues[0];
    fixture.publish(0, &["dropped", "dropped too", "kept"]);
    fixture.settle();
    assert_eq!(fixture.take(9).len(), 2);
    let now = fixture.disk.now();
    let mut guard = fixture.engine.lock();
    let unlimited = QueueLimits::default();
    guard.shard().set_limits(queue, unlimited, now).unwrap();
    let back = guard.shard().requeue(queue, Seq::new(0), 2, Return::Unseen, now);
    back.unwrap();
    let (mut leases, mut sources) = (Vec::new(), Sources::default());
    let lease = guard.shard().lease(queue, 9, u64::MAX, &mut leases, &mut sources);
    assert!(
        matches!(lease, Ok(LeaseOutcome::Pending(_))),
        "a crash would forget that they were delivered: {lease:?}"
    );
    drop(guard);
    assert_eq!(stepped::lease(&fixture.engine, queue, 9), [0, 1, 2]);
}

#[test]
fn of_what_is_held_at_a_stop_only_what_a_consumer_had_comes_back_as_redelivered() {
    let fixture = Fixture::new();
    let (rejects, drops) = (fixture.queues[0], fixture.queues[1]);
    fixture.publish(0, &["rejected"]);
    fixture.publish(1, &["dropped", "kept"]);
    fixture.settle();
    assert_eq!(stepped::lease(&fixture.engine, rejects, 1), [0]);
    let now = fixture.disk.now();
    let rejected = fixture.engine.lock().shard().reject(rejects, Seq::new(0), 1, now);
    rejected.unwrap();
    assert_eq!(stepped::lease(&fixture.engine, drops, 1), [1]);
    fixture.engine.close().unwrap();
    let Fixture { disk, engine, .. } = fixture;
    drop(engine);

    let (engine, report) = Engine::open(disk, Options::tiny(), ()).unwrap();
    assert!(report.clean);
    let redelivered = |queue| {
        let (mut leases, mut sources) = (Vec::new(), Sources::default());
        let mut guard = engine.lock();
        let leased = guard.shard().lease(queue, 9, u64::MAX, &mut leases, &mut sources);
        leased.unwrap();
        let leases = leases.iter();
        leases
            .map(|lease| (lease.seq.get(), lease.redelivered))
            .collect::<Vec<_>>()
    };
    assert_eq!(redelivered(rejects), [(0, true)]);
    assert_eq!(redelivered(drops), [(0, false), (1, true)]);
}

#[test]
fn publishers_wait_while_many_are_held() {
    let fixture = Fixture::new();
    for _ in 0..HELD_MESSAGES_MAX {
        fixture.publish(0, &["x"]);
    }
    fixture.settle();
    assert!(fixture.engine.lock().shard().has_room());
    fixture.publish(0, &["one more"]);
    fixture.settle();
    assert!(!fixture.engine.lock().shard().has_room());
    assert_eq!(fixture.take(1).len(), 1);
    assert!(fixture.engine.lock().shard().has_room());
}

/// Publishes one that expires at once.
fn publish_brief(fixture: &Fixture, queue: usize) {
    let brief = NewMessage {
        expires_ms: Some(fixture.disk.now().wall_ms),
        ..message_for(&fixture.queues[queue..=queue], &[b"brief"])
    };
    publish_all(&fixture.engine, [brief]);
}

#[test]
fn for_what_expires_together_no_publisher_waits() {
    let fixture = Fixture::new();
    let (id, now) = (fixture.queues[0], fixture.disk.now());
    let unlimited = QueueLimits::default();
    let set = fixture.engine.lock().shard().set_limits(id, unlimited, now);
    set.unwrap();
    let many = HELD_MESSAGES_MAX + 64;
    for _ in 0..many {
        publish_brief(&fixture, 0);
    }
    let mut moved = 0;
    while moved < many {
        while fixture.engine.step() {}
        assert!(fixture.engine.lock().shard().has_room(), "{moved} of {many}");
        moved += u64::try_from(fixture.take(64).len()).unwrap();
        fixture.publish(1, &["another"]);
    }
}

#[test]
fn what_a_limit_drops_does_not_keep_others_from_expiring() {
    let fixture = Fixture::new();
    for _ in 0..=HELD_MESSAGES_MAX {
        fixture.publish(0, &["x"]);
    }
    fixture.settle();
    assert!(!fixture.engine.lock().shard().has_room());
    publish_brief(&fixture, 1);
    while fixture.engine.step() {}
    assert_eq!(fixture.counts(1), (0, 1), "it is held");
}

#[test]
fn a_queue_that_no_longer_hands_out_acknowledges_what_it_holds() {
    let fixture = Fixture::new();
    fixture.publish(0, &["one", "two"]);
    fixture.settle();
    let (id, now) = (fixture.queues[0], fixture.disk.now());
    let set = fixture
        .engine
        .lock()
        .shard()
        .set_dead_letters(id, DeadLetters::Settle, now);
    set.unwrap();
    fixture.settle();
    assert_eq!(fixture.counts(0), (1, 0));
    assert!(fixture.take(9).is_empty());
}

#[test]
fn a_deleted_queue_holds_nothing() {
    let fixture = Fixture::new();
    fixture.publish(0, &["one", "two"]);
    fixture.settle();
    let deleted = fixture.engine.lock().shard().delete_queue(fixture.queues[0]);
    fixture.engine.wait_durable(deleted.unwrap()).unwrap();
    assert!(fixture.take(9).is_empty() && !fixture.engine.lock().shard().has_dead_letters());
}
