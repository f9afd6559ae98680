//! Which messages a queue hands out, and in which order.

use crate::support::{ack, bodies, counts, fetch, open, publish, queue, redelivered, requeue};
use logpond_store::{AckReason, Counts, Now, Seq};

#[test]
fn what_was_published_is_delivered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (store, report) = open(dir.path());
    assert!(report.created);
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b", b"c"]);
    assert_eq!(counts(&store, orders), Some(Counts { ready: 3, leased: 0 }));
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"a", b"b", b"c"]);
    assert_eq!(counts(&store, orders), Some(Counts { ready: 0, leased: 3 }));
}

#[test]
fn a_requeued_message_comes_back_at_its_place_and_marked() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b", b"c", b"d"]);
    fetch(&store, orders, 3);
    requeue(&store, orders, 1);
    requeue(&store, orders, 0);
    let found = fetch(&store, orders, 10);
    assert_eq!(bodies(&found), [b"a", b"b", b"d"]);
    assert_eq!(redelivered(&found), [true, true, false]);
}

#[test]
fn a_message_that_is_acknowledged_after_it_was_requeued_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b"]);
    fetch(&store, orders, 1);
    requeue(&store, orders, 0);
    assert_eq!(counts(&store, orders), Some(Counts { ready: 2, leased: 0 }));
    ack(&store, orders, 0, 1);
    assert_eq!(counts(&store, orders), Some(Counts { ready: 1, leased: 0 }));
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"b"]);
    assert_eq!(counts(&store, orders), Some(Counts { ready: 0, leased: 1 }));
}

#[test]
fn an_acknowledgement_reaches_no_further_than_what_was_leased() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a"]);
    fetch(&store, orders, 1);
    // Not waited for: what it buries must be decided when it is handed in, not when it is applied.
    let acked = store
        .lock()
        .shard()
        .acknowledge(orders, Seq::new(0), 5, AckReason::Acked, Now::default());
    publish(&store, &[orders], &[b"b"]);
    assert!(acked.is_ok());
    assert_eq!(bodies(&fetch(&store, orders, 5)), [b"b"]);
}

#[test]
fn a_purge_takes_what_is_ready_and_leaves_what_is_leased() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b", b"c"]);
    fetch(&store, orders, 1);
    let (purged, block) = store.lock().shard().purge(orders, Now::default()).unwrap();
    assert_eq!(purged, 2);
    store.wait_durable(block).unwrap();
    assert_eq!(counts(&store, orders), Some(Counts { ready: 0, leased: 1 }));
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
