//! Append, commit, lease and acknowledge through the storage engine on a real directory.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logpond_store::Priority;
use logpond_store::disk::{RealDisk, WriteMode};
use logpond_store::{
    AckReason, BlockNumber, Engine, LeaseOutcome, NewMessage, Now, Options, Persistence, QueueDurability,
    QueueId, Sources,
};

/// Name, length of a body, messages handed over under one hold of the lock.
const SIZES: [(&str, usize, u64); 3] = [
    ("16B", 16, 1000),
    ("1KiB", 1 << 10, 1000),
    ("64KiB", 64 << 10, 16),
];
const FAN: usize = 10;

fn open(dir: &std::path::Path, queues: usize) -> (Engine<RealDisk>, Vec<QueueId>) {
    let disk = RealDisk::open(dir, WriteMode::DirectDsync).expect("the directory is ours");
    let (store, _) = Engine::open(disk, Options::default(), ()).expect("the directory is empty");
    store.start().expect("threads can be had");
    let ids = (0..queues).map(|_| create(&store)).collect();
    (store, ids)
}

fn create(store: &Engine<RealDisk>) -> QueueId {
    let id = store.next_queue_id();
    let created = store
        .lock()
        .shard()
        .create_queue(id, QueueDurability::Durable, b"");
    store
        .wait_durable(created.expect("the id is new"))
        .expect("the disk works");
    id
}

fn publish(
    store: &Engine<RealDisk>,
    queues: &[QueueId],
    body: &[u8],
    persistence: Persistence,
    messages: u64,
) -> BlockNumber {
    let mut last = BlockNumber::new(0);
    let mut guard = store.lock();
    while !guard.shard().has_room() {
        let building = guard.shard().building();
        drop(guard);
        store.wait_durable(building).expect("the disk works");
        guard = store.lock();
    }
    for _ in 0..messages {
        let message = NewMessage {
            queues,
            properties: &[b"\x00\x05queue", b"\x10\x00\x02"],
            body: &[body],
            persistence,
            priority: Priority::NONE,
            timestamp_ms: 1,
            expires_ms: None,
        };
        last = guard.shard().publish(&message).expect("the message fits");
    }
    drop(guard);
    store.commit(usize::try_from(messages).unwrap_or(usize::MAX));
    last
}

fn drain(
    store: &Engine<RealDisk>,
    queue: QueueId,
    leases: &mut Vec<logpond_store::Lease>,
    sources: &mut Sources,
) {
    loop {
        leases.clear();
        sources.clear();
        let outcome = store
            .lock()
            .shard()
            .lease(queue, 1000, 1 << 20, leases, sources)
            .expect("the queue is there");
        match outcome {
            LeaseOutcome::Some(count) => {
                let first = leases[0].seq;
                let now = Now::default();
                store
                    .lock()
                    .shard()
                    .acknowledge(queue, first, count, AckReason::Acked, now)
                    .expect("the queue is there");
                store.commit(0);
            }
            LeaseOutcome::Empty => return,
            LeaseOutcome::Pending(block) => {
                store.wait_durable(block).expect("the disk works");
            }
        }
    }
}

fn one_queue(c: &mut Criterion) {
    for (name, len, batch) in SIZES {
        let dir = tempfile::tempdir_in(".").expect("a directory can be made here");
        let (store, queues) = open(dir.path(), 1);
        let body = vec![7; len];
        let mut group = c.benchmark_group(format!("store/{name}"));
        group.throughput(Throughput::Elements(batch)).sample_size(20);
        let (mut leases, mut sources) = (Vec::new(), Sources::default());
        for (persistence, kind) in [
            (Persistence::Persistent, ""),
            (Persistence::Transient, "_transient"),
        ] {
            group.bench_function(format!("publish{kind}"), |b| {
                b.iter(|| publish(&store, &queues, &body, persistence, batch));
            });
            drain(&store, queues[0], &mut leases, &mut sources);
            for (messages, name) in [(batch, "publish"), (1, "one")] {
                group.throughput(Throughput::Elements(messages));
                group.bench_function(format!("{name}_lease_acknowledge{kind}"), |b| {
                    b.iter(|| {
                        let block = publish(&store, &queues, &body, persistence, messages);
                        store.wait_durable(block).expect("the disk works");
                        drain(&store, queues[0], &mut leases, &mut sources);
                    });
                });
            }
            group.throughput(Throughput::Elements(batch));
        }
        group.finish();
        store.close().expect("the disk works");
    }
}

/// One body, and a reference to it for each queue.
fn fan_out(c: &mut Criterion) {
    for (name, len, batch) in SIZES {
        let dir = tempfile::tempdir_in(".").expect("a directory can be made here");
        let (store, queues) = open(dir.path(), FAN);
        let body = vec![7; len];
        let mut group = c.benchmark_group(format!("store/{name}"));
        group.throughput(Throughput::Elements(batch)).sample_size(20);
        group.bench_function("publish_to_10_queues", |b| {
            b.iter(|| publish(&store, &queues, &body, Persistence::Persistent, batch));
        });
        store.close().expect("the disk works");
    }
}

criterion_group!(store, one_queue, fan_out);
criterion_main!(store);
