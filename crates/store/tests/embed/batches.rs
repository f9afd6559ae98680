//! Batches: all of it or nothing.

use crate::support::{batch, bodies, held, open, publish, queue};
use logpond_store::{
    Amount, Batch, CommitError, Message, Overflow, Queue, QueueId, QueueOptions, TryCommitError,
};
use std::time::Duration;

#[test]
fn a_message_for_several_queues_is_in_each_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (orders, audit) = (queue(&store, "orders"), queue(&store, "audit"));
    let mut batch = Batch::new();
    let twice = [orders.id(), audit.id(), orders.id()];
    batch.publish(&twice, Message::new("one").with_properties("p"));
    store.commit(batch).unwrap();
    assert_eq!((orders.len(), audit.len()), (1, 1));
    let deliveries = audit.fetch(9).unwrap();
    assert_eq!(deliveries[0].properties(), b"p");
    assert_eq!(bodies(&deliveries), ["one"]);
}

#[test]
fn a_delivery_is_done_if_and_only_if_the_rest_of_its_batch_is() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (from, to) = (queue(&store, "from"), queue(&store, "to"));
    publish(&store, &from, &["one", "two"]);

    let nowhere = QueueId::new(4711);
    let mut refused = Batch::new();
    refused.publish(&[to.id(), nowhere], Message::new("ONE"));
    refused.ack(from.fetch(1).unwrap().remove(0));
    let error = store.commit(refused).unwrap_err();
    assert!(
        matches!(error, CommitError::UnknownQueue(ref queue) if queue.id == nowhere),
        "{error}"
    );
    assert_eq!(
        (held(&from), held(&to)),
        (vec!["one".into(), "two".into()], vec![])
    );

    let mut taken = Batch::new();
    let delivery = from.fetch(1).unwrap().remove(0);
    assert!(delivery.is_redelivered(), "the refused batch put it back");
    taken.publish(&[to.id()], Message::new("ONE"));
    taken.ack(delivery);
    store.commit(taken).unwrap();
    assert_eq!((held(&from), held(&to)), (vec!["two".into()], vec!["ONE".into()]));
}

#[test]
fn a_batch_that_is_dropped_puts_its_deliveries_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    publish(&store, &orders, &["one"]);
    let mut dropped = Batch::new();
    dropped.ack(orders.fetch(1).unwrap().remove(0));
    assert!(orders.fetch(1).unwrap().is_empty());
    drop(dropped);
    assert_eq!(bodies(&orders.fetch(1).unwrap()), ["one"]);
}

#[test]
fn a_batch_beyond_what_one_commit_takes_is_refused_with_both_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    let body = "x".repeat(40_000);
    let error = store.commit(batch(&orders, &[&body, &body])).unwrap_err();
    assert!(
        matches!(error, CommitError::TooLarge { bytes, limit } if bytes > 80_000 && limit < bytes),
        "{error}"
    );
    assert!(orders.is_empty());
    publish(&store, &orders, &["the store goes on"]);
}

#[test]
fn a_batch_for_a_queue_with_a_time_to_live_is_taken_as_a_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let from = queue(&store, "from");
    let options = QueueOptions::default().with_time_to_live(Duration::from_secs(60));
    let to = store.queue("to", options).unwrap();
    publish(&store, &from, &["one"]);
    // Each takes more room in the log when it is known to expire than when it is put into the batch.
    let fill = |count: usize| {
        let mut batch = Batch::new();
        (0..count).for_each(|_| batch.publish(&[to.id()], Message::new(&"x".repeat(16))));
        batch.ack(from.fetch(1).unwrap().remove(0));
        batch
    };
    let error = store.commit(fill(1_000)).unwrap_err();
    assert!(matches!(error, CommitError::TooLarge { .. }), "{error}");
    assert_eq!((held(&from), held(&to)), (vec!["one".into()], vec![]));
    store.commit(fill(500)).unwrap();
    assert_eq!((held(&from).len(), held(&to).len()), (0, 500));
}

#[test]
fn a_delivery_stays_undone_when_the_log_has_to_say_too_much_of_the_queues_of_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let from = queue(&store, "from");
    publish(&store, &from, &["one"]);
    let queues: Vec<_> = (0..400).map(|n| queue(&store, &n.to_string())).collect();
    let ids: Vec<_> = queues.iter().map(Queue::id).collect();
    // What is not logged is a gap, and of each gap something is said in the block of the next message.
    let mut gaps = Batch::new();
    gaps.publish(&ids, Message::new("transient").transient());
    store.commit(gaps).unwrap();

    let mut refused = Batch::new();
    refused.publish(&ids, Message::new(&"x".repeat(46_000)));
    refused.ack(from.fetch(1).unwrap().remove(0));
    let error = store.commit(refused).unwrap_err();
    assert!(matches!(error, CommitError::TooLarge { .. }), "{error}");
    assert_eq!(bodies(&from.fetch(1).unwrap()), ["one"]);
    store.close().unwrap();
    let (store, _) = open(dir.path());
    assert_eq!(held(&queue(&store, "from")), ["one"]);
}

