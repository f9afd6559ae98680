//! Dead letters: what dies in one queue goes on to others.

use super::*;
use crate::properties::Properties;
use crate::table;

/// What a client sees of a message.
#[derive(Debug, PartialEq)]
struct Found {
    body: String,
    exchange: String,
    key: String,
    expiration: Option<String>,
    headers: Arguments,
}

fn find(client: &mut Client, queue: &str) -> Option<Found> {
    client.poll();
    let mut found = None;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let _ = client.session.get(ONE, queue, true, NOW, &mut |delivery, _| {
        let properties = Properties::parse(delivery.properties).unwrap();
        found = Some(Found {
            body: text(delivery.body),
            exchange: text(delivery.exchange),
            key: text(delivery.routing_key),
            expiration: properties.expiration.map(text),
            headers: properties.headers.map(table::arguments).unwrap_or_default(),
        });
    });
    found
}

fn bodies(client: &mut Client, queue: &str) -> Vec<String> {
    std::iter::from_fn(|| find(client, queue))
        .map(|found| found.body)
        .collect()
}

/// The queue "dead" and the queue "q" with these arguments, whose dead letters go there.
fn client(broker: &Arc<Broker<SimDisk>>, arguments: &[(&str, Value)]) -> Client {
    let mut client = Client::new(broker);
    client.declare("dead");
    declare_dying(&mut client, "q", arguments).unwrap();
    client
}

fn declare_dying(client: &mut Client, name: &str, arguments: &[(&str, Value)]) -> Answer<QueueDeclared> {
    let mut all = to("", Some("dead")).to_vec();
    all.extend_from_slice(arguments);
    client.declare_with(name, &all)
}

fn to(exchange: &str, key: Option<&str>) -> Vec<(&'static str, Value)> {
    let mut arguments = vec![("x-dead-letter-exchange", Value::str(exchange))];
    arguments.extend(key.map(|key| ("x-dead-letter-routing-key", Value::str(key))));
    arguments
}

fn reject(client: &mut Client, queue: &str) {
    client.poll();
    let tag = client.get(queue, false).unwrap().tag;
    client.nack(tag, Extent::One, GiveBack::Drop);
    client.poll();
}

/// The deaths that a message tells of: queue, reason, count.
fn deaths(found: &Found) -> Vec<(String, String, i64)> {
    let Some(Value::Array(deaths)) = found.headers.get("x-death") else {
        return Vec::new();
    };
    let text =
        |value: Option<&Value>| String::from_utf8(value.unwrap().as_str_bytes().unwrap().to_vec()).unwrap();
    let deaths = deaths.iter().map(|death| {
        let Value::Table(death) = death else {
            panic!("{death:?}")
        };
        let count = death.get("count").unwrap().as_integer().unwrap();
        (text(death.get("queue")), text(death.get("reason")), count)
    });
    deaths.collect()
}

