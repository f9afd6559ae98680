//! Consuming: order, credit, turns, cancellation, exclusivity.

use super::*;

#[test]
fn messages_are_delivered_in_order_with_ascending_tags() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    let _ = client.publish("q", &["1", "2"]);
    client.consume("q", "t", false).unwrap();
    let _ = client.publish("q", &["3"]);
    client.poll();
    let seen: Vec<_> = client
        .seen
        .deliveries
        .iter()
        .map(|got| (got.body.as_str(), got.tag, got.redelivered))
        .collect();
    assert_eq!(seen, [("1", 1, false), ("2", 2, false), ("3", 3, false)]);
    assert!(client.seen.deliveries.iter().all(|got| got.consumer == "t"));
}

#[test]
fn nothing_is_delivered_before_it_is_durable() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.consume("q", "t", false).unwrap();
    sync(&broker);
    let _ = client.publish("q", &["1"]);
    let _ = client.session.poll(usize::MAX, &mut client.seen, NOW);
    assert_eq!(client.seen.deliveries, []);
    assert_eq!(client.bodies(), ["1"]);
}

#[test]
fn a_consumer_is_woken_once_for_a_block() {
    let broker = broker();
    let (mut publisher, mut consumer) = (Client::new(&broker), Client::new(&broker));
    publisher.declare("q");
    consumer.consume("q", "t", false).unwrap();
    consumer.poll();
    let before = consumer.wakes.0.load(Ordering::Relaxed);
    let _ = publisher.publish("q", &["1", "2", "3"]);
    sync(&broker);
    assert_eq!(consumer.wakes.0.load(Ordering::Relaxed), before + 1);
    assert_eq!(consumer.bodies(), ["1", "2", "3"]);
}

#[test]
fn prefetch_bounds_what_is_outstanding() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.prefetch(2);
    client.consume("q", "t", false).unwrap();
    let _ = client.publish("q", &["1", "2", "3", "4"]);
    assert_eq!(client.bodies(), ["1", "2"]);
    client.ack(1, Extent::One);
    assert_eq!(client.bodies(), ["3"]);
    client.ack(3, Extent::UpTo);
    assert_eq!(client.bodies(), ["4"]);
}

#[test]
fn prefetch_applies_to_later_consumers_only() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.consume("q", "t", false).unwrap();
    client.prefetch(1);
    let _ = client.publish("q", &["1", "2"]);
    assert_eq!(client.bodies(), ["1", "2"]);
}

#[test]
fn consumers_take_turns_message_by_message() {
    let broker = broker();
    let (mut a, mut b) = (Client::new(&broker), Client::new(&broker));
    a.declare("q");
    a.consume("q", "a", false).unwrap();
    b.consume("q", "b", false).unwrap();
    let _ = a.publish("q", &["1", "2", "3", "4", "5", "6"]);
    assert_eq!(a.bodies(), ["1", "3", "5"]);
    assert_eq!(b.bodies(), ["2", "4", "6"]);
}

#[test]
fn a_consumer_without_credit_is_passed_over() {
    let broker = broker();
    let (mut a, mut b) = (Client::new(&broker), Client::new(&broker));
    a.declare("q");
    a.prefetch(1);
    a.consume("q", "a", false).unwrap();
    b.consume("q", "b", true).unwrap();
    let _ = a.publish("q", &["1", "2", "3", "4"]);
    assert_eq!(a.bodies(), ["1"]);
    assert_eq!(b.bodies(), ["2", "3", "4"]);
}

#[test]
fn messages_without_acknowledgement_are_gone_when_they_were_sent() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    let _ = client.publish("q", &["1", "2"]);
    client.consume("q", "t", true).unwrap();
    assert_eq!(client.bodies(), ["1", "2"]);
    let mut other = Client::new(&broker);
    drop(client);
    sync(&broker);
    assert_eq!(other.ready("q"), 0);
}

#[test]
fn a_long_backlog_passes_through_a_small_socket_in_order() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    let bodies: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
    for chunk in bodies.chunks(500) {
        let _ = client.publish("q", &chunk.iter().map(String::as_str).collect::<Vec<_>>());
        sync(&broker);
    }
    client.consume("q", "t", true).unwrap();
    let mut idle = 0;
    while idle < 3 {
        let before = client.seen.deliveries.len();
        let _ = client.session.poll(100, &mut client.seen, NOW);
        assert!(client.seen.deliveries.len() <= before + 100);
        sync(&broker);
        idle = if client.seen.deliveries.len() == before {
            idle + 1
        } else {
            0
        };
    }
    let got: Vec<_> = client
        .seen
        .deliveries
        .iter()
        .map(|got| got.body.clone())
        .collect();
    assert_eq!(got, bodies);
}

#[test]
fn a_busy_queue_does_not_starve_another_of_the_same_session() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("busy");
    client.declare("calm");
    let bodies = vec!["b"; 500];
    for _ in 0..30 {
        let _ = client.publish("busy", &bodies);
        sync(&broker);
    }
    client.consume("busy", "busy", true).unwrap();
    client.consume("calm", "calm", true).unwrap();
    let _ = client.publish("calm", &["c"]);
    sync(&broker);
    for _ in 0..10_000 {
        let _ = client.session.poll(1, &mut client.seen, NOW);
        if client.seen.deliveries.iter().any(|got| got.consumer == "calm") {
            return;
        }
    }
    panic!("the calm queue starves");
}

