//! Queues with limits, messages that expire, priorities.

use super::*;

/// Property flags and list for delivery mode 2 and this priority.
fn with_priority(priority: u8) -> [u8; 4] {
    [0x18, 0, 2, priority]
}

/// Property flags and list for delivery mode 2 and an expiration of two digits.
fn expiring(digits: &[u8; 2]) -> [u8; 6] {
    [0x11, 0, 2, 2, digits[0], digits[1]]
}

fn taken(client: &mut Client, queue: &str) -> Vec<String> {
    let mut bodies = Vec::new();
    while let Some(got) = client.get(queue, true) {
        bodies.push(got.body);
        client.poll();
    }
    bodies
}

#[test]
fn a_queue_with_a_length_keeps_the_newest() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[("x-max-length", Value::I32(2))])
        .unwrap();
    let bytes = [("x-max-length-bytes", Value::I64(3))];
    client.declare_with("bytes", &bytes).unwrap();
    let _ = client.publish("q", &["a", "b", "c"]);
    let _ = client.publish("bytes", &["aa", "bb", "c"]);
    client.poll();
    assert_eq!((client.ready("q"), client.ready("bytes")), (2, 2));
    assert_eq!(taken(&mut client, "q"), ["b", "c"]);
    assert_eq!(taken(&mut client, "bytes"), ["bb", "c"]);
}

/// Five messages at once for a queue with these arguments and a consumer of such a prefetch that waits: what it gets, and how many of them are confirmed.
fn burst_for_a_consumer(arguments: &[(&str, Value)], prefetch: u16) -> (Vec<String>, usize) {
    let broker = broker();
    let (mut publisher, mut consumer) = (Client::new(&broker), Client::new(&broker));
    publisher.declare_with("q", arguments).unwrap();
    publisher.session.confirm_select(ONE, NOW).unwrap();
    consumer.prefetch(prefetch);
    consumer.consume("q", "t", false).unwrap();
    consumer.poll();
    for body in ["a", "b", "c", "d", "e"] {
        let _ = publisher.publish("q", &[body]);
    }
    publisher.poll();
    (consumer.bodies(), 5 - publisher.seen.nacks.len())
}

#[test]
fn what_a_waiting_consumer_takes_is_not_counted_against_a_limit() {
    let refusing = ("x-overflow", Value::str("reject-publish"));
    let limits: [&[(&str, Value)]; 5] = [
        &[("x-max-length", Value::I32(0))],
        &[("x-max-length", Value::I32(2))],
        &[("x-max-length-bytes", Value::I32(2))],
        &[("x-max-length", Value::I32(2)), refusing.clone()],
        &[("x-max-length-bytes", Value::I32(2)), refusing],
    ];
    for limits in limits {
        let all: Vec<_> = ["a", "b", "c", "d", "e"].map(String::from).into();
        assert_eq!(burst_for_a_consumer(limits, 0), (all, 5), "{limits:?}");
    }
}

#[test]
fn what_exceeds_the_prefetch_of_a_waiting_consumer_is_counted() {
    let one = [("x-max-length", Value::I32(1))];
    assert_eq!(burst_for_a_consumer(&one, 3).0.len(), 3);
    let refusing = [one[0].clone(), ("x-overflow", Value::str("reject-publish"))];
    let (bodies, _) = burst_for_a_consumer(&refusing, 3);
    assert_eq!(bodies, ["a", "b", "c"]);
    let bytes = [("x-max-length-bytes", Value::I32(1))];
    assert_eq!(burst_for_a_consumer(&bytes, 3).0.len(), 3);
}

#[test]
fn a_queue_of_length_nothing_refuses_even_what_a_consumer_waits_for() {
    let refusing = [
        ("x-max-length", Value::I32(0)),
        ("x-overflow", Value::str("reject-publish")),
    ];
    assert_eq!(burst_for_a_consumer(&refusing, 0).0, [""; 0]);
}

#[test]
fn what_a_full_queue_refuses_is_nacked_and_others_have_it() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let refusing = [
        ("x-max-length", Value::I32(1)),
        ("x-overflow", Value::str("reject-publish")),
    ];
    client.declare_with("full", &refusing).unwrap();
    client.declare("free");
    client.bind("amq.fanout", "full", "").unwrap();
    client.bind("amq.fanout", "free", "").unwrap();
    client.session.confirm_select(ONE, NOW).unwrap();
    let _ = client.publish("full", &["a", "b"]);
    let _ = client.publish_with("amq.fanout", "", PERSISTENT, &["c"]);
    let _ = client.publish("free", &["d"]);
    client.poll();
    assert_eq!(client.seen.confirms, [(1, Extent::One), (4, Extent::One)]);
    assert_eq!(client.seen.nacks, [(3, Extent::UpTo)]);
    assert!(client.returned.is_empty(), "it was routed");
    assert_eq!(taken(&mut client, "full"), ["a"]);
    assert_eq!(taken(&mut client, "free"), ["c", "d"]);
    let _ = client.publish("full", &["e"]);
    client.poll();
    assert_eq!(client.seen.confirms.last(), Some(&(5, Extent::One)));
}

