//! What is promised when a commit returns, and when the store ends.

use crate::support::{PATIENCE, batch, bodies, held, open, publish, queue};
use logpond_store::{CommitError, FetchError, OpenError, Options, QueueOptions, Store};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake};

#[test]
fn a_buffered_batch_is_durable_when_its_ticket_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    let tickets: Vec<_> = (0..100)
        .map(|_| store.commit_buffered(batch(&orders, &["one"])).unwrap())
        .collect();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    assert!(
        store.commit_buffered(batch(&orders, &[])).unwrap().is_durable(),
        "nothing to wait for"
    );
    assert_eq!(held(&orders).len(), 100);
}

#[test]
fn a_store_that_was_closed_is_found_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (store, report) = open(dir.path());
    assert!(report.created);
    let orders = queue(&store, "orders");
    publish(&store, &orders, &["one", "two", "three"]);
    orders.fetch(1).unwrap().remove(0).ack().unwrap();
    let unsettled = orders.fetch(1).unwrap();
    store.close().unwrap();
    drop(unsettled);

    let (store, report) = open(dir.path());
    assert!(report.clean);
    let orders = store.find_queue("orders").unwrap();
    let deliveries = orders.fetch(9).unwrap();
    assert_eq!(bodies(&deliveries), ["two", "three"]);
    assert!(deliveries[0].is_redelivered());
}

#[test]
fn a_store_whose_last_handle_is_dropped_is_free_for_the_next_open() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    publish(&store, &orders, &["one"]);
    let delivery = orders.fetch(1).unwrap().remove(0);
    drop((store, orders));
    let refused = Store::open(dir.path(), Options::tiny()).unwrap_err();
    assert!(
        matches!(refused, OpenError::Locked(_)),
        "a delivery is a handle, too: {refused}"
    );
    drop(delivery);
    let (store, report) = open(dir.path());
    assert!(!report.clean);
    assert_eq!(held(&queue(&store, "orders")), ["one"]);
}

#[test]
fn a_closed_store_says_so_to_whoever_still_has_a_handle() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    store.close().unwrap();
    let commit = store.commit(batch(&orders, &["one"])).unwrap_err();
    assert!(matches!(commit, CommitError::Poisoned(_)), "{commit}");
    let fetch = orders.fetch(1).unwrap_err();
    assert!(matches!(fetch, FetchError::Poisoned(_)), "{fetch}");
    let purge = orders.purge().unwrap_err();
    let delete = orders.delete().unwrap_err();
    let made = store.queue("bills", QueueOptions::default()).unwrap_err();
    let why = "the store was closed: open it again";
    let takes = format!("the store takes nothing any more: {why}");
    for refused in [
        commit.to_string(),
        purge.to_string(),
        delete.to_string(),
        made.to_string(),
    ] {
        assert_eq!(refused, takes);
    }
    assert_eq!(
        fetch.to_string(),
        format!("the store delivers nothing any more: {why}")
    );
}

#[test]
fn who_still_has_a_handle_on_a_closed_store_writes_nothing_to_one_that_was_opened_since() {
    let dir = tempfile::tempdir().unwrap();
    let (closed, _) = open(dir.path());
    queue(&closed, "orders");
    closed.close().unwrap();
    let (store, _) = open(dir.path());
    queue(&store, "bills");
    let stray = QueueOptions::at_most(7);
    closed.queue("stray", stray).unwrap_err();
    store.close().unwrap();
    let (store, report) = open(dir.path());
    assert!(report.catalog.is_clean(), "{:?}", report.catalog);
    let names: Vec<_> = store
        .queues()
        .iter()
        .map(|queue| queue.name().to_owned())
        .collect();
    assert_eq!(names, ["bills", "orders"]);
}

#[test]
fn a_commit_can_be_awaited_on_any_executor_and_never_blocks_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    let body = "x".repeat(50_000);
    for _ in 0..200 {
        run(store.commit_async(batch(&orders, &[&body]))).unwrap();
    }
    assert_eq!(orders.len(), 200);
    let deliveries = run(orders.fetch_async(1)).unwrap();
    assert_eq!(deliveries.len(), 1);
}

struct Bell(Sender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // Nobody listens any more once the future is done.
        let _ = self.0.send(());
    }
}

/// The smallest executor: polls when it is woken, and only then.
fn run<F: Future>(future: F) -> F::Output {
    let (bell, rings): (_, Receiver<()>) = channel();
    let waker = Arc::new(Bell(bell)).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        rings.recv_timeout(PATIENCE).expect("a pending future is woken");
    }
}
