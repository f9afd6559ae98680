//! What a store takes on disk while millions of messages come and go and one of so many is never acknowledged.
//!
//! `cargo bench -p logpond-benches --bench space -- MESSAGES BYTES ONE_OF QUEUES` publishes messages of so many bytes to one
//! queue that is drained at once; one of so many goes to one of so many other queues instead, and stays.

use logpond_store::Priority;
use logpond_store::disk::{RealDisk, WriteMode};
use logpond_store::{
    AckReason, BlockNumber, Engine, LeaseOutcome, NewMessage, Now, Options, Persistence, QueueDurability,
    QueueId, Sources,
};
use std::path::Path;
use std::time::{Duration, Instant};

const BATCH: u64 = 1000;
/// What a store may take beyond twice what lives.
const ROOM_BYTES: u64 = 1 << 30;

struct Plan {
    messages: u64,
    body: Vec<u8>,
    one_of: u64,
    holders: Vec<QueueId>,
    passing: QueueId,
}

/// The most that was seen.
#[derive(Default, Debug)]
struct Peak {
    disk_bytes: u64,
    beyond_twice_live: u64,
}

fn main() {
    let given: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let number = |at: usize, default| given.get(at).copied().unwrap_or(default);
    let dir = tempfile::tempdir_in(".").expect("a directory can be made here");
    let disk = RealDisk::open(dir.path(), WriteMode::DirectDsync).expect("the directory is ours");
    let (store, _) = Engine::open(disk, Options::default(), ()).expect("the directory is empty");
    store.start().expect("threads can be had");
    let plan = Plan {
        messages: number(0, 200_000),
        body: vec![7; usize::try_from(number(1, 1000)).expect("a body fits into memory")],
        one_of: number(2, 10_000),
        holders: (0..number(3, 1)).map(|_| create(&store)).collect(),
        passing: create(&store),
    };
    let began = Instant::now();
    let peak = run(&store, &plan, dir.path());
    println!("{:.0?} in all; {peak:?}", began.elapsed());
    assert!(peak.beyond_twice_live <= ROOM_BYTES, "the disk is bounded");
    store.close().expect("the disk works");
}

fn create(store: &Engine<RealDisk>) -> QueueId {
    let id = store.next_queue_id();
    let created = store
        .lock()
        .shard()
        .create_queue(id, QueueDurability::Durable, b"");
    created.expect("the id is new");
    id
}

fn run(store: &Engine<RealDisk>, plan: &Plan, dir: &Path) -> Peak {
    let mut peak = Peak::default();
    let mut told = Instant::now();
    for first in (0..plan.messages).step_by(1000) {
        let block = publish(store, plan, first);
        store.commit(1000);
        store.wait_durable(block).expect("the disk works");
        drain(store, plan.passing);
        if first % 20_000 == 0 {
            measure(store, dir, &mut peak);
        }
        if told.elapsed() > Duration::from_secs(2) {
            told = Instant::now();
            println!("{first} messages: {:?}", store.counters());
        }
    }
    println!("{} messages: {:?}; {peak:?}", plan.messages, store.counters());
    peak
}

fn publish(store: &Engine<RealDisk>, plan: &Plan, first: u64) -> BlockNumber {
    let mut guard = store.lock();
    let mut last = guard.shard().building();
    for number in first..first + BATCH {
        let stays = number % plan.one_of == 0;
        let holder = usize::try_from(number / plan.one_of).expect("a small number") % plan.holders.len();
        let queue = if stays { plan.holders[holder] } else { plan.passing };
        let message = NewMessage {
            queues: &[queue],
            properties: &[b"\x00\x05queue", b"\x10\x00\x02"],
            body: &[&plan.body],
            persistence: Persistence::Persistent,
            priority: Priority::NONE,
            timestamp_ms: 1,
            expires_ms: None,
        };
        last = guard.shard().publish(&message).expect("the message fits");
    }
    last
}

fn drain(store: &Engine<RealDisk>, queue: QueueId) {
    let (mut leases, mut sources) = (Vec::new(), Sources::default());
    loop {
        leases.clear();
        sources.clear();
        let mut guard = store.lock();
        let leased = guard
            .shard()
            .lease(queue, 1000, 1 << 20, &mut leases, &mut sources);
        match leased.expect("the queue is there") {
            LeaseOutcome::Some(count) => {
                let (first, now) = (leases[0].seq, Now::default());
                let acked = guard
                    .shard()
                    .acknowledge(queue, first, count, AckReason::Acked, now);
                acked.expect("the queue is there");
            }
            LeaseOutcome::Empty => return,
            LeaseOutcome::Pending(block) => {
                drop(guard);
                store.wait_durable(block).expect("the disk works");
            }
        }
    }
}

fn measure(store: &Engine<RealDisk>, dir: &Path, peak: &mut Peak) {
    let files = ["shard-00/j", "shard-00/c", "shard-00/x", "shard-00"];
    let sizes = files
        .iter()
        .filter_map(|folder| std::fs::read_dir(dir.join(folder)).ok())
        .flatten()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|metadata| metadata.len());
    let disk_bytes: u64 = sizes.sum();
    let beyond = disk_bytes.saturating_sub(2 * store.counters().live_bytes);
    peak.disk_bytes = peak.disk_bytes.max(disk_bytes);
    peak.beyond_twice_live = peak.beyond_twice_live.max(beyond);
}
