//! Tests of `spread`: each states one thing that it keeps.

use std::cell::Cell;
use std::collections::BTreeMap;

use rstest::rstest;

use super::*;
use crate::{ExchangeKind, ExchangeSpec, NoHeaders, QueueRef, Routes, Scratch};

fn exchange(kind: ExchangeKind, arguments: &[(&str, &str)]) -> Routes {
    let mut routes = Routes::new(1);
    let spec = ExchangeSpec {
        arguments: arguments
            .iter()
            .map(|(key, value)| (*key, Value::str(value)))
            .collect(),
        ..ExchangeSpec::durable(kind)
    };
    routes.declare_exchange(Name::from("x"), spec).unwrap();
    routes
}

fn binding(queue: u64, key: &str) -> Binding {
    Binding {
        source: Name::from("x"),
        destination: Destination::Queue(QueueRef::new(queue)),
        key: Name::from(key),
        arguments: Arguments::new(),
    }
}

fn routed(routes: &Routes, key: &str, source: &dyn MessageSource) -> Vec<u64> {
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    routes
        .route(b"x", &[key.as_bytes()], source, &mut scratch, &mut out)
        .unwrap();
    out.iter().map(|queue| queue.get()).collect()
}

fn spread(routes: &Routes) -> BTreeMap<String, u64> {
    (0..10_000)
        .map(|n| {
            let key = format!("key-{n}");
            let queues = routed(routes, &key, &NoHeaders);
            assert_eq!(queues.len(), 1, "each message goes to one queue");
            (key, queues[0])
        })
        .collect()
}

fn shares(spread: &BTreeMap<String, u64>) -> BTreeMap<u64, usize> {
    let mut shares = BTreeMap::new();
    for queue in spread.values() {
        *shares.entry(*queue).or_default() += 1;
    }
    shares
}

#[test]
fn binding_keys_are_the_shares_of_a_consistent_hash() {
    let mut routes = exchange(ExchangeKind::ConsistentHash, &[]);
    for (queue, weight) in [(1, "1"), (2, "2"), (3, "7")] {
        routes.bind(binding(queue, weight)).unwrap();
    }
    let shares = shares(&spread(&routes));
    for (queue, expected) in [(1, 1000_usize), (2, 2000), (3, 7000)] {
        assert!(shares[&queue].abs_diff(expected) < 200, "{shares:?}");
    }
}

#[test]
fn a_queue_that_comes_or_goes_moves_only_its_own_messages() {
    let mut routes = exchange(ExchangeKind::ConsistentHash, &[]);
    for queue in 1..=4 {
        routes.bind(binding(queue, "10")).unwrap();
    }
    let before = spread(&routes);
    routes.bind(binding(5, "10")).unwrap();
    let with_fifth = spread(&routes);
    assert!(
        before
            .iter()
            .all(|(key, queue)| with_fifth[key] == *queue || with_fifth[key] == 5)
    );
    routes.unbind(&binding(5, "10"));
    assert_eq!(spread(&routes), before);
}

#[test]
fn the_order_of_binding_does_not_matter() {
    let (mut one, mut other) = (
        exchange(ExchangeKind::ConsistentHash, &[]),
        exchange(ExchangeKind::ConsistentHash, &[]),
    );
    for queue in 1..=5 {
        one.bind(binding(queue, "3")).unwrap();
        other.bind(binding(6 - queue, "3")).unwrap();
    }
    assert_eq!(spread(&one), spread(&other));
}

/// What decides where messages go is never to change with a version.
#[test]
fn keys_go_where_they_always_went() {
    let mut routes = exchange(ExchangeKind::ConsistentHash, &[]);
    for queue in 1..=5 {
        routes.bind(binding(queue, "1")).unwrap();
    }
    let mut modulus = exchange(ExchangeKind::ModulusHash, &[]);
    for queue in 1..=5 {
        modulus.bind(binding(queue, "")).unwrap();
    }
    let keys = ["", "a", "orders", "42", "eu.new"];
    let went: Vec<_> = keys
        .iter()
        .flat_map(|key| routed(&routes, key, &NoHeaders))
        .collect();
    let went_modulo: Vec<_> = keys
        .iter()
        .flat_map(|key| routed(&modulus, key, &NoHeaders))
        .collect();
    assert_eq!((went, went_modulo), (vec![3, 1, 4, 4, 4], vec![4, 4, 4, 4, 1]));
}

