//! Who is served first, and who alone: consumer priorities, single active consumers.

use super::*;

fn priority(value: i32) -> Arguments {
    [("x-priority", Value::I32(value))].into_iter().collect()
}

fn single(kind: &str) -> [(&'static str, Value); 2] {
    [
        ("x-queue-type", Value::str(kind)),
        ("x-single-active-consumer", Value::Bool(true)),
    ]
}

/// A broker with clients that each hold at most one message, and a queue.
fn clients<const N: usize>(arguments: &[(&str, Value)]) -> [Client; N] {
    let broker = broker();
    let mut clients = std::array::from_fn(|_| Client::new(&broker));
    clients[0].declare_with("q", arguments).unwrap();
    for client in &mut clients {
        client.prefetch(1);
    }
    clients
}

#[test]
fn a_consumer_of_higher_priority_is_served_first() {
    let [mut low, mut high] = clients(&[]);
    low.consume_with("q", "low", false, false, &priority(-1)).unwrap();
    high.consume_with("q", "high", false, false, &priority(10))
        .unwrap();
    let _ = low.publish("q", &["1", "2", "3"]);
    assert_eq!(high.bodies(), ["1"]);
    assert_eq!(low.bodies(), ["2"], "the other has no credit");
    high.ack(1, Extent::One);
    assert_eq!(high.bodies(), ["3"]);
}

#[test]
fn consumers_of_one_priority_take_turns() {
    let [mut a, mut b, mut none] = clients(&[]);
    none.consume_with("q", "t", true, false, &priority(1)).unwrap();
    a.consume_with("q", "t", true, false, &priority(2)).unwrap();
    b.consume_with("q", "t", true, false, &priority(2)).unwrap();
    let _ = a.publish("q", &["1", "2", "3", "4"]);
    assert_eq!((a.bodies().len(), b.bodies().len()), (2, 2));
    assert_eq!(none.bodies(), [""; 0]);
}

#[test]
fn a_priority_is_an_integer() {
    let [mut client] = clients(&[]);
    let arguments = [("x-priority", Value::str("high"))].into_iter().collect();
    assert_eq!(
        refusal(client.consume_with("q", "t", false, false, &arguments)).1,
        "406 PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': \
         \"expected integer, got longstr\""
    );
}

#[test]
fn a_single_active_consumer_is_served_alone_until_it_goes() {
    let [mut first, mut second] = clients(&single("classic"));
    first.consume("q", "t", false).unwrap();
    second.consume("q", "t", false).unwrap();
    let _ = first.publish("q", &["1", "2"]);
    assert_eq!(first.bodies(), ["1"]);
    assert_eq!(second.bodies(), [""; 0], "though the first has no credit");
    first.session.cancel(ONE, "t", NOW).unwrap();
    assert_eq!(second.bodies(), ["2"], "what the first holds stays with it");
    first.session.close_channel(ONE, NOW);
    second.ack(1, Extent::One);
    assert_eq!(second.bodies(), ["1"]);
}

#[test]
fn what_an_active_consumer_held_comes_first_to_the_next() {
    let [mut first, mut second] = clients(&single("classic"));
    first.prefetch(2);
    first.consume("q", "t", false).unwrap();
    second.consume("q", "t", false).unwrap();
    let _ = first.publish("q", &["1", "2", "3"]);
    assert_eq!(first.bodies(), ["1", "2"]);
    drop(first);
    assert_eq!(second.bodies(), ["1"]);
}

#[test]
fn a_waiting_consumer_may_go_without_a_trace() {
    let [mut first, mut second] = clients(&single("classic"));
    first.consume("q", "t", false).unwrap();
    second.consume("q", "t", false).unwrap();
    drop(second);
    let _ = first.publish("q", &["1"]);
    assert_eq!(first.bodies(), ["1"]);
}

#[test]
fn the_next_active_consumer_is_the_one_of_highest_priority() {
    let [mut first, mut low, mut high] = clients(&single("classic"));
    first.consume("q", "t", false).unwrap();
    low.consume("q", "t", false).unwrap();
    high.consume_with("q", "t", false, false, &priority(5)).unwrap();
    let _ = low.publish("q", &["1"]);
    assert_eq!(
        first.bodies(),
        ["1"],
        "a classic queue's active consumer does not yield"
    );
    drop(first);
    assert_eq!(high.bodies(), ["1"]);
    assert_eq!(low.bodies(), [""; 0]);
}

#[test]
fn a_quorum_queues_active_consumer_yields_once_it_has_settled_what_it_holds() {
    let [mut low, mut high] = clients(&single("quorum"));
    low.prefetch(2);
    low.consume("q", "t", false).unwrap();
    let _ = low.publish("q", &["1", "2"]);
    assert_eq!(low.bodies(), ["1", "2"]);
    high.consume_with("q", "t", false, false, &priority(5)).unwrap();
    let _ = low.publish("q", &["3"]);
    low.ack(1, Extent::One);
    assert_eq!((low.bodies(), high.bodies()), (vec![], vec![]));
    low.ack(2, Extent::One);
    assert_eq!(high.bodies(), ["3"]);
    assert_eq!(low.bodies(), [""; 0]);
}

#[test]
fn a_queue_with_a_single_active_consumer_has_no_exclusive_one() {
    let [mut client] = clients(&single("classic"));
    assert_eq!(
        refusal(client.consume_as("q", "t", false, true)).1,
        "403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use"
    );
}

#[test]
fn nobody_gets_past_the_single_active_consumer_of_a_quorum_queue() {
    let [mut client] = clients(&single("quorum"));
    assert_eq!(
        refusal(client.session.get(ONE, "q", false, NOW, &mut |_, _| {})).1,
        "405 RESOURCE_LOCKED - cannot obtain access to locked queue 'q' in vhost '/'. basic.get operations are not \
         supported by quorum queues with single active consumer"
    );
}
