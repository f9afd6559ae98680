//! Priorities of messages in quorum queues.

use super::dying::{find, quorum, said};
use super::*;

/// Property flags and list for delivery mode 2 and a priority, if there is one.
fn properties(priority: Option<u8>) -> Vec<u8> {
    match priority {
        Some(priority) => vec![0x18, 0, 2, priority],
        None => PERSISTENT.to_vec(),
    }
}

/// Publishes messages of these priorities, each a body that says which it is, one after the other.
fn publish(client: &mut Client, exchange: &str, priorities: &[Option<u8>]) {
    for priority in priorities {
        let body = priority.map_or("none".to_owned(), |priority| priority.to_string());
        let _ = client.publish_with(exchange, "q", &properties(*priority), &[&body]);
        client.poll();
    }
}

fn taken(client: &mut Client, queue: &str) -> Vec<String> {
    let bodies = std::iter::from_fn(|| {
        let got = client.get(queue, true);
        client.poll();
        got
    });
    bodies.map(|got| got.body).collect()
}

#[test]
fn a_quorum_queue_serves_higher_priorities_first_and_takes_none_for_four() {
    let mut client = Client::new(&broker());
    client.declare_with("q", &[quorum()]).unwrap();
    publish(
        &mut client,
        "",
        &[
            Some(3),
            None,
            Some(5),
            Some(0),
            Some(4),
            Some(31),
            Some(255),
            None,
        ],
    );
    let expected = ["31", "255", "5", "none", "4", "none", "3", "0"];
    assert_eq!(taken(&mut client, "q"), expected);
}

#[test]
fn a_classic_queue_beside_it_takes_none_for_zero() {
    let mut client = Client::new(&broker());
    client.declare_with("q", &[quorum()]).unwrap();
    client
        .declare_with("levels", &[("x-max-priority", Value::U8(10))])
        .unwrap();
    client.declare("plain");
    client.exchange("all", "fanout", true).unwrap();
    for queue in ["q", "levels", "plain"] {
        client.bind("all", queue, "").unwrap();
    }
    publish(&mut client, "all", &[None, Some(0), Some(1)]);
    assert_eq!(taken(&mut client, "q"), ["none", "1", "0"]);
    assert_eq!(taken(&mut client, "levels"), ["1", "none", "0"]);
    assert_eq!(taken(&mut client, "plain"), ["none", "0", "1"]);
}

#[test]
fn what_a_consumer_gives_back_goes_before_higher_priorities() {
    let mut client = Client::new(&broker());
    client.declare_with("q", &[quorum()]).unwrap();
    client.prefetch(1);
    publish(&mut client, "", &[Some(1), Some(2)]);
    client.consume("q", "worker", false).unwrap();
    assert_eq!(client.bodies(), ["2"]);
    publish(&mut client, "", &[Some(9)]);
    client.nack(1, Extent::One, GiveBack::Requeue);
    assert_eq!(client.bodies(), ["2"]);
    client.ack(2, Extent::One);
    assert_eq!(client.bodies(), ["9"]);
    client.ack(3, Extent::One);
    assert_eq!(client.bodies(), ["1"]);
}

#[test]
fn a_single_active_consumer_is_served_by_priority() {
    let mut client = Client::new(&broker());
    let alone = ("x-single-active-consumer", Value::Bool(true));
    client.declare_with("q", &[quorum(), alone]).unwrap();
    publish(&mut client, "", &[None, Some(9), Some(0)]);
    client.consume("q", "worker", true).unwrap();
    assert_eq!(client.bodies(), ["9", "none", "0"]);
}

#[test]
fn a_full_one_drops_what_would_have_been_delivered_next_and_it_dies_there() {
    let mut client = Client::new(&broker());
    client.declare("dead");
    let arguments = [
        quorum(),
        ("x-max-length", Value::I32(2)),
        ("x-dead-letter-exchange", Value::str("")),
        ("x-dead-letter-routing-key", Value::str("dead")),
    ];
    client.declare_with("q", &arguments).unwrap();
    publish(&mut client, "", &[Some(1), Some(9), Some(0)]);
    let found = find(&mut client, "dead").unwrap();
    assert_eq!(
        (&*found.body, said(&found, "x-first-death-reason").as_str()),
        ("9", "maxlen")
    );
    assert_eq!(taken(&mut client, "q"), ["1", "0"]);
}

#[test]
fn priorities_of_a_quorum_queue_hold_after_a_restart() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare_with("q", &[quorum()]).unwrap();
    publish(&mut client, "", &[Some(0), None, Some(9)]);
    let survivor = disk.after_kill();
    drop((client, broker));
    let mut client = Client::new(&open(&survivor));
    client.poll();
    assert_eq!(taken(&mut client, "q"), ["9", "none", "0"]);
}
