//! The store as a program embeds it, on a real directory: appends by threads and batch sizes, synced and buffered, fan-out,
//! and fetch with acknowledgement.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logpond_store::{Batch, Message, Options, Queue, QueueId, QueueOptions, Store};
use std::time::{Duration, Instant};

const SIZES: [(&str, usize); 3] = [("16B", 16), ("1KiB", 1 << 10), ("64KiB", 64 << 10)];
const BATCHES: [usize; 3] = [1, 100, 1000];
/// A batch must fit into one segment.
const BATCH_BYTES_MAX: usize = 32 << 20;
/// What is not fetched is purged, outside of the measured time, before it is more than this.
const BACKLOG_BYTES_MAX: usize = 1 << 30;

#[derive(Clone, Copy)]
enum Durability {
    Synced,
    Buffered,
}

fn batch(queues: &[QueueId], body: &[u8], messages: usize) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..messages {
        batch.publish(queues, Message::new(body));
    }
    batch
}

fn commit(store: &Store, batch: Batch, durability: Durability) {
    match durability {
        Durability::Synced => {
            store.commit(batch).expect("the disk works");
        }
        Durability::Buffered => drop(store.commit_buffered(batch).expect("the disk works")),
    }
}

/// So many batches by so many threads each; for buffered ones, until the last is durable.
fn append(store: &Store, queues: &[Queue], load: &Load<'_>, rounds: u64) -> Duration {
    let ids: Vec<_> = queues.iter().map(Queue::id).collect();
    let bytes_per_round = load.threads * load.messages * load.body.len().max(64);
    let rounds_at_once = u64::try_from((BACKLOG_BYTES_MAX / bytes_per_round).max(1)).unwrap_or(u64::MAX);
    let mut left = rounds;
    let mut took = Duration::ZERO;
    while left > 0 {
        let now = left.min(rounds_at_once);
        let before = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..load.threads {
                scope.spawn(|| {
                    for _ in 0..now {
                        commit(store, batch(&ids, load.body, load.messages), load.durability);
                    }
                });
            }
        });
        if matches!(load.durability, Durability::Buffered) {
            // Durable when the last one is: what was only accepted is not yet done.
            commit(store, batch(&ids, load.body, 1), Durability::Synced);
        }
        took += before.elapsed();
        for queue in queues {
            queue.purge().expect("the disk works");
        }
        left -= now;
    }
    took
}

struct Load<'a> {
    body: &'a [u8],
    messages: usize,
    threads: usize,
    durability: Durability,
}

fn open(name: &str, queues: usize) -> (tempfile::TempDir, Store, Vec<Queue>) {
    let dir = tempfile::tempdir_in(".").expect("a directory can be made here");
    let (store, _) = Store::open(dir.path(), Options::default()).expect("the directory is empty");
    let queues = (0..queues)
        .map(|number| store.queue(&format!("{name}{number}"), QueueOptions::default()))
        .collect::<Result<_, _>>()
        .expect("the disk works");
    (dir, store, queues)
}

fn elements(count: usize) -> Throughput {
    Throughput::Elements(u64::try_from(count).unwrap_or(u64::MAX))
}

fn appends(c: &mut Criterion) {
    for (size, bytes) in SIZES {
        let body = vec![7; bytes];
        let (_dir, store, queues) = open("append", 1);
        for (mode, durability) in [("synced", Durability::Synced), ("buffered", Durability::Buffered)] {
            let mut group = c.benchmark_group(format!("embed/append/{size}/{mode}"));
            group.sample_size(10).measurement_time(Duration::from_secs(2));
            for messages in BATCHES
                .into_iter()
                .filter(|messages| messages * bytes <= BATCH_BYTES_MAX)
            {
                for threads in [1, 4] {
                    let body = &body;
                    let load = Load {
                        body,
                        messages,
                        threads,
                        durability,
                    };
                    group.throughput(elements(messages * threads));
                    let id = BenchmarkId::new(format!("threads_{threads}"), format!("batch_{messages}"));
                    group.bench_function(id, |b| {
                        b.iter_custom(|rounds| append(&store, &queues, &load, rounds));
                    });
                }
            }
        }
        store.close().expect("the disk works");
    }
}

