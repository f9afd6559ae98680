//! Tests of `router`: each states one thing that it keeps.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{Binding, ExchangeKind, ExchangeSpec, Value};

fn to_queue(source: &str, key: &str, queue: u64) -> Binding {
    let destination = Destination::Queue(QueueRef::new(queue));
    Binding {
        source: source.into(),
        destination,
        key: key.into(),
        arguments: Arguments::new(),
    }
}

fn to_exchange(source: &str, key: &str, exchange: &str) -> Binding {
    Binding {
        destination: Destination::Exchange(exchange.into()),
        ..to_queue(source, key, 0)
    }
}

fn routes(exchanges: &[(&str, ExchangeKind)], bindings: &[Binding]) -> Routes {
    let mut routes = Routes::new(1);
    for (name, kind) in exchanges {
        routes
            .declare_exchange((*name).into(), ExchangeSpec::durable(*kind))
            .unwrap();
    }
    for binding in bindings {
        routes.bind(binding.clone()).unwrap();
    }
    routes
}

fn found_for(routes: &Routes, exchange: &str, keys: &[&str]) -> Vec<u64> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    let (mut scratch, mut out) = (Scratch::default(), vec![QueueRef::new(999)]);
    let routed = routes
        .route(exchange.as_bytes(), &keys, &NoHeaders, &mut scratch, &mut out)
        .unwrap();
    assert_eq!(routed == Routed::Nowhere, out.is_empty());
    let mut found: Vec<u64> = out.into_iter().map(QueueRef::get).collect();
    found.sort_unstable();
    found
}

fn found(routes: &Routes, exchange: &str, key: &str) -> Vec<u64> {
    found_for(routes, exchange, &[key])
}

#[test]
fn the_default_exchange_routes_by_queue_name() {
    let mut routes = Routes::new(1);
    routes.add_queue("orders".into(), QueueRef::new(1));
    assert_eq!(found(&routes, "", "orders"), [1]);
    assert_eq!(found(&routes, "", "order"), []);
    assert_eq!(found_for(&routes, "", &["orders", "nothing", "orders"]), [1]);
}

#[test]
fn an_exchange_that_does_not_exist_is_an_error() {
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let routed = Routes::new(1).route(b"nowhere", &[b"k"], &NoHeaders, &mut scratch, &mut out);
    assert_eq!(routed, Err(NoExchange));
}

#[test]
fn the_default_exchange_takes_nothing_as_an_alternate() {
    let mut routes = routes(&[("orders", ExchangeKind::Direct)], &[]);
    routes.add_queue("k".into(), QueueRef::new(1));
    routes.set_alternate(b"orders", Some("".into()));
    assert_eq!(found(&routes, "orders", "k"), []);
}

#[test]
fn a_direct_exchange_compares_keys_and_a_fanout_does_not() {
    let bindings = [
        to_queue("amq.direct", "k", 1),
        to_queue("amq.direct", "l", 2),
        to_queue("amq.fanout", "m", 3),
    ];
    let routes = routes(&[], &bindings);
    assert_eq!(found(&routes, "amq.direct", "k"), [1]);
    assert_eq!(found(&routes, "amq.direct", "x"), []);
    assert_eq!(found(&routes, "amq.fanout", "x"), [3]);
}

#[test]
fn a_queue_gets_a_message_once_however_many_ways_lead_to_it() {
    let mut with_argument = to_queue("amq.topic", "#", 1);
    with_argument.arguments.insert("a", Value::Bool(true));
    let bindings = [
        to_queue("amq.topic", "#", 1),
        with_argument,
        to_queue("amq.topic", "a.*", 1),
        to_queue("amq.topic", "a.b", 1),
        to_exchange("amq.topic", "a.#", "amq.fanout"),
        to_queue("amq.fanout", "", 1),
    ];
    assert_eq!(
        found_for(&routes(&[], &bindings), "amq.topic", &["a.b", "a.c"]),
        [1]
    );
}

#[test]
fn a_cycle_of_exchanges_ends() {
    let kinds = [
        ("a", ExchangeKind::Fanout),
        ("b", ExchangeKind::Fanout),
        ("c", ExchangeKind::Fanout),
    ];
    let bindings = [
        to_exchange("a", "", "b"),
        to_exchange("b", "", "c"),
        to_exchange("c", "", "a"),
        to_exchange("a", "", "a"),
        to_queue("a", "", 1),
        to_queue("c", "", 2),
    ];
    let routes = routes(&kinds, &bindings);
    assert!(
        ["a", "b", "c"]
            .iter()
            .all(|start| found(&routes, start, "") == [1, 2])
    );
}

