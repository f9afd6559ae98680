//! Publishing: routing, confirms, returns, refusals, back-pressure.

use super::*;
use logpond_store::disk::sim::Rng;

#[test]
fn a_publish_is_confirmed_only_after_it_was_synced() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.session.confirm_select(ONE, NOW).unwrap();
    sync(&broker);
    let _ = client.publish("q", &["a", "b", "c"]);
    let _ = client.session.poll(usize::MAX, &mut client.seen, NOW);
    assert_eq!(client.seen.confirms, []);
    client.poll();
    assert_eq!(client.seen.confirms, [(3, Extent::UpTo)]);
    let _ = client.publish("q", &["d"]);
    client.poll();
    assert_eq!(client.seen.confirms, [(3, Extent::UpTo), (4, Extent::One)]);
}

#[test]
fn whoever_waits_for_confirms_is_woken_once() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.session.confirm_select(ONE, NOW).unwrap();
    let _ = client.publish("q", &["a", "b", "c"]);
    let _ = client.session.poll(usize::MAX, &mut client.seen, NOW);
    let before = client.wakes.0.load(Ordering::Relaxed);
    sync(&broker);
    assert_eq!(client.wakes.0.load(Ordering::Relaxed), before + 1);
}

#[test]
fn an_unroutable_mandatory_message_is_returned_and_then_confirmed() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.session.confirm_select(ONE, NOW).unwrap();
    let _ = client.publish("nobody", &["lost"]);
    assert_eq!(client.returned, ["lost"]);
    assert_eq!(client.seen.confirms, []);
    client.poll();
    assert_eq!(client.seen.confirms, [(1, Extent::One)]);
}

#[test]
fn a_missing_exchange_closes_the_channel_and_what_follows_on_it_is_ignored() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.session.open_channel(TWO).unwrap();
    let publish = |channel, exchange: &'static str| {
        Command::Publish(Publish {
            channel,
            exchange: exchange.as_bytes(),
            routing_key: b"q",
            mandatory: false,
            immediate: false,
            properties: PLAIN,
            body: Body::Whole(b"x"),
        })
    };
    let _ = client.apply(&[publish(ONE, "none"), publish(ONE, ""), publish(TWO, "")]);
    assert_eq!(client.failed.len(), 1);
    let (channel, error) = client.failed.pop().unwrap();
    assert_eq!((channel, error.scope), (ONE, Scope::Channel));
    assert_eq!(error.text, "NOT_FOUND - no exchange 'none' in vhost '/'");
    client.reopen();
    assert_eq!(client.ready("q"), 1);
}

#[test]
fn a_fan_out_reaches_every_queue_once() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.exchange("news", "fanout", true).unwrap();
    for queue in ["a", "b", "c"] {
        client.declare(queue);
        client.bind("news", queue, "").unwrap();
        client.bind("news", queue, "again").unwrap();
    }
    let _ = client.publish_with("news", "any", PERSISTENT, &["1", "2"]);
    for queue in ["a", "b", "c"] {
        assert_eq!(client.get(queue, true).unwrap().body, "1");
        assert_eq!(client.get(queue, true).unwrap().body, "2");
        assert_eq!(client.get(queue, true), None);
    }
}

#[test]
fn a_route_is_forgotten_when_the_topology_changes() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("a");
    client.declare("b");
    client.bind("amq.direct", "a", "k").unwrap();
    let _ = client.publish_with("amq.direct", "k", PLAIN, &["1"]);
    client.bind("amq.direct", "b", "k").unwrap();
    let _ = client.publish_with("amq.direct", "k", PLAIN, &["2"]);
    client.delete("a").unwrap();
    let _ = client.publish_with("amq.direct", "k", PLAIN, &["3"]);
    assert_eq!(client.ready("b"), 2);
    assert!(client.failed.is_empty());
}

#[test]
fn headers_decide_message_by_message() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    let arguments: Arguments = [("kind", Value::str("a"))].into_iter().collect();
    let binding = Binding {
        source: "amq.headers",
        destination: "q",
        routing_key: b"",
        arguments: &arguments,
    };
    client.session.queue_bind(ONE, &binding, NOW).unwrap();
    let with = |value: u8| {
        let mut properties = vec![0x20, 0, 0, 0, 0, 11, 4];
        properties.extend(b"kindS\x00\x00\x00\x01");
        properties.push(value);
        properties
    };
    for value in *b"abaa" {
        let _ = client.publish_with("amq.headers", "", &with(value), &["x"]);
    }
    assert_eq!(client.ready("q"), 3);
    assert_eq!(client.returned, ["x"]);
}