/// A client with many consumers on the long backlog of the queue "busy", and one on "calm", which has one message.
fn client_with_a_backlog(broker: &Arc<Broker<SimDisk>>) -> Client {
    let mut client = Client::new(broker);
    client.declare("busy");
    client.declare("calm");
    let bodies = vec!["b"; 500];
    for _ in 0..40 {
        let _ = client.publish("busy", &bodies);
        sync(broker);
    }
    for number in 0..10 {
        client.consume("busy", &format!("busy {number}"), true).unwrap();
    }
    sync(broker);
    client.consume("calm", "calm", true).unwrap();
    let _ = client.publish("calm", &["c"]);
    sync(broker);
    client
}

/// How many queues wait for room in the client's outbox.
fn stalled(client: &Client) -> usize {
    let mut guard = client.broker.store.lock();
    let session = guard.parts().1.sessions.get_mut(client.session.core.key);
    session.unwrap().stalled.len()
}

#[test]
fn many_consumers_of_a_busy_queue_do_not_starve_another_queue() {
    let broker = broker();
    let mut client = client_with_a_backlog(&broker);
    let is_calm = |got: &Got| got.consumer == "calm";
    while !client.seen.deliveries.iter().any(is_calm) {
        let _ = client.session.poll(1000, &mut client.seen, NOW);
        sync(&broker);
        assert!(client.seen.deliveries.len() <= 3 * crate::limits::OUTBOX_MESSAGES_MAX);
        assert!(stalled(&client) <= 2);
    }
}

#[test]
fn a_queue_without_consumers_waits_for_no_room() {
    let broker = broker();
    let mut client = client_with_a_backlog(&broker);
    assert_eq!(stalled(&client), 2);
    for number in 0..9 {
        client
            .session
            .cancel(ONE, &format!("busy {number}"), NOW)
            .unwrap();
        assert_eq!(stalled(&client), 2);
    }
    client.session.cancel(ONE, "busy 9", NOW).unwrap();
    assert_eq!(stalled(&client), 1);
    client.delete("calm").unwrap();
    assert_eq!(stalled(&client), 0);
}

#[test]
fn cancelling_gives_back_what_was_not_sent() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    let _ = client.publish("q", &["1", "2", "3"]);
    client.consume("q", "t", false).unwrap();
    sync(&broker);
    let _ = client.session.poll(1, &mut client.seen, NOW);
    assert_eq!(client.seen.deliveries.len(), 1);
    client.session.cancel(ONE, "t", NOW).unwrap();
    client.poll();
    assert_eq!(client.seen.deliveries.len(), 1);
    assert_eq!(client.ready("q"), 2);
    client.ack(1, Extent::One);
    assert!(client.failed.is_empty());
    assert_eq!(client.get("q", true).unwrap().body, "2");
}

#[test]
fn deleting_a_queue_cancels_its_consumers() {
    let broker = broker();
    let (mut client, mut other) = (Client::new(&broker), Client::new(&broker));
    client.declare("q");
    client.consume("q", "t", false).unwrap();
    let _ = client.publish("q", &["1"]);
    sync(&broker);
    assert_eq!(other.delete("q"), Ok(1 - 1));
    client.poll();
    assert_eq!(client.seen.cancelled, ["t"]);
    client.declare("q");
    client.consume("q", "t", false).unwrap();
    let _ = client.publish("q", &["2"]);
    assert_eq!(client.bodies().last().unwrap(), "2");
}

fn consumers(client: &mut Client, queue: &str) -> u32 {
    client.declare_passively(queue).unwrap().consumer_count
}

/// The client has a consumer `x` on a queue `old` that another connection has just deleted, and does not know of it.
fn client_of_a_deleted_queue() -> (Client, Client) {
    let broker = broker();
    let (mut client, mut other) = (Client::new(&broker), Client::new(&broker));
    client.declare("old");
    client.declare("new");
    client.consume("old", "x", false).unwrap();
    client.poll();
    other.delete("old").unwrap();
    (client, other)
}

#[test]
fn a_late_cancellation_does_not_touch_a_new_consumer_with_the_same_tag() {
    let (mut client, mut other) = client_of_a_deleted_queue();
    client.session.cancel(ONE, "x", NOW).unwrap();
    client.consume("new", "x", false).unwrap();
    let _ = client.publish("new", &["1"]);
    assert_eq!(client.bodies(), ["1"]);
    assert!(client.seen.cancelled.is_empty());
    client.session.close_channel(ONE, NOW);
    assert_eq!(consumers(&mut other, "new"), 0);
    other.consume("new", "y", false).unwrap();
    assert_eq!(other.bodies(), ["1"]);
}