#[test]
fn a_long_chain_of_exchanges_costs_no_stack() {
    let names: Vec<String> = (0..20_000).map(|n| format!("x{n}")).collect();
    let kinds: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), ExchangeKind::Fanout))
        .collect();
    let mut bindings: Vec<_> = names
        .windows(2)
        .map(|pair| to_exchange(&pair[0], "", &pair[1]))
        .collect();
    bindings.push(to_queue(names.last().unwrap(), "", 1));
    assert_eq!(found(&routes(&kinds, &bindings), "x0", ""), [1]);
}

#[test]
fn what_matches_nothing_goes_to_the_alternate_of_that_exchange() {
    let kinds = [("first", ExchangeKind::Direct), ("second", ExchangeKind::Direct)];
    let bindings = [
        to_exchange("first", "on", "second"),
        to_queue("second", "never", 1),
        to_queue("amq.fanout", "", 2),
        to_queue("amq.topic", "#", 3),
    ];
    let mut routes = routes(&kinds, &bindings);
    routes.set_alternate(b"first", Some("amq.topic".into()));
    routes.set_alternate(b"second", Some("amq.fanout".into()));
    assert_eq!(found(&routes, "first", "off"), [3]);
    // The first matched a binding, so only the second's alternate is asked.
    assert_eq!(found(&routes, "first", "on"), [2]);
}

#[test]
fn an_alternate_that_is_missing_or_leads_back_loses_the_message_and_ends() {
    let mut routes = routes(&[("a", ExchangeKind::Direct), ("b", ExchangeKind::Direct)], &[]);
    routes.set_alternate(b"a", Some("gone".into()));
    assert_eq!(found(&routes, "a", "k"), []);
    routes.set_alternate(b"a", Some("b".into()));
    routes.set_alternate(b"b", Some("a".into()));
    assert_eq!(found(&routes, "a", "k"), []);
}

#[test]
fn headers_are_parsed_once_and_only_for_a_headers_exchange_with_bindings() {
    let parsed = Cell::new(0);
    let source = || {
        parsed.set(parsed.get() + 1);
        Arguments::from_iter([("colour", Value::str("red"))])
    };
    let red = |source, queue| {
        let arguments = Arguments::from_iter([("colour", Value::str("red"))]);
        Binding {
            arguments,
            ..to_queue(source, "", queue)
        }
    };
    let bindings = [
        to_queue("amq.direct", "k", 1),
        to_exchange("amq.fanout", "", "amq.headers"),
        to_exchange("amq.fanout", "", "amq.match"),
        red("amq.headers", 2),
        red("amq.match", 3),
    ];
    let routes = routes(&[("unbound", ExchangeKind::Headers)], &bindings);
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    for exchange in ["amq.direct", "unbound", ""] {
        routes
            .route(exchange.as_bytes(), &[b"k"], &source, &mut scratch, &mut out)
            .unwrap();
    }
    assert_eq!(parsed.get(), 0);
    routes
        .route(b"amq.fanout", &[b"k"], &source, &mut scratch, &mut out)
        .unwrap();
    assert_eq!((parsed.get(), out.len()), (1, 2));
}