fn death(found: &Found, at: usize) -> &Arguments {
    match found.headers.get("x-death") {
        Some(Value::Array(deaths)) => match &deaths[at] {
            Value::Table(death) => death,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn said(found: &Found, name: &str) -> String {
    let value = found.headers.get(name).unwrap();
    String::from_utf8(value.as_str_bytes().unwrap().to_vec()).unwrap()
}

fn quorum() -> (&'static str, Value) {
    ("x-queue-type", Value::str("quorum"))
}

#[test]
fn what_a_client_rejects_goes_on_and_tells_where_it_died() {
    let broker = broker();
    let mut client = client(&broker, &[]);
    let _ = client.publish("q", &["a", "b"]);
    reject(&mut client, "q");
    let found = find(&mut client, "dead").unwrap();
    assert_eq!((&*found.body, &*found.exchange, &*found.key), ("a", "", "dead"));
    assert_eq!(deaths(&found), [("q".into(), "rejected".into(), 1)]);
    let first = death(&found, 0);
    assert_eq!(first.get("exchange"), Some(&Value::str("")));
    assert_eq!(
        first.get("routing-keys"),
        Some(&Value::Array(vec![Value::str("q")]))
    );
    assert!(matches!(first.get("time"), Some(Value::Timestamp(_))));
    for when in ["first", "last"] {
        assert_eq!(said(&found, &format!("x-{when}-death-queue")), "q");
        assert_eq!(said(&found, &format!("x-{when}-death-reason")), "rejected");
        assert_eq!(said(&found, &format!("x-{when}-death-exchange")), "");
    }
    assert_eq!((client.ready("q"), client.ready("dead")), (1, 0));
}

#[test]
fn what_expires_goes_on_without_its_expiration() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = client(&broker, &[("x-message-ttl", Value::I32(50))]);
    let _ = client.publish_with("", "q", &[0x11, 0, 2, 2, b'2', b'0'], &["brief"]);
    let _ = client.publish("q", &["longer"]);
    client.poll();
    disk.advance(20);
    let brief = find(&mut client, "dead").unwrap();
    assert_eq!((&*brief.body, brief.expiration.as_deref()), ("brief", None));
    assert_eq!(deaths(&brief), [("q".into(), "expired".into(), 1)]);
    assert_eq!(
        death(&brief, 0).get("original-expiration"),
        Some(&Value::str("20"))
    );
    disk.advance(30);
    let longer = find(&mut client, "dead").unwrap();
    assert_eq!(longer.body, "longer");
    assert_eq!(death(&longer, 0).get("original-expiration"), None);
}

#[test]
fn what_a_full_queue_drops_goes_on() {
    let broker = broker();
    let mut client = client(&broker, &[("x-max-length", Value::I32(1))]);
    let _ = client.publish("q", &["a", "b", "c"]);
    let found = find(&mut client, "dead").unwrap();
    assert_eq!(deaths(&found), [("q".into(), "maxlen".into(), 1)]);
    assert_eq!(found.body, "a");
    assert_eq!(bodies(&mut client, "dead"), ["b"]);
    assert_eq!(bodies(&mut client, "q"), ["c"]);
}

#[test]
fn without_a_key_of_the_queue_a_letter_keeps_its_own() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare("all");
    client.bind("amq.topic", "all", "a.*").unwrap();
    client.exchange("in", "fanout", true).unwrap();
    client.declare_with("q", &to("amq.topic", None)).unwrap();
    client.bind("in", "q", "").unwrap();
    let _ = client.publish_with("in", "a.b", PERSISTENT, &["x"]);
    reject(&mut client, "q");
    let found = find(&mut client, "all").unwrap();
    assert_eq!((&*found.exchange, &*found.key), ("amq.topic", "a.b"));
    assert_eq!(death(&found, 0).get("exchange"), Some(&Value::str("in")));
}

/// Properties with headers that are arrays of one string.
fn with_keys(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut table = Vec::new();
    for (name, key) in headers {
        table.push(u8::try_from(name.len()).unwrap());
        table.extend(name.as_bytes());
        table.push(b'A');
        table.extend(u32::try_from(5 + key.len()).unwrap().to_be_bytes());
        table.push(b'S');
        table.extend(u32::try_from(key.len()).unwrap().to_be_bytes());
        table.extend(key.as_bytes());
    }
    let len = u32::try_from(table.len()).unwrap().to_be_bytes();
    [&[0x30, 0], &len[..], &table, &[2]].concat()
}

#[test]
fn a_letter_is_routed_by_cc_and_bcc_again_and_tells_of_cc_only() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare_with("q", &to("amq.direct", None)).unwrap();
    for (queue, key) in [("one", "q"), ("copy", "cc"), ("hidden", "bcc")] {
        client.declare(queue);
        client.bind("amq.direct", queue, key).unwrap();
    }
    let properties = with_keys(&[("BCC", "bcc"), ("CC", "cc")]);
    let _ = client.publish_with("", "q", &properties, &["x"]);
    reject(&mut client, "q");
    for queue in ["one", "copy", "hidden"] {
        let found = find(&mut client, queue).unwrap();
        assert_eq!(found.key, "q");
        let keys = Value::Array(vec![Value::str("q"), Value::str("cc")]);
        assert_eq!(death(&found, 0).get("routing-keys"), Some(&keys));
        assert_eq!(
            (found.headers.get("CC").is_some(), found.headers.get("BCC")),
            (true, None)
        );
    }
}