#[test]
fn a_cancellation_from_before_a_channel_was_opened_again_does_not_touch_its_consumers() {
    let (mut client, mut other) = client_of_a_deleted_queue();
    client.session.close_channel(ONE, NOW);
    client.reopen();
    client.consume("new", "x", false).unwrap();
    client.poll();
    assert!(client.seen.cancelled.is_empty());
    client.session.cancel(ONE, "x", NOW).unwrap();
    assert_eq!(consumers(&mut other, "new"), 0);
}

#[test]
fn no_consumer_outlives_its_session() {
    let broker = broker();
    let (mut client, mut other) = (Client::new(&broker), Client::new(&broker));
    client.declare("q");
    client.consume("q", "x", false).unwrap();
    let _ = client.publish("q", &["1"]);
    sync(&broker);
    // As if the channel had lost sight of it.
    client.session.core.channel(ONE).unwrap().consumers.clear();
    drop(client);
    assert_eq!(consumers(&mut other, "q"), 0);
    assert_eq!(other.get("q", true).unwrap().body, "1");
}

#[test]
fn a_reused_consumer_tag_closes_the_connection() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.consume("q", "dup", false).unwrap();
    assert_eq!(
        refusal(client.consume("q", "dup", false)),
        (
            Scope::Connection,
            "530 NOT_ALLOWED - attempt to reuse consumer tag 'dup'".to_owned()
        )
    );
}

#[test]
fn an_exclusive_consumer_stands_alone() {
    let broker = broker();
    let (mut client, mut other) = (Client::new(&broker), Client::new(&broker));
    client.declare("q");
    client.consume_as("q", "t", false, true).unwrap();
    let text = "403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use".to_owned();
    assert_eq!(
        refusal(other.consume("q", "u", false)),
        (Scope::Channel, text.clone())
    );
    client.session.cancel(ONE, "t", NOW).unwrap();
    other.reopen();
    other.consume("q", "u", false).unwrap();
    assert_eq!(
        refusal(client.consume_as("q", "t", false, true)),
        (Scope::Channel, text)
    );
}

#[test]
fn a_prefetch_size_is_not_implemented() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let qos = Qos {
        prefetch_size: 1,
        prefetch_count: 0,
        global: false,
    };
    assert_eq!(
        refusal(client.session.qos(ONE, qos, NOW)),
        (
            Scope::Connection,
            "540 NOT_IMPLEMENTED - prefetch_size!=0 (1)".to_owned()
        )
    );
}

#[test]
fn get_sees_what_was_published_just_before_and_counts_the_rest() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    let _ = client.publish("q", &["1", "2", "3"]);
    let mut remaining = None;
    let found = client
        .session
        .get(ONE, "q", true, NOW, &mut |_, rest| remaining = Some(rest));
    assert_eq!((found, remaining), (Ok(true), Some(2)));
    assert_eq!(client.get("q", false).unwrap().body, "2");
    assert_eq!(client.ready("q"), 1);
    assert_eq!(client.get("q", true).unwrap().body, "3");
    assert_eq!(client.get("q", true), None);
}

#[test]
fn an_exclusive_consumer_of_a_quorum_queue_does_not_stand_alone() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let quorum = [("x-queue-type", Value::str("quorum"))];
    client.declare_with("q", &quorum).unwrap();
    client.consume_as("q", "a", false, true).unwrap();
    client.consume_as("q", "b", false, true).unwrap();
}

#[test]
fn a_consumer_of_a_quorum_queue_without_a_prefetch_holds_two_thousand() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let quorum = [("x-queue-type", Value::str("quorum"))];
    client.declare_with("q", &quorum).unwrap();
    let _ = client.publish("q", &vec!["m"; 2100]);
    client.consume("q", "t", false).unwrap();
    assert_eq!(client.bodies().len(), 2000);
    client.ack(50, Extent::UpTo);
    assert_eq!(client.bodies().len(), 50);
}

/// Who got something, in turn.
fn takers(client: &mut Client) -> Vec<String> {
    client.poll();
    let deliveries = client.seen.deliveries.drain(..);
    deliveries.map(|got| got.consumer).collect()
}

#[test]
fn a_new_consumer_is_served_behind_all_others() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.consume("q", "a", false).unwrap();
    client.consume("q", "b", false).unwrap();
    let _ = client.publish("q", &["1"]);
    assert_eq!(takers(&mut client), ["a"]);
    client.consume("q", "c", false).unwrap();
    let _ = client.publish("q", &["2", "3", "4"]);
    assert_eq!(takers(&mut client), ["b", "a", "c"]);
}

#[test]
fn the_turn_does_not_move_while_there_is_nothing_to_give() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.prefetch(1);
    for tag in ["a", "b", "c"] {
        client.consume("q", tag, false).unwrap();
    }
    let _ = client.publish("q", &["1", "2", "3"]);
    assert_eq!(takers(&mut client), ["a", "b", "c"]);
    for tag in [3, 1, 2] {
        client.ack(tag, Extent::One);
    }
    let _ = client.publish("q", &["4", "5", "6"]);
    assert_eq!(takers(&mut client), ["a", "b", "c"]);
}