/// The definition: repeat until nothing new is reached. Keys are single words.
fn naive(
    kinds: &BTreeMap<String, ExchangeKind>,
    alternates: &BTreeMap<String, String>,
    bindings: &[Binding],
    from: &str,
    key: &str,
) -> Vec<u64> {
    let (mut queues, mut seen, mut pending) = (BTreeSet::new(), BTreeSet::new(), vec![from.to_owned()]);
    while let Some(exchange) = pending.pop() {
        let Some(kind) = kinds.get(&exchange).filter(|_| seen.insert(exchange.clone())) else {
            continue;
        };
        let fits = |pattern: &str| match kind {
            ExchangeKind::Direct => pattern == key,
            ExchangeKind::Topic => pattern == key || pattern == "#" || (pattern == "*" && !key.is_empty()),
            _ => true,
        };
        let of_it = bindings
            .iter()
            .filter(|binding| binding.source.to_text() == exchange);
        let matched: Vec<_> = of_it.filter(|binding| fits(&binding.key.to_text())).collect();
        if matched.is_empty() {
            pending.extend(alternates.get(&exchange).cloned());
        }
        for binding in matched {
            match &binding.destination {
                Destination::Queue(queue) => drop(queues.insert(queue.get())),
                Destination::Exchange(name) => pending.push(name.to_text()),
            }
        }
    }
    queues.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Graphs of exchanges, with cycles and alternates, lead to the queues that the definition names.
    #[test]
    fn a_walk_finds_what_the_definition_says(
        kinds in prop::collection::vec(
            prop::sample::select(&[ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic][..]), 6..7),
        bindings in prop::collection::vec(
            (0_usize..6, prop::sample::select(&["a", "b", "#", "*", ""][..]), 0_usize..12), 0..24),
        alternates in prop::collection::vec(0_usize..8, 6..7),
        key in prop::sample::select(&["a", "b", ""][..]),
    ) {
        let name = |n: usize| format!("x{n}");
        let bindings: Vec<Binding> = bindings.into_iter().map(|(source, key, to)| match to {
            6.. => to_queue(&name(source), key, to.try_into().unwrap()),
            _ => to_exchange(&name(source), key, &name(to)),
        }).collect();
        let kinds: BTreeMap<_, _> = kinds.into_iter().enumerate().map(|(n, kind)| (name(n), kind)).collect();
        let alternates: BTreeMap<_, _> = alternates.into_iter().enumerate().map(|(n, to)| (name(n), name(to))).collect();
        let declared: Vec<_> = kinds.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        let mut routes = routes(&declared, &bindings);
        for (from, to) in &alternates {
            routes.set_alternate(from.as_bytes(), Some(to.as_str().into()));
        }
        for from in kinds.keys() {
            let expected = naive(&kinds, &alternates, &bindings, from, key);
            prop_assert_eq!(found(&routes, from, key), expected);
        }
    }
}

/// A message that says whether it wants to be put off.
struct Delayed(bool);

impl MessageSource for Delayed {
    fn headers(&self) -> Arguments {
        Arguments::new()
    }

    fn is_delayed(&self) -> bool {
        self.0
    }
}

fn delaying(kind: &str) -> ExchangeSpec {
    ExchangeSpec {
        arguments: [("x-delayed-type", Value::str(kind))].into_iter().collect(),
        alternate: Some("amq.fanout".into()),
        ..ExchangeSpec::durable(ExchangeKind::Delayed)
    }
}

#[test]
fn an_exchange_that_puts_a_message_off_is_the_end_of_its_way() {
    let mut routes = routes(&[("first", ExchangeKind::Fanout)], &[]);
    routes
        .declare_exchange("later".into(), delaying("topic"))
        .unwrap();
    for binding in [
        to_exchange("first", "", "later"),
        to_queue("first", "", 1),
        to_queue("later", "a.*", 2),
        to_queue("amq.fanout", "", 3),
    ] {
        routes.bind(binding).unwrap();
    }
    assert!(routes.set_waiting(b"later", QueueRef::new(9)));
    let found = |exchange: &str, key: &str, delayed| {
        let (mut scratch, mut out) = (Scratch::default(), Vec::new());
        let source = Delayed(delayed);
        let routed = routes.route(
            exchange.as_bytes(),
            &[key.as_bytes()],
            &source,
            &mut scratch,
            &mut out,
        );
        routed.unwrap();
        let waiting: Vec<u64> = scratch.waiting().iter().map(|queue| queue.get()).collect();
        (out.iter().map(|queue| queue.get()).collect::<Vec<_>>(), waiting)
    };
    assert_eq!(found("first", "a.b", true), (vec![1], vec![9]));
    assert_eq!(
        found("later", "b", true),
        (vec![], vec![9]),
        "no alternate before its time"
    );
    assert_eq!(found("later", "a.b", false), (vec![2], vec![]));
    assert_eq!(found("later", "b", false), (vec![3], vec![]));
}

#[test]
fn what_an_exchange_that_puts_messages_off_chooses_by_is_checked() {
    let text = |kind: Option<Value>| {
        let arguments = kind.map(|kind| ("x-delayed-type", kind)).into_iter().collect();
        let spec = ExchangeSpec {
            arguments,
            ..ExchangeSpec::durable(ExchangeKind::Delayed)
        };
        spec.check().map_err(|error| error.to_string())
    };
    let none = "Invalid argument, 'x-delayed-type' must be an existing exchange type";
    assert_eq!(text(None), Err(none.into()));
    assert_eq!(text(Some(Value::I32(1))), Err(none.into()));
    let twice = "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'";
    assert_eq!(text(Some(Value::str("x-delayed-message"))), Err(twice.into()));
    assert_eq!(
        text(Some(Value::str("what"))),
        Err("unknown exchange type 'what'".into())
    );
    assert_eq!(text(Some(Value::str("x-consistent-hash"))), Ok(()));
    assert_eq!(text(Some(Value::str("headers"))), Ok(()));
}
