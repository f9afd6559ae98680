//! What is dead makes room, what is alive stays, and making room comes to an end.

use crate::support::{ack, bodies, fetch, no_checkpoints, open, open_with, publish, queue, rest};
use logpond_store::{Options, QueueDurability};

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
        rest(&store);
    }
    let counters = store.counters();
    assert!(counters.segments_recycled > 10, "{counters:?}");
    assert!(counters.segments < 10, "{counters:?}");
}

#[test]
fn what_nobody_acknowledges_outlives_all_that_comes_and_goes_around_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open_with(dir.path(), no_checkpoints());
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
        ack(&store, orders, found[0].seq, 61);
        rest(&store);
        drop(store);
        store = open_with(dir.path(), no_checkpoints()).0;
    }
    assert!(store.counters().segments < 20, "{:?}", store.counters());
    assert_eq!(bodies(&fetch(&store, kept, 1000)).concat(), [0, 1, 2, 3, 4]);
    assert!(fetch(&store, orders, 1).is_empty());
}

#[test]
fn an_acknowledgement_over_the_cut_of_a_start_frees_each_segment_of_its_own_messages_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), no_checkpoints());
    let (kept, orders) = (queue(&store), queue(&store));
    publish(&store, &[kept], &[b"kept"]);
    let body = [1_u8; 100];
    let ten: Vec<&[u8]> = vec![&body; 10];
    publish(&store, &[orders], &ten);
    publish(&store, &[orders], &[b"tail"]);
    drop(store);
    // Nothing proves that the last block was synced: it moves into the segment of the next start.
    let (store, report) = open_with(dir.path(), no_checkpoints());
    assert_eq!(report.records_appended_again, 1);
    publish(&store, &[orders], &ten);
    assert_eq!(fetch(&store, orders, 21).len(), 21);
    ack(&store, orders, 0, 21);
    for _ in 0..40 {
        publish(&store, &[orders], &[&[2; 6000]]);
    }
    assert_eq!(fetch(&store, orders, 40).len(), 40);
    ack(&store, orders, 21, 40);
    // A segment goes when the older of two checkpoints lies behind it.
    for _ in 0..2 {
        publish(&store, &[orders], &[b"news"]);
        store.checkpoint();
    }
    rest(&store);
    assert!(store.counters().segments_recycled > 0, "{:?}", store.counters());
    assert_eq!(bodies(&fetch(&store, kept, 1)), [b"kept"]);
}

#[test]
fn repeating_the_states_of_many_queues_comes_to_rest() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        checkpoint_ms: u64::MAX,
        ..Options::tiny()
    };
    let (store, _) = open_with(dir.path(), options);
    for _ in 0..600 {
        let id = store.next_queue_id();
        let created = store
            .lock()
            .shard()
            .create_queue(id, QueueDurability::Durable, &[7; 200]);
        created.unwrap();
        rest(&store);
    }
    // Each checkpoint may let more segments go, whose states are repeated; at last none is.
    for _ in 0..4 {
        store.checkpoint();
        rest(&store);
    }
    let rested = store.counters();
    for _ in 0..4 {
        store.checkpoint();
        rest(&store);
        assert_eq!(store.counters(), rested);
    }
    // Nor does a little news start it again.
    let orders = queue(&store);
    for seq in 0..10 {
        publish(&store, &[orders], &[b"news"]);
        fetch(&store, orders, 1);
        ack(&store, orders, seq, 1);
        store.checkpoint();
        rest(&store);
    }
    let after = store.counters();
    // Three blocks a round (message, delivery mark, acknowledgement), and a state now and then.
    assert!(after.blocks <= rested.blocks + 40, "{rested:?} {after:?}");
    assert!(after.segments <= rested.segments + 1, "{rested:?} {after:?}");
}
