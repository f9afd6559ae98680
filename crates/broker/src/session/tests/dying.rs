//! Dead letters: what dies in one queue goes on to others.

use super::*;
use crate::properties::Properties;
use crate::table;

/// What a client sees of a message.
#[derive(Debug, PartialEq)]
pub(super) struct Found {
    pub body: String,
    exchange: String,
    key: String,
    expiration: Option<String>,
    pub headers: Arguments,
}

pub(super) fn find(client: &mut Client, queue: &str) -> Option<Found> {
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

pub(super) fn bodies(client: &mut Client, queue: &str) -> Vec<String> {
    std::iter::from_fn(|| find(client, queue))
        .map(|found| found.body)
        .collect()
}

/// The queue "dead" and the queue "q" with these arguments, whose dead letters go there.
pub(super) fn client(broker: &Arc<Broker<SimDisk>>, arguments: &[(&str, Value)]) -> Client {
    let mut client = Client::new(broker);
    client.declare("dead");
    declare_dying(&mut client, "q", arguments).unwrap();
    client
}

pub(super) fn declare_dying(
    client: &mut Client,
    name: &str,
    arguments: &[(&str, Value)],
) -> Answer<QueueDeclared> {
    let mut all = to("", Some("dead")).to_vec();
    all.extend_from_slice(arguments);
    client.declare_with(name, &all)
}

pub(super) fn to(exchange: &str, key: Option<&str>) -> Vec<(&'static str, Value)> {
    let mut arguments = vec![("x-dead-letter-exchange", Value::str(exchange))];
    arguments.extend(key.map(|key| ("x-dead-letter-routing-key", Value::str(key))));
    arguments
}

pub(super) fn reject(client: &mut Client, queue: &str) {
    client.poll();
    let tag = client.get(queue, false).unwrap().tag;
    client.nack(tag, Extent::One, GiveBack::Drop);
    client.poll();
}

/// The deaths that a message tells of: queue, reason, count.
pub(super) fn deaths(found: &Found) -> Vec<(String, String, i64)> {
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

pub(super) fn death(found: &Found, at: usize) -> &Arguments {
    match found.headers.get("x-death") {
        Some(Value::Array(deaths)) => match &deaths[at] {
            Value::Table(death) => death,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

pub(super) fn said(found: &Found, name: &str) -> String {
    let value = found.headers.get(name).unwrap();
    String::from_utf8(value.as_str_bytes().unwrap().to_vec()).unwrap()
}

pub(super) fn quorum() -> (&'static str, Value) {
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
