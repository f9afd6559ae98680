//! What it costs to find the queues of a message, and to change one binding among many.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use logpond_routing::{
    Arguments, Binding, Destination, ExchangeKind, ExchangeSpec, NoHeaders, QueueRef, Routes, Scratch, Value,
};

fn binding(source: &str, key: &str, queue: u64) -> Binding {
    let destination = Destination::Queue(QueueRef::new(queue));
    Binding {
        source: source.into(),
        destination,
        key: key.into(),
        arguments: Arguments::new(),
    }
}

/// Routes through the keys in turn, so that one measurement does not live in one cache line.
fn route(c: &mut Criterion, name: &str, routes: &Routes, exchange: &str, keys: &[String]) {
    let (mut scratch, mut out, mut at) = (Scratch::default(), Vec::new(), 0);
    c.bench_function(name, |b| {
        b.iter(|| {
            at = (at + 7919) % keys.len();
            let key = keys[at].as_bytes();
            black_box(routes.route(exchange.as_bytes(), &[key], &NoHeaders, &mut scratch, &mut out)).ok();
            black_box(&out);
        });
    });
}

fn one_queue(c: &mut Criterion) {
    let mut routes = Routes::new(1);
    routes.add_queue("hello".into(), QueueRef::new(1));
    route(c, "default exchange, 1 queue", &routes, "", &["hello".to_owned()]);
}

fn many(c: &mut Criterion) {
    let mut routes = Routes::new(1);
    let topic = ExchangeSpec::durable(ExchangeKind::Topic);
    routes
        .declare_exchange("exact".into(), topic.clone())
        .expect("new");
    routes.declare_exchange("wild".into(), topic).expect("new");
    let mut keys = Vec::new();
    for n in 0_u64..100_000 {
        let key = format!("region{}.plant{}.sensor{n}", n % 10, n % 100);
        routes.add_queue(key.as_str().into(), QueueRef::new(n));
        routes.bind(binding("amq.direct", &key, n)).expect("bound");
        routes.bind(binding("exact", &key, n)).expect("bound");
        keys.push(key);
    }
    for n in 0..1000 {
        let pattern = format!("region{}.*.sensor{n}", n % 10);
        routes.bind(binding("wild", &pattern, n)).expect("bound");
        routes
            .bind(binding("wild", &format!("#.sensor{n}"), n))
            .expect("bound");
        routes.bind(binding("amq.fanout", "", n)).expect("bound");
    }
    route(c, "default exchange, 100,000 queues", &routes, "", &keys);
    route(c, "direct, 100,000 keys", &routes, "amq.direct", &keys);
    route(c, "topic, 100,000 exact patterns", &routes, "exact", &keys);
    route(c, "topic, 2,000 patterns with wildcards", &routes, "wild", &keys);
    route(c, "fanout to 1,000 queues", &routes, "amq.fanout", &keys);
    changes(c, &routes);
}

fn changes(c: &mut Criterion, routes: &Routes) {
    c.bench_function("clone and bind one of 100,000", |b| {
        b.iter_batched(
            || routes.clone(),
            |mut next| {
                next.bind(binding("amq.direct", "one more", 7)).expect("bound");
                next
            },
            BatchSize::SmallInput,
        );
    });
}

fn headers(c: &mut Criterion) {
    let mut routes = Routes::new(1);
    for n in 0..100 {
        let arguments =
            Arguments::from_iter([("kind", Value::str(format!("k{n}"))), ("size", Value::I32(1))]);
        routes
            .bind(Binding {
                arguments,
                ..binding("amq.headers", "", n)
            })
            .expect("bound");
    }
    let source = || {
        Arguments::from_iter([
            ("kind", Value::str("k7")),
            ("size", Value::I64(1)),
            ("x", Value::Bool(true)),
        ])
    };
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    c.bench_function("headers, 100 bindings of two arguments", |b| {
        b.iter(|| {
            black_box(routes.route(b"amq.headers", &[b""], &source, &mut scratch, &mut out)).ok();
            black_box(&out);
        });
    });
}

criterion_group!(benches, one_queue, many, headers);
criterion_main!(benches);
