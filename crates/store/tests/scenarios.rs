//! What a store promises, on a real directory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use logpond_store::disk::{RealDisk, WriteMode};
use logpond_store::{
    AckReason, LeaseOutcome, Message, Options, Persistence, QueueDurability, QueueId, RecoveryReport, Seq,
    Sources, Store,
};
use std::path::Path;

type RealStore = Store<RealDisk>;

fn open(dir: &Path) -> (RealStore, RecoveryReport) {
    open_with(dir, Options::tiny())
}

fn open_with(dir: &Path, options: Options) -> (RealStore, RecoveryReport) {
    let disk = RealDisk::open(dir, WriteMode::DirectDsync).unwrap();
    Store::open(disk, options, ()).unwrap()
}

fn queue(store: &RealStore) -> QueueId {
    let id = store.next_queue_id();
    let block = store
        .lock()
        .shard()
        .create_queue(id, QueueDurability::Durable, b"orders")
        .unwrap();
    store.wait_durable(block).unwrap();
    id
}

fn publish(store: &RealStore, queues: &[QueueId], bodies: &[&[u8]]) {
    let mut block = None;
    for body in bodies {
        let message = Message {
            queues,
            properties: &[b"p"],
            body: &[body],
            persistence: Persistence::Persistent,
            priority: 0,
            timestamp_ms: 1,
            expires_ms: None,
        };
        block = Some(store.lock().shard().publish(&message).unwrap());
    }
    store.commit(bodies.len());
    if let Some(block) = block {
        store.wait_durable(block).unwrap();
    }
}

/// Leases up to `max` messages and reads them: seq, redelivered, body.
fn fetch(store: &RealStore, queue: QueueId, max: u32) -> Vec<(u64, bool, Vec<u8>)> {
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
            LeaseOutcome::Some(_) => {
                for lease in &leases {
                    let body = reader.message(queue, lease, &sources).unwrap().body.to_vec();
                    found.push((lease.seq.get(), lease.redelivered, body));
                }
            }
        }
    }
    found
}

fn ack(store: &RealStore, queue: QueueId, first: u64, count: u64) {
    let now = logpond_store::Now::default();
    let block = store
        .lock()
        .shard()
        .acknowledge(queue, Seq::new(first), count, AckReason::Acked, now)
        .unwrap();
    store.wait_durable(block).unwrap();
}

fn bodies(found: &[(u64, bool, Vec<u8>)]) -> Vec<&[u8]> {
    found.iter().map(|(_, _, body)| body.as_slice()).collect()
}

#[test]
fn what_was_published_is_delivered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (store, report) = open(dir.path());
    assert!(report.created);
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b", b"c"]);
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"a", b"b", b"c"]);
    assert_eq!(store.lock().shard().counts(orders).unwrap().leased, 3);
}

#[test]
fn a_process_that_dies_loses_nothing_that_was_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b", b"c"]);
    fetch(&store, orders, 2);
    ack(&store, orders, 0, 1);
    drop(store);
    let (store, report) = open(dir.path());
    assert!(!report.clean);
    assert_eq!(report.queues.len(), 1);
    let found = fetch(&store, orders, 10);
    assert_eq!(bodies(&found), [b"b", b"c"]);
    // Both may have been delivered before: the delivery mark reached beyond them.
    assert!(found.iter().all(|(_, redelivered, _)| *redelivered));
}

#[test]
fn after_an_orderly_stop_only_what_was_requeued_counts_as_redelivered() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b"]);
    fetch(&store, orders, 1);
    store
        .lock()
        .shard()
        .requeue(orders, Seq::new(0), 1, logpond_store::Now::default())
        .unwrap();
    store.close().unwrap();
    let (store, report) = open(dir.path());
    assert!(report.clean);
    let found = fetch(&store, orders, 10);
    assert_eq!(
        found
            .iter()
            .map(|(_, redelivered, _)| *redelivered)
            .collect::<Vec<_>>(),
        [true, false]
    );
}

#[test]
fn a_requeued_message_comes_back_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b", b"c", b"d"]);
    fetch(&store, orders, 3);
    let now = logpond_store::Now::default();
    store.lock().shard().requeue(orders, Seq::new(1), 1, now).unwrap();
    store.lock().shard().requeue(orders, Seq::new(0), 1, now).unwrap();
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"a", b"b", b"d"]);
}

#[test]
fn a_purge_takes_what_is_ready_and_leaves_what_is_leased() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b", b"c"]);
    fetch(&store, orders, 1);
    let (purged, block) = store
        .lock()
        .shard()
        .purge(orders, logpond_store::Now::default())
        .unwrap();
    assert_eq!(purged, 2);
    store.wait_durable(block).unwrap();
    let counts = store.lock().shard().counts(orders).unwrap();
    assert_eq!((counts.ready, counts.leased), (0, 1));
    publish(&store, &[orders], &[b"d"]);
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"d"]);
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"a", b"d"]);
}

