//! A store of the smallest sizes in a directory of its own, what its users do with it, and what a disk does to it.

use logpond_store::Priority;
use logpond_store::disk::{RealDisk, WriteMode};
use logpond_store::{
    AckReason, BlockNumber, Counts, Engine, LeaseOutcome, NewMessage, Now, Options, Persistence,
    QueueDurability, QueueId, RecoveryReport, Return, Seq, Sources,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub type RealEngine = Engine<RealDisk>;

/// Far more than anything here takes: a test that waits longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn open(dir: &Path) -> (RealEngine, RecoveryReport) {
    open_with(dir, Options::tiny())
}

pub fn open_with(dir: &Path, options: Options) -> (RealEngine, RecoveryReport) {
    let disk = RealDisk::open(dir, WriteMode::DirectDsync).unwrap();
    Engine::open(disk, options, ()).unwrap()
}

/// Tiny, and without any checkpoint but those that the test takes.
pub fn no_checkpoints() -> Options {
    Options {
        checkpoint_ms: u64::MAX,
        checkpoint_bytes: u64::MAX,
        ..Options::tiny()
    }
}

/// A new durable queue.
pub fn queue(store: &RealEngine) -> QueueId {
    let (id, block) = create(store, QueueDurability::Durable);
    store.wait_durable(block).unwrap();
    id
}

/// A new queue that the next start does not find.
pub fn transient_queue(store: &RealEngine) -> QueueId {
    create(store, QueueDurability::Transient).0
}

fn create(store: &RealEngine, durability: QueueDurability) -> (QueueId, BlockNumber) {
    let id = store.next_queue_id();
    let block = store.lock().shard().create_queue(id, durability, b"orders");
    (id, block.unwrap())
}

pub fn publish(store: &RealEngine, queues: &[QueueId], bodies: &[&[u8]]) {
    publish_as(store, Persistence::Persistent, queues, bodies);
}

pub fn publish_as(store: &RealEngine, persistence: Persistence, queues: &[QueueId], bodies: &[&[u8]]) {
    let block = append(store, persistence, queues, bodies);
    store.commit(bodies.len());
    store.wait_durable(block).unwrap();
}

/// Publishes a transient message that the log holds, for something persistent shares its block and goes again.
pub fn publish_transient_logged(store: &RealEngine, queue: QueueId, body: &[u8]) {
    let beside = create(store, QueueDurability::Durable).0;
    let message = |queues, persistence, body| NewMessage {
        queues,
        properties: &[b"p"],
        body,
        persistence,
        priority: Priority::NONE,
        timestamp_ms: 1,
        expires_ms: None,
    };
    let (queues, besides, body) = ([queue], [beside], [body]);
    let mut guard = store.lock();
    let fleeting = message(&queues, Persistence::Transient, &body);
    guard.shard().publish(&fleeting).unwrap();
    let persistent = message(&besides, Persistence::Persistent, &body);
    guard.shard().publish(&persistent).unwrap();
    let deleted = guard.shard().delete_queue(beside).unwrap();
    drop(guard);
    store.wait_durable(deleted).unwrap();
}

/// Hands messages in under one hold of the lock, so that nothing is written before the last is there. Returns
/// the block of that one.
pub fn append(
    store: &RealEngine,
    persistence: Persistence,
    queues: &[QueueId],
    bodies: &[&[u8]],
) -> BlockNumber {
    let mut guard = store.lock();
    let mut block = guard.shard().building();
    for body in bodies {
        let message = NewMessage {
            queues,
            properties: &[b"p"],
            body: &[body],
            persistence,
            priority: Priority::NONE,
            timestamp_ms: 1,
            expires_ms: None,
        };
        block = guard.shard().publish(&message).unwrap();
    }
    block
}

#[derive(Debug)]
pub struct Delivery {
    pub seq: u64,
    pub redelivered: bool,
    pub body: Vec<u8>,
}

