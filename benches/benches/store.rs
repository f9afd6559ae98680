//! Append, commit, lease and acknowledge through the storage engine on a real directory.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logpond_store::disk::{RealDisk, WriteMode};
use logpond_store::{
    AckReason, BlockNumber, Engine, LeaseOutcome, NewMessage, Now, Options, Persistence, QueueDurability,
    QueueId, Sources,
};

const BATCH: u64 = 1000;

fn open(dir: &std::path::Path) -> (Engine<RealDisk>, QueueId) {
    let disk = RealDisk::open(dir, WriteMode::DirectDsync).expect("the directory is ours");
    let (store, _) = Engine::open(disk, Options::default(), ()).expect("the directory is empty");
    store.start().expect("threads can be had");
    let id = store.next_queue_id();
    let block = store
        .lock()
        .shard()
        .create_queue(id, QueueDurability::Durable, b"")
        .expect("the id is new");
    store.wait_durable(block).expect("the disk works");
    (store, id)
}

fn publish(store: &Engine<RealDisk>, queue: QueueId, body: &[u8]) -> BlockNumber {
    let mut last = BlockNumber::new(0);
    let mut guard = store.lock();
    while !guard.shard().has_room() {
        let building = guard.shard().building();
        drop(guard);
        store.wait_durable(building).expect("the disk works");
        guard = store.lock();
    }
    for _ in 0..BATCH {
        let message = NewMessage {
            queues: &[queue],
            properties: &[b"\x00\x05queue", b"\x10\x00\x02"],
            body: &[body],
            persistence: Persistence::Persistent,
            priority: 0,
            timestamp_ms: 1,
            expires_ms: None,
        };
        last = guard.shard().publish(&message).expect("the message fits");
    }
    drop(guard);
    store.commit(1000);
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

fn benches(c: &mut Criterion) {
    for (name, size) in [("16B", 16), ("1KiB", 1024)] {
        let dir = tempfile::tempdir_in(".").expect("a directory can be made here");
        let (store, queue) = open(dir.path());
        let body = vec![7; size];
        let mut group = c.benchmark_group(format!("store/{name}"));
        group.throughput(Throughput::Elements(BATCH)).sample_size(20);
        let (mut leases, mut sources) = (Vec::new(), Sources::default());
        let mut since_drain = 0_u64;
        group.bench_function("publish", |b| {
            b.iter(|| {
                publish(&store, queue, &body);
                since_drain += BATCH;
            });
        });
        group.bench_function("publish_lease_acknowledge", |b| {
            b.iter(|| {
                let block = publish(&store, queue, &body);
                store.wait_durable(block).expect("the disk works");
                drain(&store, queue, &mut leases, &mut sources);
            });
        });
        store.close().expect("the disk works");
    }
}

criterion_group!(store, benches);
criterion_main!(store);
