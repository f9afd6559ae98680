//! Priorities on the simulated disk, written step by step.

use super::*;
use crate::attempts::Return;
use crate::disk::sim::{Rng, SimDisk};
use crate::disk::{Disk, Now};
use crate::engine::Engine;
use crate::engine::stepped::{self, message_for, publish_all};
use crate::ids::Seq;
use crate::options::Options;
use crate::priority::Priority;
use crate::queue_limits::{QueueLimits, WhenFull};
use crate::shard::{DeadLetters, NewMessage, Sources};

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

    fn set_priorities(&self, highest: u8) {
        let set = self.engine.lock().shard().set_priorities(self.queue, highest);
        set.unwrap();
    }

    /// Publishes messages of these priorities, durably.
    fn publish(&self, priorities: &[u8]) {
        let messages = priorities.iter().map(|priority| NewMessage {
            priority: Priority::new(*priority),
            ..message_for(std::slice::from_ref(&self.queue), &[b"body"])
        });
        let block = publish_all(&self.engine, messages);
        self.engine.wait_durable(block).unwrap();
    }

    fn lease(&self, count: u32) -> Vec<u64> {
        stepped::lease(&self.engine, self.queue, count)
    }
}

#[test]
fn higher_levels_go_first_and_each_in_the_order_of_publication() {
    let fixture = Fixture::new();
    fixture.set_priorities(9);
    fixture.publish(&[0, 5, 9, 5, 200, 0]);
    assert_eq!(fixture.lease(9), [2, 4, 1, 3, 0, 5]);
}

#[test]
fn what_comes_back_takes_its_old_place_in_its_level() {
    let fixture = Fixture::new();
    fixture.set_priorities(9);
    fixture.publish(&[1, 1, 0]);
    assert_eq!(fixture.lease(2), [0, 1]);
    fixture.publish(&[1]);
    let back = fixture.engine.lock().shard().requeue(
        fixture.queue,
        Seq::new(1),
        1,
        Return::Released,
        Now::default(),
    );
    back.unwrap();
    assert_eq!(fixture.lease(9), [1, 3, 2]);
}

#[test]
fn levels_that_are_set_later_sort_what_is_there() {
    let fixture = Fixture::new();
    fixture.publish(&[0, 3, 1, 3]);
    assert_eq!(fixture.lease(1), [0]);
    fixture.set_priorities(2);
    assert_eq!(fixture.lease(9), [1, 3, 2], "what is leased is not sorted");
}

#[test]
fn priorities_survive_a_restart_and_their_owner_sets_the_levels_again() {
    let fixture = Fixture::new();
    fixture.set_priorities(9);
    fixture.publish(&[0, 5, 9, 5]);
    assert_eq!(fixture.lease(1), [2]);
    fixture.engine.close().unwrap();
    let (engine, report) = Engine::open(fixture.disk.clone(), Options::tiny(), ()).unwrap();
    assert!(report.clean);
    let again = Fixture { engine, ..fixture };
    again.set_priorities(9);
    assert_eq!(again.lease(9), [2, 1, 3, 0]);
}

#[test]
fn a_clean_stop_marks_only_what_was_delivered_as_redelivered() {
    let fixture = Fixture::new();
    fixture.set_priorities(9);
    fixture.publish(&[0, 5, 9]);
    assert_eq!(fixture.lease(1), [2]);
    fixture.engine.close().unwrap();
    let (engine, _) = Engine::open(fixture.disk.clone(), Options::tiny(), ()).unwrap();
    let again = Fixture { engine, ..fixture };
    again.set_priorities(9);
    let mut leases = Vec::new();
    let mut guard = again.engine.lock();
    let shard = guard.shard();
    shard.peek(again.queue, Seq::new(0), 9, &mut leases).unwrap();
    let redelivered: Vec<bool> = leases.iter().map(|lease| lease.redelivered).collect();
    assert_eq!(redelivered, [false, false, true]);
}

#[test]
fn a_limit_drops_what_would_have_been_delivered_next() {
    let fixture = Fixture::new();
    fixture.set_priorities(9);
    let limits = QueueLimits {
        messages: Some(2),
        bytes: None,
        when_full: WhenFull::DropHead,
    };
    let now = fixture.disk.now();
    let set = fixture
        .engine
        .lock()
        .shard()
        .set_limits(fixture.queue, limits, now);
    set.unwrap();
    fixture.publish(&[1, 2]);
    fixture.publish(&[0]);
    assert_eq!(fixture.lease(9), [0, 2]);
}

#[test]
fn a_purge_takes_all_levels() {
    let fixture = Fixture::new();
    fixture.set_priorities(9);
    fixture.publish(&[0, 5, 9]);
    let (queue, now) = (fixture.queue, fixture.disk.now());
    let (count, block) = fixture.engine.lock().shard().purge(queue, now).unwrap();
    fixture.engine.wait_durable(block).unwrap();
    assert_eq!(count, 3);
    assert!(fixture.lease(9).is_empty());
    let counts = fixture.engine.lock().shard().counts(queue);
    assert_eq!(counts, Some(crate::Counts::default()));
}

/// Publishes messages that expire after these times, durably.
fn publish_expiring(fixture: &Fixture, after_ms: &[u64]) {
    let now_ms = fixture.disk.now().wall_ms;
    let messages = after_ms.iter().map(|after_ms| NewMessage {
        expires_ms: Some(now_ms + after_ms),
        ..message_for(std::slice::from_ref(&fixture.queue), &[b"body"])
    });
    let block = publish_all(&fixture.engine, messages);
    fixture.engine.wait_durable(block).unwrap();
}

/// What comes to its end in so many milliseconds.
fn ended_after(fixture: &Fixture, ms: u64) -> Vec<u64> {
    fixture.disk.advance(ms);
    while fixture.engine.step() {}
    let (mut found, mut sources) = (Vec::new(), Sources::default());
    let mut guard = fixture.engine.lock();
    let taken = guard.shard().take_dead_letters(99, &mut found, &mut sources);
    taken.unwrap();
    found.iter().map(|letter| letter.lease.seq.get()).collect()
}

fn set_due_order(engine: &Engine<SimDisk>, queue: QueueId) {
    let mut guard = engine.lock();
    guard.shard().set_due_order(queue).unwrap();
    let set = guard
        .shard()
        .set_dead_letters(queue, DeadLetters::HandOut, Now::default());
    set.unwrap();
}

#[test]
fn in_the_order_of_expiry_each_goes_when_its_time_has_come() {
    let fixture = Fixture::new();
    set_due_order(&fixture.engine, fixture.queue);
    publish_expiring(&fixture, &[300, 100, 200, 100]);
    assert_eq!(ended_after(&fixture, 99), []);
    assert_eq!(ended_after(&fixture, 1), [1, 3]);
    publish_expiring(&fixture, &[50]);
    assert_eq!(ended_after(&fixture, 60), [4]);
    assert_eq!(
        ended_after(&fixture, 999),
        [0, 2],
        "those that are due together in the order of publication"
    );
}

#[test]
fn the_order_of_expiry_is_found_again_after_a_crash() {
    let fixture = Fixture::new();
    publish_expiring(&fixture, &[300, 100, 200]);
    let Fixture { disk, engine, queue } = fixture;
    disk.turn_off();
    drop(engine);
    let disk = disk.after_crash(&mut Rng::new(1));
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let fixture = Fixture { disk, engine, queue };
    set_due_order(&fixture.engine, fixture.queue);
    assert_eq!(ended_after(&fixture, 150), [1]);
    assert_eq!(ended_after(&fixture, 60), [2]);
    assert_eq!(ended_after(&fixture, 99), [0]);
}