/// Leases and reads up to `max` messages.
pub fn fetch(store: &RealEngine, queue: QueueId, max: u32) -> Vec<Delivery> {
    let mut reader = store.reader();
    let mut found = Vec::new();
    while u32::try_from(found.len()).unwrap() < max {
        let (mut leases, mut sources) = (Vec::new(), Sources::default());
        let left = max - u32::try_from(found.len()).unwrap();
        let outcome = store
            .lock()
            .shard()
            .lease(queue, left, u64::MAX, &mut leases, &mut sources)
            .unwrap();
        match outcome {
            LeaseOutcome::Empty => break,
            LeaseOutcome::Pending(block) => {
                store.wait_durable(block).unwrap();
            }
            LeaseOutcome::Some(_) => found.extend(leases.iter().map(|lease| Delivery {
                seq: lease.seq.get(),
                redelivered: lease.redelivered,
                body: reader.message(queue, lease, &sources).unwrap().body.to_vec(),
            })),
        }
    }
    found
}

pub fn bodies(found: &[Delivery]) -> Vec<&[u8]> {
    found.iter().map(|delivery| delivery.body.as_slice()).collect()
}

pub fn seqs(found: &[Delivery]) -> Vec<u64> {
    found.iter().map(|delivery| delivery.seq).collect()
}

pub fn redelivered(found: &[Delivery]) -> Vec<bool> {
    found.iter().map(|delivery| delivery.redelivered).collect()
}

pub fn ack(store: &RealEngine, queue: QueueId, first: u64, count: u64) {
    let acked = AckReason::Acked;
    let block = store
        .lock()
        .shard()
        .acknowledge(queue, Seq::new(first), count, acked, Now::default())
        .unwrap();
    store.wait_durable(block).unwrap();
}

pub fn requeue(store: &RealEngine, queue: QueueId, seq: u64) {
    let requeued = store
        .lock()
        .shard()
        .requeue(queue, Seq::new(seq), 1, Return::Released, Now::default());
    requeued.unwrap();
}

pub fn counts(store: &RealEngine, queue: QueueId) -> Option<Counts> {
    store.lock().shard().counts(queue)
}

/// The queues that a start found, and how many messages each holds.
pub fn held(report: &RecoveryReport) -> Vec<(QueueId, u64)> {
    let queues = report.queues.iter();
    queues.map(|queue| (queue.id, queue.messages)).collect()
}

/// Does all pending work of a store without threads. A store that makes work out of work never comes to rest.
pub fn rest(store: &RealEngine) {
    let steps_max = 1_000;
    let rested = (0..steps_max).any(|_| !store.step());
    assert!(rested, "no rest after {steps_max} steps: {:?}", store.counters());
}

/// Waits for something that a thread of the store does on its own.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "still waiting until {what}");
        std::thread::yield_now();
    }
}

pub fn segment_name(number: u64) -> String {
    format!("shard-00/j/{number:016x}.seg")
}

/// The file with the first index pages.
pub fn index_file(dir: &Path) -> PathBuf {
    dir.join("shard-00/x/0000.idx")
}

pub fn journal_files(dir: &Path) -> usize {
    fs::read_dir(dir.join("shard-00/j")).unwrap().count()
}

/// Takes the checkpoints away: only the log still knows.
pub fn remove_checkpoints(dir: &Path) {
    for entry in fs::read_dir(dir.join("shard-00")).unwrap().map(Result::unwrap) {
        if entry.file_name().to_str().unwrap().starts_with("ckpt-") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// Takes checkpoints and index away: only the log still knows, and perhaps its footers.
pub fn remove_derived(dir: &Path, footers: Footers) {
    remove_checkpoints(dir);
    fs::remove_dir_all(dir.join("shard-00/x")).unwrap();
    if footers == Footers::Removed {
        for footer in self::footers(dir) {
            fs::remove_file(dir.join(footer)).unwrap();
        }
    }
}

/// What becomes of the footers when all else that is derived is taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Footers {
    Kept,
    Removed,
}

/// The footers of all segments, in the order of their names.
pub fn footers(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["shard-00/c", "shard-00/j"] {
        let names = fs::read_dir(dir.join(folder)).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        found.extend(
            names
                .filter(|name| name.contains(".footer"))
                .map(|name| format!("{folder}/{name}")),
        );
    }
    found.sort_unstable();
    found
}

/// One bit rots.
pub fn flip(path: &Path, offset: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(offset).unwrap()] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Where in the file `needle` stands first.
pub fn find(path: &Path, needle: &[u8]) -> u64 {
    let bytes = fs::read(path).unwrap();
    let at = bytes.windows(needle.len()).position(|window| window == needle);
    u64::try_from(at.unwrap()).unwrap()
}

/// What a crash at this moment would leave.
pub fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
