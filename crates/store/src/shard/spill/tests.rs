//! Which room on the disk units of transient messages take, and when it is used again.

use super::SPILL_DIR;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::engine::Engine;
use crate::engine::stepped::{come_to_rest, durable_queue, message_for, publish_all};
use crate::ids::{QueueId, Seq};
use crate::options::Options;
use crate::shard::{LeaseOutcome, Sources};
use crate::{AckReason, Lease, NewMessage, Persistence};

/// Three of them fit into a unit.
const BODY_BYTES: usize = 1000;

struct Opened {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    queue: QueueId,
}

fn opened() -> Opened {
    let disk = SimDisk::new(7);
    let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
    let queue = durable_queue(&engine);
    Opened { disk, engine, queue }
}

impl Opened {
    /// Publishes a message with a body of this byte, and lets whatever is due be done.
    fn pass(&self, byte: u8, bytes: usize) {
        let (queues, body) = ([self.queue], vec![byte; bytes]);
        let body: &[&[u8]] = &[&body];
        let message = NewMessage {
            persistence: Persistence::Transient,
            ..message_for(&queues, body)
        };
        let block = publish_all(&self.engine, [message]);
        self.engine.wait_durable(block).unwrap();
        come_to_rest(&self.engine, &self.disk);
    }

    fn lease(&self, count: usize) -> (Vec<Lease>, Sources) {
        let (mut leases, mut sources) = (Vec::new(), Sources::default());
        loop {
            let left = u32::try_from(count - leases.len()).unwrap();
            let mut guard = self.engine.lock();
            let leased = guard
                .shard()
                .lease(self.queue, left, u64::MAX, &mut leases, &mut sources);
            drop(guard);
            match leased.unwrap() {
                LeaseOutcome::Pending(block) => drop(self.engine.wait_durable(block).unwrap()),
                LeaseOutcome::Some(_) if leases.len() < count => {}
                LeaseOutcome::Some(_) | LeaseOutcome::Empty => return (leases, sources),
            }
        }
    }

    fn acknowledge(&self, first: u64, count: u64) {
        let now = self.disk.now();
        let mut guard = self.engine.lock();
        let acked = guard
            .shard()
            .acknowledge(self.queue, Seq::new(first), count, AckReason::Acked, now);
        acked.unwrap();
        drop(guard);
        come_to_rest(&self.engine, &self.disk);
    }

    fn first_byte(&self, lease: &Lease, sources: &Sources) -> u8 {
        let mut reader = self.engine.reader();
        let message = reader.message(self.queue, lease, sources).unwrap();
        message.body[0]
    }

    fn files(&self) -> Vec<String> {
        self.disk.list(SPILL_DIR).unwrap()
    }
}

#[test]
fn many_units_share_a_file() {
    let store = opened();
    (0..200).for_each(|byte| store.pass(byte, BODY_BYTES));
    let (files, counters) = (store.files().len(), store.engine.counters());
    assert!(files * 4 < usize::try_from(counters.transient_spills).unwrap());
    let file_bytes = Options::tiny().spill_layout().file_bytes();
    let bytes = crate::format::byte_count(files) * file_bytes;
    assert_eq!(counters.transient_spilled_bytes, bytes);
    let (leases, sources) = store.lease(200);
    let read = leases.iter().map(|lease| store.first_byte(lease, &sources));
    assert!(read.eq(0..200));
}

#[test]
fn the_newest_unit_is_spilled_and_each_eighth_time_the_oldest() {
    let store = opened();
    let mut oldest_left_at = Vec::new();
    for byte in 0..150 {
        store.pass(byte, BODY_BYTES);
        let mut found = Vec::new();
        let mut guard = store.engine.lock();
        let shard = guard.shard();
        shard.peek(store.queue, Seq::new(0), 200, &mut found).unwrap();
        let is_spilled = |lease: &&Lease| shard.state.units.piece(lease.lsn).is_none();
        let spilled: Vec<u64> = found
            .iter()
            .filter(is_spilled)
            .map(|lease| lease.seq.get())
            .collect();
        // Without a gap from the first message on: these were the oldest.
        let oldest = spilled.iter().zip(0..).filter(|(seq, at)| *seq == at).count();
        if oldest / 3 > oldest_left_at.len() {
            oldest_left_at.push(shard.chores.spills);
        }
    }
    assert_eq!(oldest_left_at[..3], [8, 16, 24]);
    let (leases, sources) = store.lease(150);
    let read = leases.iter().map(|lease| store.first_byte(lease, &sources));
    assert!(read.eq(0..150));
}