#[test]
fn a_message_for_several_queues_lives_until_the_last_has_acknowledged_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (first, second) = (queue(&store), queue(&store));
    publish(&store, &[first, second], &[b"both"]);
    fetch(&store, first, 1);
    ack(&store, first, 0, 1);
    drop(store);
    let (store, _) = open(dir.path());
    assert!(fetch(&store, first, 1).is_empty());
    assert_eq!(bodies(&fetch(&store, second, 1)), [b"both"]);
}

#[test]
fn dead_segments_are_recycled_while_messages_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    let body = [7_u8; 4000];
    for round in 0..400_u64 {
        publish(&store, &[orders], &[&body]);
        assert_eq!(fetch(&store, orders, 1).len(), 1);
        ack(&store, orders, round, 1);
        while store.step() {}
    }
    let counters = store.counters();
    assert!(counters.segments_recycled > 10, "{counters:?}");
    assert!(counters.segments < 10, "{counters:?}");
}

#[test]
fn what_nobody_acknowledges_outlives_all_that_comes_and_goes_around_it() {
    let dir = tempfile::tempdir().unwrap();
    // No checkpoint but those that the test takes.
    let options = Options {
        checkpoint_ms: u64::MAX,
        checkpoint_bytes: u64::MAX,
        ..Options::tiny()
    };
    let (mut store, _) = open_with(dir.path(), options.clone());
    let (orders, kept) = (queue(&store), queue(&store));
    let body = [7_u8; 4000];
    let burst: Vec<&[u8]> = vec![&body; 60];
    for round in 0..5_u8 {
        publish(&store, &[kept], &[&[round]]);
        publish(&store, &[orders], &burst);
        store.checkpoint();
        publish(&store, &[orders], &[b"last"]);
        store.checkpoint();
        // One acknowledgement over several segments. All but the one that holds the kept message die, and are
        // recycled before the next checkpoint: the start replays the acknowledgement without them.
        let found = fetch(&store, orders, 61);
        ack(&store, orders, found[0].0, 61);
        while store.step() {}
        drop(store);
        store = open_with(dir.path(), options.clone()).0;
    }
    assert!(store.counters().segments < 20, "{:?}", store.counters());
    assert_eq!(bodies(&fetch(&store, kept, 1000)).concat(), [0, 1, 2, 3, 4]);
    assert!(fetch(&store, orders, 1).is_empty());
}

#[test]
fn the_log_alone_rebuilds_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    for _ in 0..100 {
        publish(&store, &[orders], &[&[1; 2000]]);
    }
    fetch(&store, orders, 50);
    ack(&store, orders, 10, 20);
    ack(&store, orders, 0, 5);
    store.checkpoint();
    drop(store);
    for entry in std::fs::read_dir(dir.path().join("shard-00"))
        .unwrap()
        .map(Result::unwrap)
    {
        if entry.file_name().to_str().unwrap().starts_with("ckpt-") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    std::fs::remove_dir_all(dir.path().join("shard-00/x")).unwrap();
    let (store, report) = open(dir.path());
    assert!(report.index_rebuilt);
    let seqs: Vec<u64> = fetch(&store, orders, 1000).iter().map(|(seq, ..)| *seq).collect();
    assert_eq!(seqs, (5..10).chain(30..100).collect::<Vec<_>>());
}

#[test]
fn a_running_store_confirms_from_its_own_threads() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.start().unwrap();
    let orders = queue(&store);
    for round in 0..200_u64 {
        publish(&store, &[orders], &[&[2; 3000]]);
        assert_eq!(fetch(&store, orders, 1).len(), 1, "round {round}");
        ack(&store, orders, round, 1);
    }
    store.close().unwrap();
    let (store, report) = open(dir.path());
    assert!(report.clean);
    assert!(fetch(&store, orders, 1).is_empty());
}

#[test]
fn transient_queues_and_messages_are_gone_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    let fleeting = store.next_queue_id();
    store
        .lock()
        .shard()
        .create_queue(fleeting, QueueDurability::Transient, b"")
        .unwrap();
    publish(&store, &[orders, fleeting], &[b"kept"]);
    let message = Message {
        queues: &[orders],
        properties: &[],
        body: &[b"fleeting"],
        persistence: Persistence::Transient,
        priority: 0,
        timestamp_ms: 1,
        expires_ms: None,
    };
    let block = store.lock().shard().publish(&message).unwrap();
    store.wait_durable(block).unwrap();
    publish(&store, &[orders], &[b"kept too"]);
    drop(store);
    let (store, report) = open(dir.path());
    assert_eq!(
        report
            .queues
            .iter()
            .map(|queue| (queue.id, queue.messages))
            .collect::<Vec<_>>(),
        [(orders, 2)]
    );
    assert_eq!(bodies(&fetch(&store, orders, 10)), [&b"kept"[..], b"kept too"]);
    assert_eq!(store.lock().shard().counts(fleeting), None);
}
