//! Reading again, without taking anything.

use crate::support::{bodies, held, open, publish, queue};
use logpond_store::{Batch, EntryState, From, Message, Seq};

#[test]
fn a_replay_shows_what_is_not_acknowledged_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    publish(&store, &orders, &["one", "two", "three"]);
    let mut deliveries = orders.fetch(2).unwrap();
    let mut done = Batch::new();
    done.ack(deliveries.remove(0));
    store.commit(done).unwrap();
    let before = orders.counts();
    let states: Vec<_> = orders
        .browse()
        .map(Result::unwrap)
        .map(|entry| (entry.seq.get(), entry.state))
        .collect();
    assert_eq!(states, [(1, EntryState::Leased), (2, EntryState::Ready)]);
    assert_eq!(orders.counts(), before);
    drop(deliveries);
    assert_eq!(bodies(&orders.fetch(9).unwrap()), ["two", "three"]);
}

#[test]
fn a_replay_begins_where_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    for tens in 0..100_u64 {
        let mut batch = Batch::new();
        for number in tens * 10..tens * 10 + 10 {
            batch.publish(&[orders.id()], Message::new(&number.to_le_bytes()));
        }
        store.commit(batch).unwrap();
    }
    let seqs = |from| {
        let entries = orders.replay(from).map(Result::unwrap);
        entries.map(|entry| entry.seq.get()).collect::<Vec<_>>()
    };
    assert_eq!(seqs(From::Start), (0..1000).collect::<Vec<_>>());
    assert_eq!(seqs(From::Seq(Seq::new(990))), (990..1000).collect::<Vec<_>>());
    let published_ms = orders.browse().next().unwrap().unwrap().timestamp_ms;
    assert_eq!(seqs(From::Time(published_ms)).len(), 1000);
    assert!(seqs(From::Time(u64::MAX)).is_empty());
}

#[test]
fn a_damaged_message_is_one_error_with_its_place_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    publish(
        &store,
        &orders,
        &["first message", "second message", "third message"],
    );
    store.close().unwrap();
    flip(dir.path(), b"second message");

    let (store, report) = open(dir.path());
    let orders = queue(&store, "orders");
    let read: Vec<_> = orders.browse().collect();
    let intact: Vec<_> = read.iter().flatten().map(|entry| entry.seq.get()).collect();
    assert_eq!(intact, [0, 2]);
    let is_told = read.iter().any(Result::is_err) || !report.lost.is_empty();
    assert!(is_told, "{report:?}");

    // The first two fetches bring what is in front of the damage and the damage; then the queue goes on.
    let mut found = Vec::new();
    for _ in 0..3 {
        for delivery in orders.fetch(9).unwrap_or_default() {
            found.push(delivery.seq().get());
            delivery.ack().unwrap();
        }
    }
    assert_eq!(found, [0, 2]);
}

#[test]
fn a_crash_leaves_everything_that_was_committed_to_be_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    publish(&store, &orders, &["one", "two"]);
    drop((store, orders));
    let (store, report) = open(dir.path());
    assert!(!report.clean);
    assert_eq!(held(&queue(&store, "orders")), ["one", "two"]);
}

fn flip(dir: &std::path::Path, needle: &[u8]) {
    for entry in std::fs::read_dir(dir.join("shard-00/j")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            bytes[at] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
    }
}
