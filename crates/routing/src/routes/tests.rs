//! Tests of `routes`: each states one thing that it keeps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{Arguments, ExchangeKind, NoHeaders, Scratch, Value};

fn binding(source: &str, key: &str, destination: Destination) -> Binding {
    Binding {
        source: source.into(),
        destination,
        key: key.into(),
        arguments: Arguments::new(),
    }
}

fn queue(number: u64) -> Destination {
    Destination::Queue(QueueRef::new(number))
}

fn exchange(name: &str) -> Destination {
    Destination::Exchange(name.into())
}

fn auto_delete() -> ExchangeSpec {
    ExchangeSpec {
        auto_delete: true,
        ..ExchangeSpec::durable(ExchangeKind::Fanout)
    }
}

fn bind(routes: &mut Routes, source: &str, key: &str, destination: Destination) {
    assert_eq!(routes.bind(binding(source, key, destination)), Ok(Bound::New));
}

#[test]
fn each_virtual_host_has_the_predeclared_exchanges() {
    let routes = Routes::new(0);
    let mut names: Vec<String> = routes
        .exchanges()
        .map(|exchange| exchange.name().to_text())
        .collect();
    names.sort();
    let expected = [
        "",
        "amq.direct",
        "amq.fanout",
        "amq.headers",
        "amq.match",
        "amq.rabbitmq.trace",
        "amq.topic",
    ];
    assert_eq!(names, expected);
    assert!(routes.exchange(b"amq.rabbitmq.trace").unwrap().spec().internal);
    assert_eq!(
        routes.exchange(b"amq.match").unwrap().spec().kind,
        ExchangeKind::Headers
    );
}

#[test]
fn a_name_is_declared_once_until_it_is_deleted() {
    let mut routes = Routes::new(0);
    let spec = ExchangeSpec::durable(ExchangeKind::Topic);
    assert_eq!(routes.declare_exchange("x".into(), spec.clone()), Ok(()));
    assert_eq!(
        routes.declare_exchange("x".into(), spec.clone()),
        Err(ExchangeExists)
    );
    assert!(routes.delete_exchange(b"x").is_some());
    assert!(routes.delete_exchange(b"x").is_none());
    assert_eq!(routes.declare_exchange("x".into(), spec), Ok(()));
}

#[test]
fn the_default_exchange_is_not_deleted_nor_bound() {
    let mut routes = Routes::new(0);
    assert!(routes.delete_exchange(b"").is_none());
    assert_eq!(
        routes.bind(binding("", "k", queue(1))),
        Err(BindError::DefaultExchange)
    );
    assert_eq!(
        routes.bind(binding("amq.direct", "k", exchange(""))),
        Err(BindError::DefaultExchange)
    );
}

#[test]
fn bindings_need_both_exchanges() {
    let mut routes = Routes::new(0);
    assert_eq!(
        routes.bind(binding("x", "k", queue(1))),
        Err(BindError::NoSource("x".into()))
    );
    let refused = routes.bind(binding("amq.direct", "k", exchange("x")));
    assert_eq!(refused, Err(BindError::NoDestination("x".into())));
}

#[test]
fn a_refused_bind_leaves_nothing_behind() {
    let mut routes = Routes::new(0);
    let mut wrong = binding("amq.headers", "", queue(1));
    wrong.arguments.insert("x-match", Value::str("some"));
    assert!(matches!(routes.bind(wrong), Err(BindError::InvalidArgument(_))));
    let long = vec!["a"; crate::limits::PATTERN_WORDS_MAX + 1].join(".");
    assert!(matches!(
        routes.bind(binding("amq.topic", &long, queue(1))),
        Err(BindError::PatternTooLong { .. })
    ));
    assert_eq!(routes.bindings().count(), 0);
    assert_eq!(routes.bindings_to(&queue(1)).count(), 0);
}

#[test]
fn the_longest_pattern_is_bound_and_matched() {
    let mut routes = Routes::new(0);
    let longest = vec!["#"; crate::limits::PATTERN_WORDS_MAX].join(".");
    bind(&mut routes, "amq.topic", &longest, queue(1));
    let mut out = Vec::new();
    routes
        .route(
            b"amq.topic",
            &[b"a.b"],
            &NoHeaders,
            &mut Scratch::default(),
            &mut out,
        )
        .unwrap();
    assert_eq!(out, [QueueRef::new(1)]);
}

