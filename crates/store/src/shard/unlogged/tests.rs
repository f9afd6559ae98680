//! Transient messages that are never written, and what the log says of the gaps that they leave.

use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::engine::Engine;
use crate::engine::stepped::{come_to_rest, durable_queue, lease, message_for, publish_all};
use crate::error::OpenError;
use crate::ids::{QueueId, Seq};
use crate::options::Options;
use crate::queue::QueueDurability;
use crate::report::RecoveryReport;
use crate::shard::{LeaseOutcome, SPILL_DIR, Sources};
use crate::{AckReason, BlockNumber, Lease, NewMessage, Persistence};

const BODY: &[u8] = &[7; 1000];

struct Opened {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    queue: QueueId,
}

fn opened() -> Opened {
    let disk = SimDisk::new(5);
    let (engine, _) = open(&disk).unwrap();
    let queue = durable_queue(&engine);
    Opened { disk, engine, queue }
}

fn open(disk: &SimDisk) -> Result<(Engine<SimDisk>, RecoveryReport), OpenError> {
    Engine::open(disk.clone(), Options::tiny(), ())
}

fn transient_for<'a>(queues: &'a [QueueId], body: &'a [&'a [u8]]) -> NewMessage<'a> {
    NewMessage {
        persistence: Persistence::Transient,
        ..message_for(queues, body)
    }
}

impl Opened {
    /// Publishes so many transient messages, and lets them have their turn.
    fn pass(&self, count: usize) {
        let queues = [self.queue];
        let message = transient_for(&queues, &[BODY]);
        for _ in 0..count {
            self.settle(publish_all(&self.engine, [message]));
        }
    }

    fn persist(&self) {
        let queues = [self.queue];
        self.settle(publish_all(&self.engine, [message_for(&queues, &[b"kept"])]));
    }

    fn settle(&self, block: BlockNumber) {
        self.engine.wait_durable(block).unwrap();
    }

    fn acknowledge(&self, first: u64, count: u64) -> BlockNumber {
        let now = self.disk.now();
        let mut guard = self.engine.lock();
        let acked = guard
            .shard()
            .acknowledge(self.queue, Seq::new(first), count, AckReason::Acked, now);
        acked.unwrap()
    }

