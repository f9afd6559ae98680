//! Queues by name.

use crate::support::{PATIENCE, batch, bodies, held, open, publish, queue};
use logpond_store::{Batch, Message, QueueError, QueueOptions};
use std::time::{Duration, Instant};

#[test]
fn a_queue_is_the_same_whenever_it_is_asked_for_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let id = queue(&store, "orders").id();
    assert_eq!(queue(&store, "orders").id(), id);
    assert_ne!(queue(&store, "others").id(), id);
    store.close().unwrap();
    let (store, _) = open(dir.path());
    let names: Vec<_> = store
        .queues()
        .iter()
        .map(|queue| queue.name().to_owned())
        .collect();
    assert_eq!(names, ["orders", "others"]);
    assert_eq!(queue(&store, "orders").id(), id);
}

#[test]
fn a_queue_asked_for_with_other_options_is_refused_with_both() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let made = QueueOptions::at_most(10);
    store.queue("orders", made).unwrap();
    drop(store);
    let (store, _) = open(dir.path());
    let wish = QueueOptions::newest(10);
    let error = store.queue("orders", wish).unwrap_err();
    assert!(
        matches!(&error, QueueError::OptionsConflict { existing, asked, .. }
            if **existing == made && **asked == wish),
        "{error}"
    );
    assert_eq!(store.find_queue("orders").unwrap().options(), made);
}

#[test]
fn options_are_the_same_after_a_restart_and_still_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let options = QueueOptions::newest(3)
        .with_bytes_max(1000)
        .with_time_to_live(Duration::from_secs(60))
        .with_priority_max(5);
    let orders = store.queue("orders", options).unwrap();
    publish(&store, &orders, &["1", "2"]);
    drop((orders, store));
    let (store, _) = open(dir.path());
    let orders = store.find_queue("orders").unwrap();
    assert_eq!(orders.options(), options);
    assert_eq!(orders.options().time_to_live_ms, Some(60_000));
    publish(&store, &orders, &["3", "4"]);
    assert_eq!(held(&orders), ["2", "3", "4"]);
    let mut urgent = Batch::new();
    urgent.publish(&[orders.id()], Message::new("urgent").with_priority(9));
    store.commit(urgent).unwrap();
    assert_eq!(bodies(&orders.fetch(9).unwrap()), ["urgent", "3", "4"]);
}

#[test]
fn messages_expire_without_anybody_who_fetches() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let options = QueueOptions::default().with_time_to_live(Duration::from_millis(1));
    let offers = store.queue("offers", options).unwrap();
    publish(&store, &offers, &["one", "two"]);
    let begin = Instant::now();
    while !offers.is_empty() {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

#[test]
fn names_have_1_to_255_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    queue(&store, &"n".repeat(255));
    for name in [String::new(), "n".repeat(256)] {
        let error = store.queue(&name, QueueOptions::default()).unwrap_err();
        assert!(matches!(error, QueueError::Name { limit: 255, .. }), "{error}");
    }
}

#[test]
fn a_deleted_queue_stays_away_and_its_name_is_free_for_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let old = queue(&store, "orders");
    publish(&store, &old, &["one"]);
    old.delete().unwrap();
    assert!(store.find_queue("orders").is_none() && old.is_empty());
    let error = old.delete().unwrap_err();
    assert!(
        matches!(error, QueueError::UnknownQueue(ref queue) if queue.id == old.id()),
        "{error}"
    );
    assert_eq!(error.to_string(), "queue 'orders' does not exist");
    let error = store.commit(batch(&old, &["two"])).unwrap_err();
    assert_eq!(error.to_string(), format!("queue {} does not exist", old.id()));
    drop((old, store));
    let (store, _) = open(dir.path());
    assert!(store.queues().is_empty());
    assert!(held(&queue(&store, "orders")).is_empty());
}

#[test]
fn a_purge_ends_what_is_ready_and_leaves_what_consumers_hold() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    publish(&store, &orders, &["one", "two", "three"]);
    let mine = orders.fetch(1).unwrap();
    assert_eq!(orders.purge().unwrap(), 2);
    assert_eq!(orders.len(), 1);
    drop(mine);
    assert_eq!(bodies(&orders.fetch(9).unwrap()), ["one"]);
}

#[test]
fn a_queue_whose_name_the_catalog_lost_is_found_by_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    publish(&store, &queue(&store, "orders"), &["one"]);
    store.close().unwrap();
    std::fs::remove_file(dir.path().join("catalog.log")).unwrap();
    let (store, _) = open(dir.path());
    assert_eq!(held(&queue(&store, "orders")), ["one"]);
}
