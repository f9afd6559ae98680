//! What the next process finds: after a crash, after an orderly stop, after many of either.

use crate::support::{
    ack, bodies, counts, fetch, held, journal_files, open, publish, publish_as, queue, redelivered,
    remove_checkpoints, requeue, transient_queue,
};
use logpond_store::{Counts, Persistence};

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
    assert_eq!(held(&report), [(orders, 2)]);
    let found = fetch(&store, orders, 10);
    assert_eq!(bodies(&found), [b"b", b"c"]);
    // Both may have been delivered before: the delivery mark reached beyond them.
    assert_eq!(redelivered(&found), [true, true]);
}

#[test]
fn a_message_that_was_requeued_and_then_acknowledged_stays_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b"]);
    fetch(&store, orders, 1);
    requeue(&store, orders, 0);
    ack(&store, orders, 0, 1);
    drop(store);
    let (store, report) = open(dir.path());
    assert_eq!(held(&report), [(orders, 1)]);
    assert_eq!(counts(&store, orders), Some(Counts { ready: 1, leased: 0 }));
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"b"]);
}

#[test]
fn after_an_orderly_stop_only_what_was_requeued_counts_as_redelivered() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a", b"b"]);
    fetch(&store, orders, 1);
    requeue(&store, orders, 0);
    store.close().unwrap();
    let (store, report) = open(dir.path());
    assert!(report.clean);
    assert_eq!(redelivered(&fetch(&store, orders, 10)), [true, false]);
}

#[test]
fn transient_queues_and_messages_are_gone_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (orders, fleeting) = (queue(&store), transient_queue(&store));
    publish(&store, &[orders, fleeting], &[b"kept"]);
    publish_as(&store, Persistence::Transient, &[orders], &[b"fleeting"]);
    publish(&store, &[orders], &[b"kept too"]);
    drop(store);
    let (store, report) = open(dir.path());
    assert_eq!(held(&report), [(orders, 2)]);
    assert_eq!(bodies(&fetch(&store, orders, 10)), [&b"kept"[..], b"kept too"]);
    assert_eq!(counts(&store, fleeting), None);
}

#[test]
fn the_id_of_a_transient_queue_is_not_given_out_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (orders, fleeting) = (queue(&store), transient_queue(&store));
    publish(&store, &[orders, fleeting], &[b"old-0", b"old-1"]);
    store.close().unwrap();
    let (store, _) = open(dir.path());
    let later = queue(&store);
    assert!(later > fleeting, "{later} was given out before");
    publish(&store, &[later], &[b"new-0", b"new-1", b"new-2"]);
    drop(store);
    // From the log alone: the records of both lives stand side by side in it.
    remove_checkpoints(dir.path());
    let (store, report) = open(dir.path());
    assert!(report.index_rebuilt);
    assert_eq!(held(&report), [(orders, 2), (later, 3)]);
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"old-0", b"old-1"]);
    assert_eq!(bodies(&fetch(&store, later, 10)), [b"new-0", b"new-1", b"new-2"]);
}

#[test]
fn a_start_without_news_leaves_no_file_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store);
    publish(&store, &[orders], &[b"a"]);
    drop(store);
    // The first starts set the spare aside that all later ones use.
    for _ in 0..3 {
        drop(open(dir.path()));
    }
    let files = journal_files(dir.path());
    for start in 0..30 {
        drop(open(dir.path()));
        assert!(
            journal_files(dir.path()) <= files,
            "more than {files} files after start {start}"
        );
    }
    let (store, report) = open(dir.path());
    assert_eq!((report.torn, report.quarantined), (None, Vec::new()));
    assert_eq!(bodies(&fetch(&store, orders, 10)), [b"a"]);
}