    /// What the queue holds, read: seqs and bodies.
    fn contents(&self) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        let peeked = self
            .engine
            .lock()
            .shard()
            .peek(self.queue, Seq::new(0), 1000, &mut found);
        peeked.unwrap();
        let (mut reader, sources) = (self.engine.reader(), Sources::default());
        let mut read = |lease: &Lease| {
            let message = reader.message(self.queue, lease, &sources).unwrap();
            (lease.seq.get(), message.body.to_vec())
        };
        found.iter().map(&mut read).collect()
    }

    fn seqs(&self) -> Vec<u64> {
        self.contents().into_iter().map(|(seq, _)| seq).collect()
    }

    /// The store after a kill, with or without what the log can rebuild.
    fn after_kill(&self, index: Index) -> (Self, RecoveryReport) {
        let disk = self.disk.after_kill();
        if index == Index::Removed {
            crate::checkpoint::remove_all(&disk).unwrap();
        }
        let (engine, report) = open(&disk).unwrap();
        let queue = self.queue;
        (Self { disk, engine, queue }, report)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Index {
    Kept,
    Removed,
}

#[test]
fn a_flow_of_nothing_but_transient_messages_writes_nothing() {
    let store = opened();
    store.pass(1);
    // The first delivery is noted in the log.
    assert_eq!(lease(&store.engine, store.queue, 1), [0]);
    let before = store.disk.calls();
    for seq in 1..3 {
        store.pass(1);
        assert_eq!(lease(&store.engine, store.queue, 1), [seq]);
        store.acknowledge(seq, 1);
    }
    assert_eq!(store.disk.calls().changes(), before.changes());
    assert_eq!(store.seqs(), [0]);
}

#[test]
fn the_end_of_what_is_not_logged_is_true_at_once() {
    let store = opened();
    store.pass(3);
    assert_eq!(lease(&store.engine, store.queue, 3).len(), 3);
    let block = store.acknowledge(0, 3);
    assert!(store.engine.lock().shard().durable().covers(block));
    assert_eq!(store.seqs(), [0; 0]);
    assert_eq!(store.engine.counters().transient_live_bytes, 0);
}

#[test]
fn what_is_in_a_queue_that_ends_with_the_process_is_not_written() {
    let store = opened();
    let queue = store.engine.next_queue_id();
    let transient = QueueDurability::Transient;
    let made = store.engine.lock().shard().create_queue(queue, transient, b"");
    store.settle(made.unwrap());
    let before = store.disk.calls();
    store.settle(publish_all(&store.engine, [message_for(&[queue], &[BODY])]));
    assert_eq!(lease(&store.engine, queue, 1), [0]);
    assert_eq!(store.disk.calls().changes(), before.changes());
}

#[test]
fn a_transient_message_behind_a_persistent_one_waits_for_its_sync() {
    let store = opened();
    let queues = [store.queue];
    store.disk.set_faults(crate::disk::sim::FaultPlan {
        write_error: 65536,
        ..Default::default()
    });
    store
        .engine
        .lock()
        .shard()
        .publish(&message_for(&queues, &[b"kept"]))
        .unwrap();
    let mut guard = store.engine.lock();
    // The block before this takes nothing more.
    guard.shard().tail.make_room(1 << 20);
    let block = guard.shard().publish(&transient_for(&queues, &[BODY])).unwrap();
    drop(guard);
    assert!(store.engine.wait_durable(block).is_err());
    assert!(!store.engine.lock().shard().durable().covers(block));
}

#[test]
fn what_the_log_skipped_is_not_taken_for_lost() {
    let store = opened();
    store.pass(3);
    store.persist();
    store.pass(2);
    store.persist();
    assert_eq!(store.seqs(), [0, 1, 2, 3, 4, 5, 6]);
    for index in [Index::Kept, Index::Removed] {
        let (again, report) = store.after_kill(index);
        assert_eq!((again.seqs(), report.lost), (vec![3, 6], vec![]));
    }
}

#[test]
fn what_shares_a_block_with_a_persistent_message_is_logged_with_it() {
    let store = opened();
    let queues = [store.queue];
    store.pass(1);
    let (kept, fleeting) = (message_for(&queues, &[b"kept"]), transient_for(&queues, &[BODY]));
    store.settle(publish_all(&store.engine, [fleeting, fleeting, kept, fleeting]));
    store.pass(1);
    store.persist();
    for index in [Index::Kept, Index::Removed] {
        let (again, report) = store.after_kill(index);
        assert_eq!((again.seqs(), report.lost), (vec![3, 6], vec![]));
    }
}

#[test]
fn a_checkpoint_counts_what_is_not_logged_as_dead() {
    let store = opened();
    store.pass(2);
    store.persist();
    store.pass(2);
    store.engine.checkpoint();
    let (again, report) = store.after_kill(Index::Kept);
    assert_eq!((again.seqs(), report.lost), (vec![2], vec![]));
    let counts = again.engine.lock().shard().counts(again.queue).unwrap();
    assert_eq!((counts.ready, counts.leased), (1, 0));
    // The gap behind the checkpoint is explained by whoever comes next.
    again.persist();
    assert_eq!(again.seqs(), [2, 5]);
    for index in [Index::Kept, Index::Removed] {
        let (third, report) = again.after_kill(index);
        assert_eq!((third.seqs(), report.lost), (vec![2, 5], vec![]));
    }
}

#[test]
fn a_repeated_state_says_what_was_skipped_and_ends_no_life() {
    let store = opened();
    store.pass(2);
    store.persist();
    let block = store
        .engine
        .lock()
        .shard()
        .write_state_again(store.queue)
        .unwrap();
    store.settle(block);
    assert_eq!(store.seqs(), [0, 1, 2]);
    store.pass(1);
    let block = store
        .engine
        .lock()
        .shard()
        .write_state_again(store.queue)
        .unwrap();
    store.settle(block);
    assert_eq!(store.seqs(), [0, 1, 2, 3]);
    let (again, report) = store.after_kill(Index::Removed);
    assert_eq!((again.seqs(), report.lost), (vec![2], vec![]));
    assert_eq!(
        again.engine.lock().shard().next_seq(again.queue),
        Some(Seq::new(4))
    );
}

#[test]
fn an_acknowledgement_never_reaches_a_later_message_of_the_same_number() {
    let store = opened();
    store.persist();
    store.pass(4);
    assert_eq!(lease(&store.engine, store.queue, 5).len(), 5);
    // With the persistent one among them it is logged.
    let block = store.acknowledge(0, 3);
    store.settle(block);
    let (again, _) = store.after_kill(Index::Removed);
    assert_eq!(
        again.engine.lock().shard().next_seq(again.queue),
        Some(Seq::new(3))
    );
    again.persist();
    let (third, report) = again.after_kill(Index::Removed);
    assert_eq!((third.seqs(), report.lost), (vec![3], vec![]));
}

#[test]
fn a_persistent_message_is_kept_whatever_passes_beside_it() {
    let store = opened();
    let other = durable_queue(&store.engine);
    for _ in 0..20 {
        store.pass(3);
        let both = [store.queue, other];
        store.settle(publish_all(&store.engine, [message_for(&both, &[b"kept"])]));
        store
            .engine
            .lock()
            .shard()
            .purge(other, store.disk.now())
            .unwrap();
    }
    let expected: Vec<u64> = (0..20).map(|round| 4 * round + 3).collect();
    for index in [Index::Kept, Index::Removed] {
        let (again, report) = store.after_kill(index);
        assert_eq!((again.seqs(), report.lost), (expected.clone(), vec![]));
    }
}

#[test]
fn what_memory_does_not_hold_is_spilled_and_read_back() {
    let store = opened();
    for number in 0..200_u8 {
        let body = [number; 1000];
        let queues = [store.queue];
        store.settle(publish_all(&store.engine, [transient_for(&queues, &[&body])]));
        come_to_rest(&store.engine, &store.disk);
    }
    let counters = store.engine.counters();
    assert!(counters.transient_spills > 20, "{counters:?}");
    assert!(
        counters.transient_memory_bytes <= Options::tiny().transient_bytes,
        "{counters:?}"
    );
    let bodies = store
        .contents()
        .into_iter()
        .map(|(seq, body)| (seq, body[0], body.len()));
    let expected = (0..200_u8).map(|number| (u64::from(number), number, 1000));
    assert!(bodies.eq(expected));
}

#[test]
fn a_lease_of_what_is_spilled_can_be_read_although_it_was_purged_since() {
    let store = opened();
    store.pass(100);
    come_to_rest(&store.engine, &store.disk);
    let (mut leases, mut sources) = (Vec::new(), Sources::default());
    while leases.is_empty() {
        let mut guard = store.engine.lock();
        let leased = guard
            .shard()
            .lease(store.queue, 5, u64::MAX, &mut leases, &mut sources);
        drop(guard);
        if let LeaseOutcome::Pending(block) = leased.unwrap() {
            store.settle(block);
        }
    }
    store.acknowledge(0, 5);
    store
        .engine
        .lock()
        .shard()
        .purge(store.queue, store.disk.now())
        .unwrap();
    come_to_rest(&store.engine, &store.disk);
    let mut reader = store.engine.reader();
    let message = reader.message(store.queue, &leases[0], &sources).unwrap();
    assert_eq!(message.body, BODY);
    sources.clear();
    come_to_rest(&store.engine, &store.disk);
    assert_eq!(store.disk.list(SPILL_DIR).unwrap(), [""; 0]);
    assert_eq!(store.engine.counters().transient_spilled_bytes, 0);
}

#[test]
fn the_spill_is_empty_after_a_start() {
    let store = opened();
    store.pass(100);
    come_to_rest(&store.engine, &store.disk);
    assert!(!store.disk.list(SPILL_DIR).unwrap().is_empty());
    let (again, _) = store.after_kill(Index::Kept);
    assert_eq!(again.disk.list(SPILL_DIR).unwrap(), [""; 0]);
    assert_eq!(again.seqs(), [0; 0]);
}

#[test]
fn damage_in_the_spill_is_found_and_not_served() {
    let store = opened();
    store.pass(100);
    come_to_rest(&store.engine, &store.disk);
    let first = store.disk.list(SPILL_DIR).unwrap().remove(0);
    store
        .disk
        .flip_bit(&format!("{SPILL_DIR}/{first}"), 8 * 500)
        .unwrap();
    let mut found = Vec::new();
    store
        .engine
        .lock()
        .shard()
        .peek(store.queue, Seq::new(0), 100, &mut found)
        .unwrap();
    let (mut reader, sources) = (store.engine.reader(), Sources::default());
    let mut read = |lease: &Lease| reader.message(store.queue, lease, &sources).map(|_| ());
    let refused: Vec<_> = found.iter().filter_map(|lease| read(lease).err()).collect();
    assert!(
        matches!(refused[..], [crate::ReadError::Damaged { .. }]),
        "{refused:?}"
    );
}

#[test]
fn publishers_wait_while_the_disk_does_not_take_the_spill_and_nothing_is_lost() {
    let store = opened();
    store.disk.set_capacity(Some(store.disk.used_bytes()));
    let mut published = 0;
    while store.engine.lock().shard().has_room() {
        assert!(published < 1000, "memory is bounded");
        store.pass(1);
        store.engine.step();
        published += 1;
    }
    let memory = store.engine.counters().transient_memory_bytes;
    assert!(memory < 3 * Options::tiny().transient_bytes, "{memory}");
    assert_eq!(store.contents().len(), published);
    assert!(store.engine.lock().shard().poisoned().is_none());

    store.disk.set_capacity(None);
    come_to_rest(&store.engine, &store.disk);
    assert!(store.engine.lock().shard().has_room());
    assert_eq!(store.contents().len(), published);
}

#[test]
fn publishers_that_wait_for_memory_go_on_when_it_is_free() {
    let store = opened();
    store.disk.set_capacity(Some(store.disk.used_bytes()));
    let mut published = 0;
    while store.engine.lock().shard().has_room() {
        store.pass(1);
        published += 1;
    }
    let next = store.engine.lock().shard().durable().end().next();
    store
        .engine
        .lock()
        .shard()
        .purge(store.queue, store.disk.now())
        .unwrap();
    assert!(published > 0 && store.engine.lock().shard().has_room());
    // Whoever waits looks again when a block is applied.
    store.settle(next);
}

#[test]
fn a_message_that_is_larger_than_all_memory_for_transient_ones_is_spilled() {
    let store = opened();
    let queues = [store.queue];
    let body = vec![9; 30_000];
    for _ in 0..5 {
        store.settle(publish_all(&store.engine, [transient_for(&queues, &[&body])]));
        come_to_rest(&store.engine, &store.disk);
        assert!(store.engine.lock().shard().has_room());
    }
    assert!(store.contents().iter().all(|(_, found)| *found == body));
}

#[test]
fn memory_of_what_is_gone_is_used_again() {
    let store = opened();
    store.pass(1);
    assert_eq!(lease(&store.engine, store.queue, 1), [0]);
    store.acknowledge(0, 1);
    let before = store.engine.counters().transient_memory_bytes;
    for seq in 1..100 {
        store.pass(1);
        assert_eq!(lease(&store.engine, store.queue, 1), [seq]);
        store.acknowledge(seq, 1);
    }
    assert_eq!(store.engine.counters().transient_memory_bytes, before);
}

#[test]
fn little_that_lives_keeps_neither_memory_nor_the_spill() {
    let store = opened();
    let passing = durable_queue(&store.engine);
    for round in 0..40_u8 {
        let kept = [store.queue];
        store.settle(publish_all(
            &store.engine,
            [transient_for(&kept, &[&[round; 100]])],
        ));
        for _ in 0..5 {
            store.settle(publish_all(&store.engine, [transient_for(&[passing], &[BODY])]));
        }
        store.engine.step();
    }
    store
        .engine
        .lock()
        .shard()
        .purge(passing, store.disk.now())
        .unwrap();
    come_to_rest(&store.engine, &store.disk);
    let bodies = store.contents().into_iter().map(|(_, body)| body[0]);
    assert!(bodies.eq(0..40));
    let counters = store.engine.counters();
    let most = 2 * counters.transient_live_bytes + Options::tiny().transient_bytes;
    assert!(counters.transient_spilled_bytes <= most, "{counters:?}");
}