#[test]
fn the_key_of_the_queue_takes_the_place_of_all_keys() {
    let broker = broker();
    let mut client = client(&broker, &[]);
    for queue in ["copy", "last"] {
        client.declare(queue);
    }
    let properties = with_keys(&[("CC", "copy"), ("BCC", "hidden")]);
    declare_dying(&mut client, "then", &[]).unwrap();
    client.declare_with("first", &to("", Some("then"))).unwrap();
    let _ = client.publish_with("", "first", &properties, &["x"]);
    assert_eq!(bodies(&mut client, "copy"), ["x"], "the publish itself");
    reject(&mut client, "first");
    assert_eq!(bodies(&mut client, "copy"), [""; 0]);
    reject(&mut client, "then");
    let found = find(&mut client, "dead").unwrap();
    assert_eq!(
        death(&found, 0).get("routing-keys"),
        Some(&Value::Array(vec![Value::str("then")]))
    );
    assert_eq!(
        death(&found, 1).get("routing-keys"),
        Some(&Value::Array(vec![Value::str("first"), Value::str("copy")]))
    );
}

#[test]
fn deaths_of_one_cause_in_one_queue_are_counted_the_newest_first() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare_with("a", &to("", Some("b"))).unwrap();
    client.declare_with("b", &to("", Some("a"))).unwrap();
    let _ = client.publish("a", &["x"]);
    for queue in ["a", "b", "a"] {
        reject(&mut client, queue);
    }
    let found = find(&mut client, "b").unwrap();
    assert_eq!(
        deaths(&found),
        [
            ("a".into(), "rejected".into(), 2),
            ("b".into(), "rejected".into(), 1)
        ]
    );
    assert_eq!(
        (
            said(&found, "x-first-death-queue"),
            said(&found, "x-last-death-queue")
        ),
        ("a".into(), "a".into())
    );
}

#[test]
fn what_goes_round_without_a_rejection_is_dropped() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    let brief = ("x-message-ttl", Value::I32(10));
    let with = |key| [to("", Some(key)), vec![brief.clone()]].concat();
    client.declare_with("a", &with("b")).unwrap();
    client.declare_with("b", &with("a")).unwrap();
    let _ = client.publish("a", &["x"]);
    client.poll();
    disk.advance(10);
    client.poll();
    assert_eq!((client.ready("a"), client.ready("b")), (0, 1));
    disk.advance(10);
    client.poll();
    assert_eq!((client.ready("a"), client.ready("b")), (0, 0));
}

#[test]
fn a_rejection_breaks_the_cycle() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare_with("work", &to("", Some("wait"))).unwrap();
    let wait = [to("", Some("work")), vec![("x-message-ttl", Value::I32(10))]].concat();
    client.declare_with("wait", &wait).unwrap();
    let _ = client.publish("work", &["x"]);
    for attempt in 1..=3 {
        reject(&mut client, "work");
        disk.advance(10);
        client.poll();
        assert_eq!(client.ready("work"), 1, "attempt {attempt}");
    }
    let found = find(&mut client, "work").unwrap();
    assert_eq!(
        deaths(&found),
        [
            ("wait".into(), "expired".into(), 3),
            ("work".into(), "rejected".into(), 3)
        ]
    );
}

#[test]
fn a_letter_without_its_exchange_or_a_route_is_gone() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare_with("lost", &to("nowhere", None)).unwrap();
    client.declare_with("unbound", &to("amq.direct", None)).unwrap();
    for queue in ["lost", "unbound"] {
        let _ = client.publish(queue, &["x"]);
        reject(&mut client, queue);
        assert_eq!(client.ready(queue), 0);
    }
    let counts = broker
        .store
        .lock()
        .shard()
        .counts(logpond_store::QueueId::new(1))
        .unwrap();
    assert_eq!((counts.ready, counts.leased), (0, 0));
    client.exchange("nowhere", "fanout", true).unwrap();
    client.declare("late");
    client.bind("nowhere", "late", "").unwrap();
    let _ = client.publish("lost", &["y"]);
    reject(&mut client, "lost");
    assert_eq!(bodies(&mut client, "late"), ["y"]);
}