#[rstest]
#[case("0", "The binding key must be greater than 0")]
#[case("-5", "The binding key must be greater than 0")]
#[case("10001", "The binding key must not exceed 10000")]
#[case("many", "The binding key must be an integer: <<\"many\">>")]
#[case("", "The binding key must be an integer: <<>>")]
fn a_weight_is_a_number_up_to_ten_thousand(#[case] key: &str, #[case] text: &str) {
    let mut routes = exchange(ExchangeKind::ConsistentHash, &[]);
    assert_eq!(routes.bind(binding(1, key)).unwrap_err().to_string(), text);
}

struct Message {
    header: Value,
    message_id: &'static str,
    drawn: Cell<u64>,
}

fn message(header: Value, message_id: &'static str) -> Message {
    Message {
        header,
        message_id,
        drawn: Cell::new(0),
    }
}

impl MessageSource for Message {
    fn headers(&self) -> Arguments {
        [("h", self.header.clone())].into_iter().collect()
    }

    fn property(&self, property: MessageProperty) -> Option<Vec<u8>> {
        (property == MessageProperty::MessageId).then(|| self.message_id.into())
    }

    fn draw(&self) -> u64 {
        self.drawn.set(self.drawn.get() + 1);
        self.drawn.get()
    }
}

#[test]
fn a_header_is_hashed_by_its_content() {
    let mut routes = exchange(ExchangeKind::ConsistentHash, &[("hash-header", "h")]);
    for queue in 1..=50 {
        routes.bind(binding(queue, "1")).unwrap();
    }
    let to = |header| routed(&routes, "any", &message(header, ""));
    assert_eq!(to(Value::I32(7)), to(Value::I64(7)));
    assert_eq!(
        to(Value::str("a")),
        routed(&routes, "other", &message(Value::str("a"), ""))
    );
    assert_ne!(to(Value::str("a")), to(Value::str("b")));
    assert_eq!(to(Value::Array(Vec::new())).len(), 1);
    assert_eq!(
        routed(&routes, "1", &NoHeaders),
        routed(&routes, "2", &NoHeaders),
        "without the header"
    );
}

#[test]
fn a_property_is_hashed() {
    let mut routes = exchange(ExchangeKind::ConsistentHash, &[("hash-property", "message_id")]);
    for queue in 1..=50 {
        routes.bind(binding(queue, "1")).unwrap();
    }
    let to = |id| routed(&routes, id, &message(Value::Void, id));
    assert_eq!(to("a"), routed(&routes, "b", &message(Value::Void, "a")));
    assert_ne!(to("a"), to("b"));
}

#[rstest]
#[case(&[("hash-property", "app_id")], "Unsupported property: app_id")]
#[case(&[("hash-property", "message_id"), ("hash-header", "h")], "hash-header and hash-property are mutually exclusive")]
fn arguments_that_contradict_themselves_are_refused(#[case] arguments: &[(&str, &str)], #[case] text: &str) {
    let spec = ExchangeSpec {
        arguments: arguments
            .iter()
            .map(|(key, value)| (*key, Value::str(value)))
            .collect(),
        ..ExchangeSpec::durable(ExchangeKind::ConsistentHash)
    };
    assert_eq!(spec.check().unwrap_err().to_string(), text);
}

#[test]
fn a_modulus_hash_spreads_evenly_and_keeps_a_key_with_its_queue() {
    let mut routes = exchange(ExchangeKind::ModulusHash, &[]);
    for queue in 1..=4 {
        routes.bind(binding(queue, "ignored")).unwrap();
    }
    let spread = spread(&routes);
    assert!(shares(&spread).values().all(|share| share.abs_diff(2500) < 200));
    routes.unbind(&binding(4, "ignored"));
    assert_eq!(shares(&self::spread(&routes)).len(), 3);
}

#[test]
fn a_random_exchange_takes_one_of_its_queues_each_time() {
    for kind in [ExchangeKind::Random, ExchangeKind::LocalRandom] {
        let mut routes = exchange(kind, &[]);
        let source = message(Value::Void, "");
        assert_eq!(routed(&routes, "k", &source), [0; 0]);
        for queue in 1..=3 {
            routes.bind(binding(queue, "")).unwrap();
        }
        let mut seen: Vec<_> = (0..3).flat_map(|_| routed(&routes, "k", &source)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 3]);
    }
}
