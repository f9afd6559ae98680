//! Levels that count only while they are in use, on the simulated disk.

use crate::attempts::Return;
use crate::disk::sim::{Rng, SimDisk};
use crate::disk::{Disk, Now};
use crate::engine::Engine;
use crate::engine::stepped::{self, message_for, publish_all};
use crate::error::AppendError;
use crate::ids::{QueueId, Seq};
use crate::options::Options;
use crate::priority::Priority;
use crate::queue_limits::{QueueLimits, WhenFull};
use crate::shard::NewMessage;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const HIGHEST: u8 = 31;
const UNSAID: u8 = 4;

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
        let fixture = Self { disk, engine, queue };
        fixture.set_levels();
        fixture
    }

    fn set_levels(&self) {
        let mut guard = self.engine.lock();
        let set: Result<(), AppendError> = guard.shard().set_priorities_in_use(self.queue, HIGHEST, UNSAID);
        set.unwrap();
    }

    /// Publishes messages of these priorities, durably and in one block.
    fn publish(&self, priorities: &[Option<u8>]) {
        let messages = priorities.iter().map(|priority| NewMessage {
            priority: priority.map_or(Priority::NONE, Priority::new),
            ..message_for(std::slice::from_ref(&self.queue), &[b"body"])
        });
        let block = publish_all(&self.engine, messages);
        self.engine.wait_durable(block).unwrap();
    }

    /// So many, however often a lease ends where the delivery mark does.
    fn lease(&self, count: u32) -> Vec<u64> {
        let mut taken = Vec::new();
        loop {
            let left = count - u32::try_from(taken.len()).unwrap();
            let more = stepped::lease(&self.engine, self.queue, left);
            if more.is_empty() {
                return taken;
            }
            taken.extend(more);
        }
    }

    fn requeue(&self, seq: u64, how: Return) {
        let mut guard = self.engine.lock();
        let back = guard
            .shard()
            .requeue(self.queue, Seq::new(seq), 1, how, Now::default());
        back.unwrap();
    }

    fn acknowledge(&self, seq: u64) {
        let mut guard = self.engine.lock();
        let reason = crate::format::record::AckReason::Acked;
        let acked = guard
            .shard()
            .acknowledge(self.queue, Seq::new(seq), 1, reason, Now::default());
        let block = acked.unwrap();
        drop(guard);
        self.engine.wait_durable(block).unwrap();
    }

    fn purge(&self) {
        let purged = self.engine.lock().shard().purge(self.queue, Now::default());
        self.engine.wait_durable(purged.unwrap().1).unwrap();
    }

    /// Whether the queue is kept as one with levels.
    fn is_sorted(&self) -> bool {
        let mut guard = self.engine.lock();
        let queue = guard.shard().state.queues.get(self.queue);
        queue.unwrap().order.is_some()
    }

    fn reopened(self) -> Self {
        self.engine.close().unwrap();
        let (engine, report) = Engine::open(self.disk.clone(), Options::tiny(), ()).unwrap();
        assert!(report.clean);
        Self { engine, ..self }
    }
}

#[test]
fn higher_levels_go_first_and_what_has_no_priority_is_between_them() {
    let priorities = [None, Some(9), Some(0), Some(4), Some(200), Some(31), None];
    let expected = [4, 5, 1, 0, 3, 6, 2];
    let fixture = Fixture::new();
    fixture.publish(&priorities);
    assert_eq!(fixture.lease(9), expected, "of one block");
    let fixture = Fixture::new();
    for priority in priorities {
        fixture.publish(&[priority]);
    }
    assert_eq!(fixture.lease(9), expected, "of a block for each");
}

#[test]
fn while_all_that_waits_has_one_level_nothing_is_sorted() {
    let fixture = Fixture::new();
    fixture.publish(&[Some(7); 300]);
    assert_eq!(fixture.lease(300).len(), 300);
    // The others are leased, and wait no more.
    fixture.publish(&[None, Some(4)]);
    assert!(!fixture.is_sorted());
    fixture.publish(&[Some(5)]);
    assert!(fixture.is_sorted());
    assert_eq!(fixture.lease(9), [302, 300, 301]);
    fixture.publish(&[Some(0)]);
    assert!(!fixture.is_sorted(), "nothing waited any more");
    assert_eq!(fixture.lease(9), [303]);
}

#[test]
fn what_came_back_goes_before_all_levels_and_in_its_order() {
    let fixture = Fixture::new();
    fixture.publish(&[Some(1), Some(1), Some(1)]);
    assert_eq!(fixture.lease(2), [0, 1]);
    fixture.publish(&[Some(9)]);
    fixture.requeue(1, Return::Failed);
    fixture.requeue(0, Return::Released);
    assert_eq!(fixture.lease(9), [0, 1, 3, 2]);
}

#[test]
fn what_nobody_has_seen_goes_back_to_its_level() {
    let fixture = Fixture::new();
    fixture.publish(&[Some(2), Some(1)]);
    assert_eq!(fixture.lease(1), [0]);
    fixture.publish(&[Some(9)]);
    fixture.requeue(0, Return::Unseen);
    assert_eq!(fixture.lease(9), [2, 0, 1]);
}

#[test]
fn what_came_back_before_keeps_its_place_when_its_next_taker_has_not_seen_it() {
    let fixture = Fixture::new();
    fixture.publish(&[Some(1), Some(1)]);
    assert_eq!(fixture.lease(1), [0]);
    fixture.publish(&[Some(9)]);
    fixture.requeue(0, Return::Failed);
    assert_eq!(fixture.lease(1), [0]);
    fixture.requeue(0, Return::Unseen);
    assert_eq!(fixture.lease(9), [0, 2, 1]);
}