#[test]
fn a_letter_goes_to_an_internal_exchange_too() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let arguments = &Arguments::new();
    let request = ExchangeDeclare {
        name: "inner",
        kind: "fanout",
        passive: false,
        durable: true,
        auto_delete: false,
        internal: true,
        arguments,
    };
    client.session.exchange_declare(ONE, &request, NOW).unwrap();
    client.declare("dead");
    client.bind("inner", "dead", "").unwrap();
    client.declare_with("q", &to("inner", None)).unwrap();
    let _ = client.publish("q", &["x"]);
    reject(&mut client, "q");
    assert_eq!(bodies(&mut client, "dead"), ["x"]);
}

#[test]
fn a_clients_own_history_is_not_continued() {
    let broker = broker();
    let mut client = client(&broker, &[]);
    let _ = client.publish("q", &["x"]);
    reject(&mut client, "q");
    let mut properties = Vec::new();
    client.poll();
    let got = client.session.get(ONE, "dead", true, NOW, &mut |delivery, _| {
        properties = delivery.properties.to_vec();
    });
    assert!(got.unwrap());
    let _ = client.publish_with("", "q", &properties, &["x"]);
    reject(&mut client, "q");
    assert_eq!(
        deaths(&find(&mut client, "dead").unwrap()),
        [("q".into(), "rejected".into(), 1)]
    );
}

#[test]
fn a_consumer_of_dead_letters_is_served_like_any_other() {
    let broker = broker();
    let mut client = client(&broker, &[("x-max-length", Value::I32(1))]);
    client.consume("dead", "t", false).unwrap();
    let _ = client.publish("q", &["a", "b"]);
    assert_eq!(client.bodies(), ["a"]);
}

#[test]
fn letters_and_their_history_survive_a_kill_and_nothing_is_there_twice() {
    let disk = SimDisk::new(3);
    let broker = open(&disk);
    let mut client = client(&broker, &[("x-max-length", Value::I32(2))]);
    let _ = client.publish("q", &["a", "b", "c", "d"]);
    client.poll();
    reject(&mut client, "q");
    let survivor = disk.after_kill();
    drop((client, broker));
    let broker = open(&survivor);
    let mut client = Client::new(&broker);
    let found = find(&mut client, "dead").unwrap();
    assert_eq!(
        (&*found.body, deaths(&found)),
        ("a", vec![("q".into(), "maxlen".into(), 1)])
    );
    assert_eq!(bodies(&mut client, "dead"), ["b", "c"]);
    assert_eq!(bodies(&mut client, "q"), ["d"]);
}

#[test]
fn whenever_the_power_goes_a_message_is_in_one_queue_and_not_in_both() {
    for step in 1..60 {
        let disk = SimDisk::new(step);
        let broker = open(&disk);
        let mut client = client(&broker, &[("x-max-length", Value::I32(1))]);
        client.session.confirm_select(ONE, NOW).unwrap();
        sync(&broker);
        disk.crash_at(step);
        let _ = client.publish("q", &["a", "b"]);
        client.poll();
        let confirmed = client.seen.confirms.last().map_or(0, |(tag, _)| *tag);
        let survivor = disk.after_crash(&mut logpond_store::disk::sim::Rng::new(step));
        drop((client, broker));
        let broker = open(&survivor);
        let mut client = Client::new(&broker);
        let mut all = bodies(&mut client, "q");
        all.extend(bodies(&mut client, "dead"));
        all.sort();
        let mut once = all.clone();
        once.dedup();
        assert_eq!(all, once, "step {step}");
        assert!(
            u64::try_from(all.len()).unwrap() >= confirmed,
            "step {step}: {all:?} of {confirmed}"
        );
    }
}