#[test]
fn bindings_that_differ_in_arguments_are_two() {
    let mut routes = Routes::new(0);
    let plain = binding("amq.direct", "k", queue(1));
    let mut other = plain.clone();
    other.arguments.insert("a", Value::I32(1));
    assert_eq!(routes.bind(plain.clone()), Ok(Bound::New));
    assert_eq!(routes.bind(plain.clone()), Ok(Bound::Existed));
    assert_eq!(routes.bind(other.clone()), Ok(Bound::New));
    assert_eq!(routes.unbind(&plain).bindings.len(), 1);
    assert_eq!(routes.unbind(&plain), Removed::default());
    let mut out = Vec::new();
    routes
        .route(
            b"amq.direct",
            &[b"k"],
            &NoHeaders,
            &mut Scratch::default(),
            &mut out,
        )
        .unwrap();
    assert_eq!(out, [QueueRef::new(1)], "the other binding still leads there");
    assert!(routes.is_bound(&other));
}

#[test]
fn an_auto_delete_exchange_is_named_when_its_last_binding_goes() {
    let mut routes = Routes::new(0);
    routes.declare_exchange("a".into(), auto_delete()).unwrap();
    routes.declare_exchange("b".into(), auto_delete()).unwrap();
    bind(&mut routes, "a", "", exchange("b"));
    bind(&mut routes, "b", "", queue(1));
    bind(&mut routes, "b", "other", queue(1));
    assert_eq!(routes.unbind(&binding("b", "other", queue(1))).unused, []);
    routes.add_queue("q".into(), QueueRef::new(1));
    // The cascade: the queue's end leaves b unused, and b's end leaves a unused.
    assert_eq!(routes.remove_queue(b"q", QueueRef::new(1)).unused, ["b".into()]);
    assert_eq!(routes.delete_exchange(b"b").unwrap().unused, ["a".into()]);
    assert_eq!(routes.queue(b"q"), None);
}

#[test]
fn deleting_an_exchange_removes_the_bindings_on_both_sides_and_to_itself() {
    let mut routes = Routes::new(0);
    routes.declare_exchange("x".into(), auto_delete()).unwrap();
    bind(&mut routes, "x", "", queue(1));
    bind(&mut routes, "x", "", exchange("x"));
    bind(&mut routes, "amq.direct", "k", exchange("x"));
    bind(&mut routes, "amq.direct", "k", queue(1));
    let removed = routes.delete_exchange(b"x").unwrap();
    assert_eq!((removed.bindings.len(), removed.unused), (3, vec![]));
    assert_eq!(routes.bindings().count(), 1);
}

#[test]
fn removing_a_queue_leaves_a_younger_one_of_the_same_name() {
    let mut routes = Routes::new(0);
    routes.add_queue("q".into(), QueueRef::new(1));
    assert_eq!(
        routes.add_queue("q".into(), QueueRef::new(2)),
        Some(QueueRef::new(1))
    );
    routes.remove_queue(b"q", QueueRef::new(1));
    assert_eq!(routes.queue(b"q"), Some(QueueRef::new(2)));
}

#[derive(Clone, Debug)]
enum Step {
    Declare(usize, usize),
    Delete(usize),
    Bind(usize, usize, usize),
    Unbind(usize, usize, usize),
    RemoveQueue(usize),
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0_usize..4, 0_usize..4).prop_map(|(x, kind)| Step::Declare(x, kind)),
        1 => (0_usize..4).prop_map(Step::Delete),
        9 => (0_usize..4, 0_usize..3, 0_usize..9).prop_map(|(x, key, to)| Step::Bind(x, key, to)),
        4 => (0_usize..4, 0_usize..3, 0_usize..9).prop_map(|(x, key, to)| Step::Unbind(x, key, to)),
        1 => (4_usize..9).prop_map(Step::RemoveQueue),
        1 => Just(Step::Snapshot),
    ];
    prop::collection::vec(step, 0..80)
}

/// All that a snapshot says, as plain sets: names with kinds, and bindings.
type Facts = (BTreeMap<String, usize>, BTreeSet<(usize, usize, usize)>);

const KINDS: [ExchangeKind; 4] = [
    ExchangeKind::Direct,
    ExchangeKind::Fanout,
    ExchangeKind::Topic,
    ExchangeKind::Headers,
];
const KEYS: [&str; 3] = ["k", "*", "a.#"];

fn name(number: usize) -> String {
    format!("x{number}")
}

