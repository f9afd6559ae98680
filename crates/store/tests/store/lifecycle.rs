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