#[test]
fn a_full_queue_that_passes_on_nacks_and_has_the_letter_elsewhere() {
    let broker = broker();
    let full = [
        ("x-max-length", Value::I32(1)),
        ("x-overflow", Value::str("reject-publish-dlx")),
    ];
    let mut client = client(&broker, &full);
    client.session.confirm_select(ONE, NOW).unwrap();
    let _ = client.publish("q", &["a", "b"]);
    client.poll();
    assert_eq!(client.seen.confirms, [(1, Extent::One)]);
    assert_eq!(client.seen.nacks, [(2, Extent::One)]);
    let found = find(&mut client, "dead").unwrap();
    assert_eq!(
        (&*found.body, deaths(&found)),
        ("b", vec![("q".into(), "maxlen".into(), 1)])
    );
    assert_eq!(bodies(&mut client, "q"), ["a"]);
}

#[test]
fn a_transaction_passes_on_as_well() {
    let broker = broker();
    let full = [
        ("x-max-length", Value::I32(0)),
        ("x-overflow", Value::str("reject-publish-dlx")),
    ];
    let mut client = client(&broker, &full);
    client.session.tx_select(ONE, NOW).unwrap();
    let _ = client.publish("q", &["a"]);
    client.session.tx_commit(ONE, NOW, &mut |_| {}).unwrap();
    assert_eq!(bodies(&mut client, "dead"), ["a"]);
}

#[test]
fn full_queues_that_pass_on_to_each_other_come_to_an_end() {
    let broker = broker();
    let mut client = Client::new(&broker);
    let full = |key| {
        let full = [
            ("x-max-length", Value::I32(0)),
            ("x-overflow", Value::str("reject-publish-dlx")),
        ];
        [to("", Some(key)), full.to_vec()].concat()
    };
    client.declare_with("a", &full("b")).unwrap();
    client.declare_with("b", &full("a")).unwrap();
    let _ = client.publish("a", &["x"]);
    client.declare_with("c", &full("d")).unwrap();
    client.declare_with("d", &full("e")).unwrap();
    client.declare("e");
    let _ = client.publish("c", &["y"]);
    let found = find(&mut client, "e").unwrap();
    assert_eq!(
        deaths(&found),
        [("d".into(), "maxlen".into(), 1), ("c".into(), "maxlen".into(), 1)]
    );
    assert_eq!((client.ready("a"), client.ready("b")), (0, 0));
}

#[test]
fn a_quorum_queue_drops_its_head_where_a_classic_one_passes_on() {
    let broker = broker();
    let full = [
        quorum(),
        ("x-max-length", Value::I32(1)),
        ("x-overflow", Value::str("reject-publish-dlx")),
    ];
    let mut client = client(&broker, &full);
    client.session.confirm_select(ONE, NOW).unwrap();
    let _ = client.publish("q", &["a", "b"]);
    client.poll();
    assert_eq!(client.seen.nacks, []);
    assert_eq!(bodies(&mut client, "dead"), ["a"]);
}

#[test]
fn a_target_that_refuses_goes_without_the_letter() {
    let broker = broker();
    let mut client = client(&broker, &[]);
    let refusing = [
        ("x-max-length", Value::I32(0)),
        ("x-overflow", Value::str("reject-publish")),
    ];
    client.declare_with("full", &refusing).unwrap();
    client.declare_with("from", &to("amq.fanout", None)).unwrap();
    for queue in ["full", "dead"] {
        client.bind("amq.fanout", queue, "").unwrap();
    }
    let _ = client.publish("from", &["x"]);
    reject(&mut client, "from");
    assert_eq!(
        (bodies(&mut client, "dead"), client.ready("full")),
        (vec!["x".into()], 0)
    );
}

#[test]
fn a_transaction_that_rejects_has_dead_letters_when_it_is_committed() {
    let broker = broker();
    let mut client = client(&broker, &[]);
    let _ = client.publish("q", &["x"]);
    client.poll();
    client.session.tx_select(ONE, NOW).unwrap();
    let tag = client.get("q", false).unwrap().tag;
    client.nack(tag, Extent::One, GiveBack::Drop);
    assert_eq!(bodies(&mut client, "dead"), [""; 0]);
    client.session.tx_commit(ONE, NOW, &mut |_| {}).unwrap();
    assert_eq!(bodies(&mut client, "dead"), ["x"]);
}

