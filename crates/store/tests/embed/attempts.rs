//! How often messages came back is known, also after a restart.

use crate::support::{bodies, open, publish, queue};
use logpond_store::{Attempts, Delivery};

fn attempts(deliveries: &[Delivery]) -> Vec<(u16, u16)> {
    let attempts = deliveries.iter().map(Delivery::attempts);
    attempts
        .map(|Attempts { returned, failed }| (returned, failed))
        .collect()
}

#[test]
fn a_delivery_tells_how_often_the_message_came_back_and_how_often_it_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let orders = queue(&store, "orders");
    publish(&store, &orders, &["one", "two", "three"]);
    let first = orders.fetch(2).unwrap();
    assert_eq!(attempts(&first), [(0, 0), (0, 0)]);
    drop(first);
    for delivery in orders.fetch(1).unwrap() {
        delivery.requeue().unwrap();
    }
    let again = orders.fetch(9).unwrap();
    assert_eq!(bodies(&again), ["one", "two", "three"]);
    assert_eq!(attempts(&again), [(2, 1), (1, 1), (0, 0)]);
}

#[test]
fn counts_are_there_after_a_restart_and_gone_with_their_message() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let (store, _) = open(dir.path());
        let orders = queue(&store, "orders");
        if round == 0 {
            publish(&store, &orders, &["one", "two"]);
        }
        let mut held = orders.fetch(9).unwrap();
        assert_eq!(attempts(&held)[0], (round, round));
        if round == 0 {
            held.pop().unwrap().ack().unwrap();
        }
        assert_eq!(held.len(), 1, "what is done does not come back");
        drop(held);
        let entry = orders.browse().next().unwrap().unwrap();
        assert_eq!(entry.attempts.returned, round + 1);
        store.close().unwrap();
    }
}
