//! Publishing: routing, confirms, returns, refusals, back-pressure.

use super::*;
use logpond_store::disk::sim::Rng;
use std::sync::Mutex;

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

/// Notes who is woken.
struct InOrder {
    woken: Arc<Mutex<Vec<usize>>>,
    name: usize,
}

impl Wake for InOrder {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap().push(self.name);
    }
}

#[test]
fn publishers_that_wait_for_room_are_let_in_by_turns() {
    const PUBLISHERS: usize = 12;
    let broker = broker();
    let woken = Arc::new(Mutex::new(Vec::new()));
    let mut clients: Vec<Client> = (0..PUBLISHERS)
        .map(|name| {
            let woken = Arc::clone(&woken);
            Client::with_waker(&broker, Waker::from(Arc::new(InOrder { woken, name })))
        })
        .collect();
    clients[0].declare("q");
    sync(&broker);
    let body = "x".repeat(4000);
    let batch = vec![&*body; 4];
    let mut let_in = [0; PUBLISHERS];
    // As the task of a connection that always has more to publish does when it is woken.
    let mut go_on = |name: usize| {
        let client: &mut Client = &mut clients[name];
        while client.session.poll(usize::MAX, &mut client.seen, NOW).flow == Flow::Continue {
            let_in[name] += 1;
            let _ = client.publish_with("", "q", PERSISTENT, &batch);
        }
    };
    (0..PUBLISHERS).for_each(&mut go_on);
    for _ in 0..100 * PUBLISHERS {
        let _ = broker.step();
        let woken = std::mem::take(&mut *woken.lock().unwrap());
        woken.into_iter().for_each(&mut go_on);
    }
    let (least, most) = (let_in.iter().min().unwrap(), let_in.iter().max().unwrap());
    // Some may find room for two batches at each of their turns.
    assert!(*least > 5 && *most <= 3 * least, "{let_in:?}");
}

#[test]
fn no_publisher_waits_for_room_in_vain_whoever_goes_away_or_does_not_answer() {
    const PUBLISHERS: u64 = 14;
    /// These are never heard of again once they were told to wait.
    const SILENT: usize = 8;
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let broker = open(&SimDisk::new(seed));
        let mut clients: Vec<_> = (0..PUBLISHERS)
            .map(|_| (Client::new(&broker), Flow::Continue))
            .collect();
        clients[0].0.declare("q");
        sync(&broker);
        let body = "x".repeat(4000);
        let mut waits = 0;
        for _ in 0..1000 {
            let chosen = usize::try_from(rng.below(PUBLISHERS)).unwrap();
            let (client, flow) = &mut clients[chosen];
            match rng.below(20) {
                0 if chosen >= SILENT => clients[chosen] = (Client::new(&broker), Flow::Continue),
                1..8 if *flow == Flow::Continue => {
                    let bodies = vec![&*body; usize::try_from(rng.below(8)).unwrap()];
                    let _ = client.publish_with("", "q", PERSISTENT, &bodies);
                    *flow = client.session.poll(usize::MAX, &mut client.seen, NOW).flow;
                    waits += usize::from(*flow == Flow::Wait);
                }
                8..14 if chosen >= SILENT => *flow = look(client, *flow),
                14.. => drop(broker.step()),
                _ => {}
            }
        }
        assert!(waits > 0, "seed {seed}");
        loop {
            let did_something = broker.step();
            let answering = &mut clients[SILENT..];
            answering
                .iter_mut()
                .for_each(|(client, flow)| *flow = look(client, *flow));
            if !did_something {
                break;
            }
        }
        let waiting = clients[SILENT..].iter().position(|(_, flow)| *flow == Flow::Wait);
        assert_eq!(
            waiting, None,
            "seed {seed}: everything rests, and nobody woke the publisher"
        );
    }
}

/// What a connection's task does that was told so, and looks again when it is woken and not before.
fn look(client: &mut Client, flow: Flow) -> Flow {
    if client.wakes.0.swap(0, Ordering::Relaxed) == 0 {
        return flow;
    }
    client.session.poll(usize::MAX, &mut client.seen, NOW).flow
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