#[test]
fn a_backlog_that_moves_on_makes_no_files() {
    let store = opened();
    (0..100).for_each(|byte| store.pass(byte, BODY_BYTES));
    let newest = |store: &Opened| store.files().pop();
    let (most, before) = (store.files().len() + 1, newest(&store));
    let spills = store.engine.counters().transient_spills;
    for round in 0..100_u64 {
        store.lease(3);
        store.acknowledge(3 * round, 3);
        (0..3).for_each(|byte| store.pass(byte, BODY_BYTES));
        assert!(store.files().len() <= most);
    }
    assert!(store.engine.counters().transient_spills > spills + 50);
    // Names rise: a few more may have come before as many slots were free as are needed.
    let made = |name: Option<String>| u64::from_str_radix(&name.unwrap(), 16).unwrap();
    assert!(made(newest(&store)) <= made(before) + 2);
}

#[test]
fn a_slot_that_somebody_reads_takes_no_other_unit() {
    let store = opened();
    (0..100).for_each(|byte| store.pass(byte, BODY_BYTES));
    let (leases, mut sources) = store.lease(100);
    store.acknowledge(0, 100);
    (100..200).for_each(|byte| store.pass(byte, BODY_BYTES));
    let read = leases.iter().map(|lease| store.first_byte(lease, &sources));
    assert!(read.eq(0..100));
    sources.clear();
    let (rest, kept) = store.lease(100);
    let read = rest.iter().map(|lease| store.first_byte(lease, &kept));
    assert!(read.eq(100..200));
}

#[test]
fn nothing_is_on_the_disk_when_all_was_consumed() {
    let store = opened();
    (0..100).for_each(|byte| store.pass(byte, BODY_BYTES));
    assert!(!store.files().is_empty());
    for round in 0..50 {
        store.lease(2);
        store.acknowledge(2 * round, 2);
    }
    assert_eq!(store.files(), [""; 0]);
    assert_eq!(store.engine.counters().transient_spilled_bytes, 0);
}

#[test]
fn a_unit_that_is_larger_than_a_slot_has_a_file_of_its_own() {
    let store = opened();
    (0..6).for_each(|byte| store.pass(byte, 20_000));
    let counters = store.engine.counters();
    let (files, own) = (crate::format::byte_count(store.files().len()), 20_480);
    assert!(
        files > 2 && counters.transient_spilled_bytes == files * own,
        "{counters:?}"
    );
    let (leases, sources) = store.lease(6);
    let read = leases.iter().map(|lease| store.first_byte(lease, &sources));
    assert!(read.eq(0..6));
    store.acknowledge(0, 6);
    drop(sources);
    come_to_rest(&store.engine, &store.disk);
    assert_eq!(store.files(), [""; 0]);
}

#[test]
fn a_disk_that_has_no_room_for_a_whole_file_takes_a_unit() {
    let store = opened();
    let file_bytes = Options::tiny().spill_layout().file_bytes();
    come_to_rest(&store.engine, &store.disk);
    store
        .disk
        .set_capacity(Some(store.disk.used_bytes() + file_bytes / 2));
    (0..40).for_each(|byte| store.pass(byte, BODY_BYTES));
    let counters = store.engine.counters();
    assert!(
        (1..file_bytes).contains(&counters.transient_spilled_bytes),
        "{counters:?}"
    );
    let (leases, sources) = store.lease(40);
    let read = leases.iter().map(|lease| store.first_byte(lease, &sources));
    assert!(read.eq(0..40));
}

#[test]
fn what_lives_in_a_few_slots_of_many_files_keeps_few_files() {
    let store = opened();
    (0..200).for_each(|byte| store.pass(byte, BODY_BYTES));
    let before = store.files().len();
    let _ = store.lease(200);
    // Whole units, and the lives of those between them.
    for first in (0..200).step_by(20) {
        store.acknowledge(first, 15);
    }
    let counters = store.engine.counters();
    let most = 2 * counters.transient_live_bytes + Options::tiny().transient_bytes;
    assert!(counters.transient_spilled_bytes <= most, "{counters:?}");
    assert!(store.files().len() < before);
}