#[test]
fn a_queue_goes_from_one_kind_of_levels_to_the_other_and_keeps_all_it_holds() {
    let fixture = Fixture::new();
    fixture.publish(&[None, Some(2), Some(9)]);
    let always = |highest| {
        fixture
            .engine
            .lock()
            .shard()
            .set_priorities(fixture.queue, highest)
    };
    always(1).unwrap();
    fixture.publish(&[Some(7)]);
    assert_eq!(fixture.lease(2), [1, 2], "9 is not above 2 there");
    fixture.set_levels();
    fixture.publish(&[None]);
    assert_eq!(fixture.lease(9), [3, 0, 4]);
    always(100).unwrap();
    fixture.publish(&[Some(3)]);
    assert_eq!(fixture.lease(1), [5]);
    fixture.publish(&[Some(40), Some(50)]);
    assert_eq!(
        fixture.lease(9),
        [7, 6],
        "they count also after nothing was there"
    );
}

#[test]
fn a_limit_drops_what_would_have_been_delivered_next() {
    let fixture = Fixture::new();
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
    fixture.publish(&[Some(1), Some(2)]);
    fixture.publish(&[Some(0)]);
    assert_eq!(fixture.lease(9), [0, 2]);
}

#[test]
fn a_start_knows_whether_there_is_anything_to_sort() {
    let fixture = Fixture::new();
    fixture.publish(&[Some(0), Some(0)]);
    let fixture = fixture.reopened();
    fixture.set_levels();
    assert!(!fixture.is_sorted());
    fixture.publish(&[None]);
    let fixture = fixture.reopened();
    fixture.set_levels();
    assert!(fixture.is_sorted());
    assert_eq!(fixture.lease(9), [2, 0, 1]);
}

#[test]
fn levels_are_there_after_a_crash() {
    let Fixture { disk, engine, queue } = {
        let fixture = Fixture::new();
        fixture.publish(&[None, Some(0), Some(9)]);
        fixture
    };
    disk.turn_off();
    drop(engine);
    let disk = disk.after_crash(&mut Rng::new(1));
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let fixture = Fixture { disk, engine, queue };
    fixture.set_levels();
    assert_eq!(fixture.lease(9), [2, 0, 1]);
}

#[derive(Clone, Debug)]
enum Operation {
    Publish(Vec<Option<u8>>),
    Lease(u32),
    Requeue(usize),
    Acknowledge(usize),
    Purge,
}

/// What is ready, and who has the rest.
#[derive(Default)]
struct Model {
    next: u64,
    /// The level of each.
    fresh: BTreeMap<u64, u8>,
    returned: BTreeSet<u64>,
    leased: Vec<u64>,
}

impl Model {
    fn publish(&mut self, priorities: &[Option<u8>]) {
        for priority in priorities {
            let level = priority.unwrap_or(UNSAID).min(HIGHEST);
            self.fresh.insert(self.next, level);
            self.next += 1;
        }
    }

    fn lease(&mut self, count: u32) -> Vec<u64> {
        let taken: Vec<u64> = (0..count).map_while(|_| self.take()).collect();
        self.leased.extend(&taken);
        taken
    }

    fn take(&mut self) -> Option<u64> {
        if let Some(first) = self.returned.pop_first() {
            return Some(first);
        }
        let best = self.fresh.iter().rev().max_by_key(|(_, level)| **level);
        let seq = best.map(|(seq, _)| *seq)?;
        self.fresh.remove(&seq);
        Some(seq)
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    let priority = prop_oneof![3 => Just(None), 1 => (0_u8..40).prop_map(Some)];
    let same =
        (proptest::option::of(0_u8..6), 1_usize..200).prop_map(|(priority, count)| vec![priority; count]);
    prop_oneof![
        3 => prop::collection::vec(priority, 1..6).prop_map(Operation::Publish),
        1 => same.prop_map(Operation::Publish),
        4 => (1_u32..8).prop_map(Operation::Lease),
        1 => (100_u32..300).prop_map(Operation::Lease),
        2 => any::<usize>().prop_map(Operation::Requeue),
        3 => any::<usize>().prop_map(Operation::Acknowledge),
        1 => Just(Operation::Purge),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_leased_is_what_came_back_and_then_the_oldest_of_the_highest_level(
        operations in prop::collection::vec(operation(), 1..40)
    ) {
        let fixture = Fixture::new();
        let mut model = Model::default();
        for operation in operations {
            match operation {
                Operation::Publish(priorities) => {
                    fixture.publish(&priorities);
                    model.publish(&priorities);
                }
                Operation::Lease(count) => {
                    prop_assert_eq!(fixture.lease(count), model.lease(count));
                }
                Operation::Requeue(at) if !model.leased.is_empty() => {
                    let seq = model.leased.swap_remove(at % model.leased.len());
                    fixture.requeue(seq, Return::Failed);
                    model.returned.insert(seq);
                }
                Operation::Acknowledge(at) if !model.leased.is_empty() => {
                    let seq = model.leased.swap_remove(at % model.leased.len());
                    fixture.acknowledge(seq);
                }
                Operation::Purge => {
                    fixture.purge();
                    model.fresh.clear();
                    model.returned.clear();
                }
                Operation::Requeue(_) | Operation::Acknowledge(_) => {}
            }
            let ready = u64::try_from(model.fresh.len() + model.returned.len()).unwrap();
            let counts = fixture.engine.lock().shard().counts(fixture.queue).unwrap();
            prop_assert_eq!((counts.ready, counts.leased), (ready, u64::try_from(model.leased.len()).unwrap()));
        }
    }
}