fn fan_out(c: &mut Criterion) {
    let (_dir, store, queues) = open("fan", 10);
    let mut group = c.benchmark_group("embed/fan_out_to_10_queues/1KiB");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    for messages in BATCHES {
        let (body, threads, durability) = (&[7; 1 << 10], 1, Durability::Synced);
        let load = Load {
            body,
            messages,
            threads,
            durability,
        };
        group.throughput(elements(messages));
        group.bench_function(BenchmarkId::from_parameter(format!("batch_{messages}")), |b| {
            b.iter_custom(|rounds| append(&store, &queues, &load, rounds));
        });
    }
    store.close().expect("the disk works");
}

/// Fetches so many times so many messages, and acknowledges each lot in one buffered batch.
fn fetch(store: &Store, queue: &Queue, body: &[u8], messages: usize, rounds: u64) -> Duration {
    let at_once = u32::try_from(messages).unwrap_or(u32::MAX);
    let mut took = Duration::ZERO;
    for _ in 0..rounds {
        commit(store, batch(&[queue.id()], body, messages), Durability::Synced);
        let before = Instant::now();
        let mut fetched = 0;
        while fetched < messages {
            let mut done = Batch::new();
            for delivery in queue.fetch(at_once).expect("the disk works") {
                fetched += 1;
                done.ack(delivery);
            }
            commit(store, done, Durability::Buffered);
        }
        took += before.elapsed();
    }
    took
}

fn fetches(c: &mut Criterion) {
    for (size, bytes) in SIZES {
        let body = vec![7; bytes];
        let (_dir, store, queues) = open("fetch", 1);
        let mut group = c.benchmark_group(format!("embed/fetch_and_ack/{size}"));
        group.sample_size(10).measurement_time(Duration::from_secs(2));
        for messages in BATCHES
            .into_iter()
            .filter(|messages| messages * bytes <= BATCH_BYTES_MAX)
        {
            group.throughput(elements(messages));
            group.bench_function(BenchmarkId::from_parameter(format!("batch_{messages}")), |b| {
                b.iter_custom(|rounds| fetch(&store, &queues[0], &body, messages, rounds));
            });
        }
        drop(group);
        store.close().expect("the disk works");
    }
}

/// More than the store keeps of recent blocks: nearly all of it has to be read again.
const LOG_BYTES: usize = 128 << 20;
/// What a stored message takes beside its body, roughly.
const MESSAGE_BYTES: usize = 64;

/// Fetches a backlog that lies in the log, and acknowledges it.
fn fetches_from_log(c: &mut Criterion) {
    for (size, bytes) in SIZES {
        let body = vec![7; bytes];
        let (_dir, store, queues) = open("log", 1);
        let messages = LOG_BYTES / (bytes + MESSAGE_BYTES);
        let at_once = (1 << 20) / (bytes + MESSAGE_BYTES);
        let mut group = c.benchmark_group(format!("embed/fetch_and_ack_from_log/{size}"));
        group.sample_size(10).measurement_time(Duration::from_secs(2));
        group.throughput(elements(messages));
        group.bench_function("backlog", |b| {
            b.iter_custom(|rounds| {
                (0..rounds)
                    .map(|_| fetch_backlog(&store, &queues[0], &body, messages, at_once))
                    .sum()
            });
        });
        drop(group);
        store.close().expect("the disk works");
    }
}

fn fetch_backlog(store: &Store, queue: &Queue, body: &[u8], messages: usize, at_once: usize) -> Duration {
    let mut published = 0;
    while published < messages {
        let now = at_once.min(messages - published);
        commit(store, batch(&[queue.id()], body, now), Durability::Synced);
        published += now;
    }
    let before = Instant::now();
    let mut fetched = 0;
    while fetched < messages {
        let mut done = Batch::new();
        let most = u32::try_from(at_once).unwrap_or(u32::MAX);
        for delivery in queue.fetch(most).expect("the disk works") {
            fetched += 1;
            done.ack(delivery);
        }
        commit(store, done, Durability::Buffered);
    }
    before.elapsed()
}

criterion_group!(embed, appends, fan_out, fetches, fetches_from_log);
criterion_main!(embed);
