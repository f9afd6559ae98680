//! Starting the threads of a store, and stopping them.

use crate::support::{PATIENCE, ack, append, bodies, fetch, held, open, publish, queue};
use logpond_store::Persistence;
use std::sync::mpsc;

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
fn a_close_writes_all_that_waits_however_many_segments_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.start().unwrap();
    let orders = queue(&store);
    let body = [1_u8; 6000];
    let much: Vec<&[u8]> = vec![&body; 500];
    append(&store, Persistence::Persistent, &[orders], &much);
    let (closed, is_closed) = mpsc::channel();
    std::thread::spawn(move || closed.send(store.close()));
    is_closed
        .recv_timeout(PATIENCE)
        .expect("a close comes to an end")
        .unwrap();
    let (store, report) = open(dir.path());
    assert!(report.clean);
    assert_eq!(held(&report), [(orders, 500)]);
    assert_eq!(bodies(&fetch(&store, orders, 1000)), much);
}

#[test]
fn a_store_that_is_dropped_without_a_close_stops_its_threads_and_lets_go_of_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.start().unwrap();
    let orders = queue(&store);
    publish(&store, &[orders], &[b"one"]);
    append(&store, Persistence::Persistent, &[orders], &[b"two"]);
    let another_handle = store.clone();
    drop(store);
    publish(&another_handle, &[orders], &[b"three"]);
    drop(another_handle);
    let (store, report) = open(dir.path());
    assert!(!report.clean, "only a close is an orderly stop");
    assert_eq!(
        bodies(&fetch(&store, orders, 9)),
        [b"one".as_slice(), b"two", b"three"]
    );
}