#[test]
fn messages_expire_after_the_time_of_their_queue_or_their_own() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    let ttl = [("x-message-ttl", Value::I32(50))];
    client.declare_with("q", &ttl).unwrap();
    let _ = client.publish_with("", "q", &expiring(b"20"), &["brief"]);
    let _ = client.publish("q", &["longer"]);
    let _ = client.publish_with("", "q", &expiring(b"99"), &["not for long"]);
    client.poll();
    assert_eq!(client.ready("q"), 3);
    disk.advance(20);
    client.poll();
    assert_eq!(client.ready("q"), 2);
    disk.advance(30);
    client.poll();
    assert_eq!(client.ready("q"), 0);
}

#[test]
fn a_message_whose_time_is_zero_reaches_a_consumer_that_waits() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[("x-message-ttl", Value::I32(0))])
        .unwrap();
    client.prefetch(2);
    client.consume("q", "t", false).unwrap();
    sync(&broker);
    let _ = client.publish("q", &["a", "b", "c"]);
    assert_eq!(client.bodies(), ["a", "b"]);
    client.ack(2, Extent::UpTo);
    assert_eq!(client.bodies(), [""; 0], "nobody could take it at once");
    let _ = client.publish_with("", "q", &[0x11, 0, 2, 1, b'0'], &["d"]);
    let _ = client.publish_with("", "q", &[0x01, 0, 1, b'0'], &["transient"]);
    assert_eq!(client.bodies(), ["d", "transient"]);
}

#[test]
fn a_message_whose_time_is_zero_is_a_dead_letter_when_nobody_waits() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("dead");
    let arguments = [
        ("x-dead-letter-exchange", Value::str("")),
        ("x-dead-letter-routing-key", Value::str("dead")),
    ];
    client.declare_with("q", &arguments).unwrap();
    let _ = client.publish_with("", "q", &[0x11, 0, 2, 1, b'0'], &["a"]);
    client.poll();
    assert_eq!((client.ready("q"), client.ready("dead")), (0, 1));
}

#[test]
fn a_message_of_higher_priority_is_delivered_first() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let levels = [("x-max-priority", Value::U8(5))];
    client.declare_with("q", &levels).unwrap();
    for (priority, body) in [(0, "a"), (5, "b"), (3, "c"), (200, "d")] {
        let _ = client.publish_with("", "q", &with_priority(priority), &[body]);
    }
    client.poll();
    assert_eq!(taken(&mut client, "q"), ["b", "d", "c", "a"]);
}

#[test]
fn limits_and_priorities_hold_after_a_restart() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    let arguments = [("x-max-length", Value::I32(2)), ("x-max-priority", Value::I32(5))];
    client.declare_with("q", &arguments).unwrap();
    let _ = client.publish_with("", "q", &with_priority(1), &["a"]);
    let _ = client.publish_with("", "q", &with_priority(2), &["b"]);
    client.poll();
    let survivor = disk.after_kill();
    drop((client, broker));
    let broker = open(&survivor);
    let mut client = Client::new(&broker);
    client.declare_with("q", &arguments).unwrap();
    client.poll();
    let _ = client.publish_with("", "q", &with_priority(3), &["c"]);
    client.poll();
    // The head is dropped, whatever its level.
    assert_eq!(taken(&mut client, "q"), ["c", "a"]);
}

#[test]
fn another_limit_than_the_queue_has_is_refused_in_rabbitmqs_words() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[("x-max-length", Value::I32(2))])
        .unwrap();
    let other = client.declare_with("q", &[("x-max-length", Value::I32(3))]);
    assert_eq!(
        refusal(other),
        (
            Scope::Channel,
            "406 PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': \
             received '3' but current is '2'"
                .to_owned()
        )
    );
}

#[test]
fn what_comes_back_to_a_full_quorum_queue_is_delivered_before_anything_is_dropped() {
    for (queue_type, expected) in [("quorum", &["1", "2", "3"][..]), ("classic", &["3"])] {
        let broker = broker();
        let mut client = Client::new(&broker);
        let arguments = [
            ("x-queue-type", Value::str(queue_type)),
            ("x-max-length", Value::I32(1)),
        ];
        client.declare_with("q", &arguments).unwrap();
        client.consume("q", "t", false).unwrap();
        let _ = client.publish("q", &["1", "2", "3"]);
        assert_eq!(client.bodies(), ["1", "2", "3"]);
        client.nack(0, Extent::UpTo, GiveBack::Requeue);
        assert_eq!(client.bodies(), expected, "{queue_type}");
    }
}

#[test]
fn what_comes_back_to_a_full_quorum_queue_and_has_no_taker_is_dropped() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let arguments = [
        ("x-queue-type", Value::str("quorum")),
        ("x-max-length", Value::I32(1)),
    ];
    client.declare_with("q", &arguments).unwrap();
    client.consume("q", "t", false).unwrap();
    let _ = client.publish("q", &["1", "2", "3"]);
    assert_eq!(client.bodies().len(), 3);
    client.session.close_channel(ONE, NOW);
    client.reopen();
    assert_eq!(taken(&mut client, "q"), ["3"]);
}

#[test]
fn a_fetch_does_not_count_what_has_expired_behind_it() {
    let disk = SimDisk::new(1);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare("q");
    let _ = client.publish("q", &["stays"]);
    let _ = client.publish_with("", "q", &expiring(b"50"), &["goes"]);
    client.poll();
    disk.advance(60);
    let mut left = None;
    let got = client
        .session
        .get(ONE, "q", true, disk.now(), &mut |_, remaining| {
            left = Some(remaining);
        });
    assert!(got.unwrap());
    assert_eq!(left, Some(0));
}