/// Destinations below 4 are exchanges, the others queues.
fn numbered((x, key, to): (usize, usize, usize)) -> Binding {
    let to = if to < 4 {
        exchange(&name(to))
    } else {
        queue(to.try_into().unwrap())
    };
    binding(&name(x), KEYS[key], to)
}

fn check(routes: &Routes, (exchanges, bindings): &Facts) {
    let declared: BTreeMap<String, usize> = routes
        .exchanges()
        .filter(|exchange| exchange.name().to_text().starts_with('x'))
        .map(|exchange| {
            let kind = KINDS
                .iter()
                .position(|kind| *kind == exchange.spec().kind)
                .unwrap();
            (exchange.name().to_text(), kind)
        })
        .collect();
    assert_eq!(&declared, exchanges);
    let expected: Vec<Binding> = bindings.iter().map(|numbers| numbered(*numbers)).collect();
    let same = |found: Vec<&Arc<Binding>>, expected: Vec<&Binding>| {
        assert_eq!(found.len(), expected.len());
        assert!(
            expected
                .iter()
                .all(|wanted| found.iter().any(|have| &***have == *wanted))
        );
    };
    same(routes.bindings().collect(), expected.iter().collect());
    for number in 0..9 {
        let to = numbered((0, 0, number)).destination;
        same(
            routes.bindings_to(&to).collect(),
            expected.iter().filter(|b| b.destination == to).collect(),
        );
    }
    // What is not bound is not routed to, by direct exchanges at least.
    for (name, _) in exchanges
        .iter()
        .filter(|(_, kind)| KINDS[**kind] == ExchangeKind::Direct)
    {
        let mut out = Vec::new();
        let fits = |b: &&Binding| &b.source.to_text() == name && b.key.to_text() == "k";
        let leads_on = expected
            .iter()
            .filter(fits)
            .any(|b| matches!(b.destination, Destination::Exchange(_)));
        if !leads_on {
            routes
                .route(
                    name.as_bytes(),
                    &[b"k"],
                    &NoHeaders,
                    &mut Scratch::default(),
                    &mut out,
                )
                .unwrap();
            assert_eq!(out.len(), expected.iter().filter(fits).count());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Exchanges and bindings come and go as in a plain set, and no snapshot ever changes.
    #[test]
    fn a_topology_is_a_set_and_snapshots_never_change(steps in steps()) {
        let mut routes = Routes::new(5);
        let mut facts: Facts = Default::default();
        let mut snapshots = Vec::new();
        for step in steps {
            let (exchanges, bindings) = &mut facts;
            match step {
                Step::Declare(x, kind) => {
                    let declared = routes.declare_exchange(name(x).into(), ExchangeSpec::durable(KINDS[kind]));
                    prop_assert_eq!(declared.is_ok(), !exchanges.contains_key(&name(x)));
                    exchanges.entry(name(x)).or_insert(kind);
                }
                Step::Delete(x) => {
                    let removed = routes.delete_exchange(name(x).as_bytes());
                    prop_assert_eq!(removed.is_some(), exchanges.remove(&name(x)).is_some());
                    let before = bindings.len();
                    bindings.retain(|(from, _, to)| *from != x && *to != x);
                    prop_assert_eq!(removed.map_or(0, |removed| removed.bindings.len()), before - bindings.len());
                }
                Step::Bind(x, key, to) => {
                    let possible = exchanges.contains_key(&name(x)) && (to >= 4 || exchanges.contains_key(&name(to)));
                    let bound = routes.bind(numbered((x, key, to)));
                    prop_assert_eq!(bound.is_ok(), possible);
                    if possible {
                        prop_assert_eq!(bound == Ok(Bound::New), bindings.insert((x, key, to)));
                    }
                }
                Step::Unbind(x, key, to) => {
                    let removed = routes.unbind(&numbered((x, key, to)));
                    prop_assert_eq!(!removed.bindings.is_empty(), bindings.remove(&(x, key, to)));
                }
                Step::RemoveQueue(to) => {
                    routes.remove_queue(b"", QueueRef::new(to.try_into().unwrap()));
                    bindings.retain(|(_, _, have)| *have != to);
                }
                Step::Snapshot => snapshots.push((routes.clone(), facts.clone())),
            }
        }
        check(&routes, &facts);
        for (snapshot, facts) in &snapshots {
            check(snapshot, facts);
        }
    }
}