#[test]
fn letters_of_a_deleted_queue_go_nowhere() {
    let broker = broker();
    let mut client = client(&broker, &[]);
    let _ = client.publish("q", &["x", "y"]);
    client.poll();
    let tag = client.get("q", false).unwrap().tag;
    client.nack(tag, Extent::One, GiveBack::Drop);
    client.delete("q").unwrap();
    assert_eq!(bodies(&mut client, "dead"), [""; 0]);
}

#[test]
fn more_letters_than_are_moved_at_once_all_arrive_in_order() {
    let broker = broker();
    let mut client = client(&broker, &[("x-max-length", Value::I32(0))]);
    let bodies_sent: Vec<_> = (0..300).map(|n| format!("{n:03}")).collect();
    for body in &bodies_sent {
        let _ = client.publish("q", &[body]);
    }
    assert_eq!(bodies(&mut client, "dead"), bodies_sent);
}

#[test]
fn whoever_moves_letters_is_woken_once_until_it_has_looked() {
    let broker = broker();
    let wakes = Arc::new(Wakes::default());
    broker.watch_dead_letters(Waker::from(Arc::clone(&wakes)));
    let mut client = client(&broker, &[("x-max-length", Value::I32(0))]);
    let store = |broker: &Broker<SimDisk>| while broker.store.step() {};
    let _ = client.publish("q", &["a"]);
    store(&broker);
    let _ = client.publish("q", &["b"]);
    store(&broker);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    while broker.move_dead_letters(NOW) {}
    let _ = client.publish("q", &["c"]);
    store(&broker);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
}

#[test]
fn a_message_that_fails_too_often_leaves_a_quorum_queue() {
    let broker = broker();
    let mut client = client(&broker, &[quorum(), ("x-delivery-limit", Value::I32(2))]);
    let _ = client.publish("q", &["x"]);
    for _ in 0..3 {
        client.poll();
        let tag = client.get("q", false).unwrap().tag;
        client.nack(tag, Extent::One, GiveBack::Fail);
    }
    let found = find(&mut client, "dead").unwrap();
    assert_eq!(deaths(&found), [("q".into(), "delivery_limit".into(), 1)]);
    assert_eq!(client.ready("q"), 0);
}

#[test]
fn only_failures_count_and_both_counts_are_told() {
    let broker = broker();
    let mut client = client(&broker, &[quorum(), ("x-delivery-limit", Value::I32(1))]);
    let _ = client.publish("q", &["x"]);
    for give_back in [GiveBack::Requeue, GiveBack::Fail, GiveBack::Requeue] {
        client.poll();
        let tag = client.get("q", false).unwrap().tag;
        client.nack(tag, Extent::One, give_back);
    }
    let found = find(&mut client, "q").unwrap();
    assert_eq!(found.headers.get("x-acquired-count"), Some(&Value::I64(3)));
    assert_eq!(found.headers.get("x-delivery-count"), Some(&Value::I64(1)));
}

#[test]
fn a_channel_that_ends_with_a_message_has_failed_and_the_limit_is_twenty() {
    let broker = broker();
    let mut client = client(&broker, &[quorum()]);
    client
        .declare_with("none", &[quorum(), ("x-delivery-limit", Value::I32(-1))])
        .unwrap();
    let _ = client.publish("q", &["x"]);
    let _ = client.publish("none", &["y"]);
    for _ in 0..=20 {
        client.poll();
        for queue in ["q", "none"] {
            assert!(client.get(queue, false).is_some());
        }
        client.session.close_channel(ONE, NOW);
        client.reopen();
    }
    assert_eq!(
        deaths(&find(&mut client, "dead").unwrap()),
        [("q".into(), "delivery_limit".into(), 1)]
    );
    let found = find(&mut client, "none").unwrap();
    assert_eq!(found.headers.get("x-delivery-count"), Some(&Value::I64(21)));
}

#[test]
fn at_the_limit_without_an_exchange_a_message_is_gone() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client
        .declare_with("q", &[quorum(), ("x-delivery-limit", Value::I32(0))])
        .unwrap();
    let _ = client.publish("q", &["a", "b", "c"]);
    client.poll();
    for _ in 0..3 {
        client.get("q", false).unwrap();
    }
    client.nack(2, Extent::One, GiveBack::Fail);
    client.nack(1, Extent::One, GiveBack::Requeue);
    client.ack(3, Extent::One);
    assert_eq!(bodies(&mut client, "q"), ["a"]);
}