#[test]
fn an_alternate_exchange_takes_what_goes_nowhere() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    client.exchange("rest", "fanout", true).unwrap();
    client.bind("rest", "q", "").unwrap();
    let arguments: Arguments = [("alternate-exchange", Value::str("rest"))].into_iter().collect();
    client.exchange_with("main", "direct", true, &arguments).unwrap();
    let _ = client.publish_with("main", "nowhere", PLAIN, &["x"]);
    assert_eq!(client.ready("q"), 1);
    assert!(client.returned.is_empty());
}

fn failure(client: &mut Client, properties: &[u8]) -> (Scope, String) {
    client.failed.clear();
    let _ = client.publish_with("amq.fanout", "", properties, &["x"]);
    let (_, error) = client.failed.pop().unwrap();
    (error.scope, format!("{} {}", error.code.number(), error.text))
}

#[test]
fn bad_properties_are_refused_in_rabbitmqs_words() {
    let broker = broker();
    let refused = |properties: &[u8]| failure(&mut Client::new(&broker), properties);
    assert_eq!(
        refused(b"\x00\x10\x07someone"),
        (
            Scope::Channel,
            "406 PRECONDITION_FAILED - user_id property set to 'someone' but authenticated user was 'guest'"
                .to_owned()
        )
    );
    assert_eq!(
        refused(b"\x01\x00\x03abc"),
        (
            Scope::Channel,
            "406 PRECONDITION_FAILED - invalid expiration 'abc': no_integer".to_owned()
        )
    );
    assert_eq!(refused(b"\x10").0, Scope::Connection);
}

#[test]
fn a_body_above_the_limit_is_refused() {
    let disk = SimDisk::new(1);
    let options = BrokerOptions {
        message_bytes_max: 10,
        ..BrokerOptions::default()
    };
    let (broker, _) = Broker::open(disk, options).unwrap();
    let mut client = Client::new(&broker);
    let _ = client.publish("nobody", &["12345678901"]);
    assert_eq!(
        client.failed[0].1.text,
        "PRECONDITION_FAILED - message size 11 is larger than configured max size 10"
    );
}

#[test]
fn a_publisher_waits_while_the_store_is_full_and_is_woken_when_it_is_not() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("q");
    sync(&broker);
    let body = "x".repeat(4000);
    let mut flow = Flow::Continue;
    for _ in 0..4000 {
        flow = client.publish("q", &[&body]);
        if flow == Flow::Wait {
            break;
        }
    }
    assert_eq!(flow, Flow::Wait);
    let polled = client.session.poll(usize::MAX, &mut client.seen, NOW);
    assert_eq!(polled.flow, Flow::Wait);
    let before = client.wakes.0.load(Ordering::Relaxed);
    sync(&broker);
    assert!(client.wakes.0.load(Ordering::Relaxed) > before);
    assert_eq!(
        client.session.poll(usize::MAX, &mut client.seen, NOW).flow,
        Flow::Continue
    );
}

#[test]
fn a_publisher_that_waits_for_room_is_woken_whatever_made_the_room() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let broker = open(&SimDisk::new(seed));
        let mut client = Client::new(&broker);
        client.exchange("all", "fanout", true).unwrap();
        for at in 0..10 {
            let queue = format!("q{at}");
            client.declare(&queue);
            client.bind("all", &queue, "").unwrap();
        }
        sync(&broker);
        let body = "x".repeat(100);
        let mut waits = 0;
        for _ in 0..300 {
            // As a connection's task does: publish, look, and when it is to wait, look again when it is woken and not before.
            let bodies = vec![&*body; usize::try_from(rng.below(400)).unwrap()];
            let _ = client.publish_with("all", "", PLAIN, &bodies);
            let mut seen = client.wakes.0.load(Ordering::Relaxed);
            while client.session.poll(usize::MAX, &mut client.seen, NOW).flow == Flow::Wait {
                waits += 1;
                while client.wakes.0.load(Ordering::Relaxed) == seen {
                    assert!(
                        broker.step(),
                        "seed {seed}: everything rests, and nobody woke the publisher"
                    );
                }
                seen = client.wakes.0.load(Ordering::Relaxed);
            }
            for _ in 0..rng.below(4) {
                let _ = broker.step();
            }
        }
        assert!(waits > 0, "seed {seed}");
    }
}

#[test]
fn whoever_only_consumes_goes_on_while_publishers_wait_for_room() {
    let broker = broker();
    let mut publisher = Client::new(&broker);
    publisher.declare("q");
    let mut consumer = Client::new(&broker);
    consumer.consume("q", "c", false).unwrap();
    sync(&broker);
    let body = "x".repeat(4000);
    while publisher.publish("q", &[&body]) == Flow::Continue {}
    let nothing_yet = Command::Ack {
        channel: ONE,
        tag: 0,
        extent: Extent::UpTo,
    };
    assert_eq!(consumer.apply(&[nothing_yet]), Flow::Continue);
    let polled = consumer.session.poll(usize::MAX, &mut consumer.seen, NOW);
    assert_eq!(polled.flow, Flow::Continue);
}