#[test]
fn a_delivery_of_another_store_is_refused_and_goes_back_to_its_own() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((here, _), (there, _)) = (open(here.path()), open(there.path()));
    let theirs = queue(&there, "orders");
    publish(&there, &theirs, &["one"]);
    let mut mixed = Batch::new();
    mixed.ack(theirs.fetch(1).unwrap().remove(0));
    let error = here.commit(mixed).unwrap_err();
    assert!(
        matches!(error, CommitError::OtherStore { queue, .. } if queue == theirs.id()),
        "{error}"
    );
    assert_eq!(theirs.fetch(1).unwrap().len(), 1);
}

#[test]
fn a_full_queue_refuses_a_batch_that_does_not_fit_and_takes_one_that_makes_its_own_room() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let small = store.queue("small", QueueOptions::at_most(2)).unwrap();
    publish(&store, &small, &["one", "two"]);
    let error = store.commit(batch(&small, &["three"])).unwrap_err();
    assert!(
        matches!(
            error,
            CommitError::QueueFull {
                ready: Amount {
                    messages: 2,
                    bytes: 6
                },
                more: Amount {
                    messages: 1,
                    bytes: 5
                },
                ..
            }
        ),
        "{error}"
    );
    let mut exchange = batch(&small, &["three"]);
    exchange.ack(small.fetch(1).unwrap().remove(0));
    store.commit(exchange).unwrap();
    assert_eq!(held(&small), ["two", "three"]);
}

#[test]
fn a_queue_of_the_newest_drops_its_oldest_for_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let newest = store.queue("newest", QueueOptions::newest(3)).unwrap();
    for body in ["1", "2", "3", "4", "5"] {
        publish(&store, &newest, &[body]);
    }
    assert_eq!(held(&newest), ["3", "4", "5"]);
}

#[test]
fn a_batch_is_refused_as_a_whole_when_its_last_message_is_one_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let small = store.queue("small", QueueOptions::at_most(2)).unwrap();
    let free = queue(&store, "free");
    let mut many = batch(&small, &["one", "two"]);
    many.publish(&[free.id(), small.id()], Message::new("three"));
    let error = store.commit(many).unwrap_err();
    assert!(
        matches!(error, CommitError::QueueFull { ref queue, .. } if queue.id == small.id()),
        "{error}"
    );
    assert!(
        error.to_string().starts_with("queue 'small' is full: "),
        "{error}"
    );
    assert!(small.is_empty() && free.is_empty());
}

#[test]
fn what_a_consumer_holds_does_not_count_and_what_it_puts_back_to_a_full_queue_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let newest = store.queue("newest", QueueOptions::newest(2)).unwrap();
    publish(&store, &newest, &["1", "2"]);
    let first = newest.fetch(1).unwrap();
    publish(&store, &newest, &["3"]);
    assert_eq!(held(&newest), ["1", "2", "3"]);
    drop(first);
    assert_eq!(bodies(&newest.fetch(9).unwrap()), ["2", "3"]);
}

#[test]
fn bytes_of_bodies_are_a_limit_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let options = QueueOptions::default().with_bytes_max(10);
    let small = store.queue("small", options).unwrap();
    publish(&store, &small, &["12345", "1234"]);
    assert!(store.commit(batch(&small, &["12"])).is_err());
    let newest = options.with_overflow(Overflow::DropOldest);
    let newest = store.queue("newest", newest).unwrap();
    publish(&store, &newest, &["12345", "1234", "12"]);
    assert_eq!(held(&newest), ["1234", "12"]);
}

#[test]
fn a_batch_that_would_have_to_wait_for_the_disk_comes_back_from_a_try() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    let body = "x".repeat(50_000);
    let mut taken = 0_u64;
    let returned = loop {
        match store.try_commit(batch(&orders, &[&body])) {
            Ok(_ticket) => taken += 1,
            Err(TryCommitError::Full(batch)) => break batch,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(returned.len(), 1);
    store.commit(returned).unwrap();
    assert_eq!(orders.len(), taken + 1);
}