#[test]
fn other_destinations_than_the_queue_has_are_refused_in_rabbitmqs_words() {
    let broker = broker();
    let mut client = client(&broker, &[]);
    assert_eq!(
        refusal(client.declare_with("q", &to("", Some("other")))),
        (
            Scope::Channel,
            "406 PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-routing-key' for queue 'q' in vhost '/': received \
             'other' but current is 'dead'"
                .to_owned()
        )
    );
    client.reopen();
    assert_eq!(
        refusal(client.declare_with("q", &[])).1,
        "406 PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'q' in vhost '/': received none but \
         current is the value '' of type 'longstr'"
    );
}

/// The arguments of a queue that tries letters again.
fn keeping(exchange: &str) -> Vec<(&'static str, Value)> {
    let strategy = [
        quorum(),
        ("x-overflow", Value::str("reject-publish")),
        ("x-dead-letter-strategy", Value::str("at-least-once")),
    ];
    [to(exchange, None), strategy.to_vec()].concat()
}

#[test]
fn with_at_least_once_a_letter_waits_for_its_exchange_and_route() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare_with("q", &keeping("later")).unwrap();
    client.declare("dead");
    let _ = client.publish_with("", "q", &[0x11, 0, 2, 2, b'2', b'0'], &["expired"]);
    let _ = client.publish("q", &["rejected"]);
    client.poll();
    disk.advance(20);
    reject(&mut client, "q");
    let tick = |client: &mut Client| {
        client.broker.tick(NOW);
        client.poll();
    };
    tick(&mut client);
    client.exchange("later", "fanout", true).unwrap();
    tick(&mut client);
    client.bind("later", "dead", "").unwrap();
    assert_eq!(client.ready("dead"), 0);
    tick(&mut client);
    for reason in ["expired", "rejected"] {
        let found = find(&mut client, "dead").unwrap();
        assert_eq!(found.body, reason);
        assert_eq!(deaths(&found), [("q".into(), reason.into(), 1)]);
    }
    tick(&mut client);
    assert_eq!((client.ready("dead"), client.ready("q")), (0, 0));
}

#[test]
fn with_at_least_once_a_letter_waits_for_all_its_targets_to_have_room() {
    let broker = broker();
    let mut client = Client::new(&broker);
    client.declare_with("q", &keeping("amq.fanout")).unwrap();
    let refusing = [
        ("x-max-length", Value::I32(1)),
        ("x-overflow", Value::str("reject-publish")),
    ];
    client.declare_with("full", &refusing).unwrap();
    client.declare("dead");
    for queue in ["full", "dead"] {
        client.bind("amq.fanout", queue, "").unwrap();
    }
    let _ = client.publish("full", &["first"]);
    let _ = client.publish("q", &["x"]);
    reject(&mut client, "q");
    assert_eq!((client.ready("full"), client.ready("dead")), (1, 0));
    assert_eq!(bodies(&mut client, "full"), ["first"]);
    broker.tick(NOW);
    assert_eq!(
        (bodies(&mut client, "full"), bodies(&mut client, "dead")),
        (vec!["x".into()], vec!["x".into()])
    );
}

#[test]
fn what_reached_nobody_is_back_after_a_restart_and_goes_with_its_queue() {
    let disk = SimDisk::new(7);
    let broker = open(&disk);
    let mut client = Client::new(&broker);
    client.declare_with("q", &keeping("nowhere")).unwrap();
    let _ = client.publish("q", &["x"]);
    reject(&mut client, "q");
    assert_eq!(client.ready("q"), 0);
    let survivor = disk.after_kill();
    drop((client, broker));
    let broker = open(&survivor);
    let mut client = Client::new(&broker);
    assert_eq!(client.ready("q"), 1);
    reject(&mut client, "q");
    client.delete("q").unwrap();
    broker.tick(NOW);
    client.poll();
}
