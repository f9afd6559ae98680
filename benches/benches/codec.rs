//! What the codec costs for one small message: recognise a publish, find its hot properties, write a delivery or a confirm.
//!
//! The budget of the hot path is 15 to 20 ns for the publish, and the same for the delivery.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logpond_amqp::method::basic;
use logpond_amqp::{
    ChannelId, ContentHeader, Delivery, HotProperties, Method, ShortStr, Table, TableWriter, Value,
    encode_ack, encode_content, encode_delivery, parse_ack, parse_frame, parse_publish,
};

const CHANNEL: ChannelId = ChannelId::new(1);
const FRAME_MAX: u32 = 131_072;
const BATCH: u64 = 1000;

fn short(text: &str) -> ShortStr<'_> {
    ShortStr::try_from(text).expect("a short text")
}

fn publishes(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..BATCH {
        basic::Publish {
            exchange: short(""),
            routing_key: short("bench-queue"),
            mandatory: false,
            immediate: false,
        }
        .encode(CHANNEL, &mut out);
        encode_content(&mut out, CHANNEL, &[0x10, 0, 2], body, FRAME_MAX);
    }
    out
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(BATCH));
    for len in [16, 1024, 65_536] {
        let bytes = publishes(&vec![7; len]);
        group.bench_function(format!("publish {len} B, fast path"), |bencher| {
            bencher.iter(|| {
                let mut rest = bytes.as_slice();
                while let Some((publish, taken)) = parse_publish(rest, FRAME_MAX) {
                    black_box(publish);
                    rest = &rest[taken..];
                }
            });
        });
        group.bench_function(format!("publish {len} B, general path"), |bencher| {
            bencher.iter(|| parse_generally(&bytes));
        });
    }
    let mut acks = Vec::new();
    (0..BATCH).for_each(|tag| encode_ack(&mut acks, CHANNEL, tag, false));
    group.bench_function("ack, fast path", |bencher| {
        bencher.iter(|| {
            let mut rest = acks.as_slice();
            while let Some((ack, taken)) = parse_ack(rest) {
                black_box(ack);
                rest = &rest[taken..];
            }
        });
    });
    group.finish();
}

fn parse_generally(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok(Some((frame, taken))) = parse_frame(rest, FRAME_MAX) {
        match frame.kind {
            logpond_amqp::FrameKind::Method => drop(black_box(Method::decode(frame.payload))),
            logpond_amqp::FrameKind::Header => drop(black_box(ContentHeader::parse(frame.payload))),
            _ => drop(black_box(frame)),
        }
        rest = &rest[taken..];
    }
}

fn properties(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("properties");
    let mut headers = Vec::new();
    let mut writer = TableWriter::new(&mut headers);
    for key in ["x-one", "x-two", "x-three", "x-four"] {
        writer.put(short(key), Value::LongString(b"value"));
    }
    let list = logpond_amqp::PropertyList {
        content_type: Some(short("application/json")),
        headers: Some(Table::parse(&headers).expect("a table")),
        delivery_mode: Some(2),
        message_id: Some(short("5f1d7f2e-0000-4000-8000-000000000000")),
        ..logpond_amqp::PropertyList::default()
    };
    let mut rich = Vec::new();
    list.encode(&mut rich);
    for (name, raw) in [("delivery mode alone", vec![0x10, 0, 2]), ("four of them", rich)] {
        group.bench_function(format!("hot of {name}"), |bencher| {
            bencher.iter(|| HotProperties::parse(black_box(&raw)).is_ok());
        });
    }
    group.bench_function("headers of four entries", |bencher| {
        bencher.iter(|| Table::parse(black_box(&headers)).is_ok());
    });
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(BATCH));
    for len in [16, 1024, 65_536] {
        let body = vec![7; len];
        let mut out = Vec::with_capacity(80 << 20);
        group.bench_function(format!("delivery {len} B"), |bencher| {
            bencher.iter(|| {
                out.clear();
                for delivery_tag in 0..BATCH {
                    let delivery = Delivery {
                        consumer_tag: short("amq.ctag-0123456789abcdef"),
                        delivery_tag,
                        redelivered: false,
                        exchange: short(""),
                        routing_key: short("bench-queue"),
                    };
                    encode_delivery(
                        &mut out,
                        CHANNEL,
                        &delivery,
                        black_box(&[0x10, 0, 2]),
                        black_box(&body),
                        FRAME_MAX,
                    );
                }
                black_box(&out);
            });
        });
    }
    let mut out = Vec::with_capacity(1 << 20);
    group.bench_function("ack", |bencher| {
        bencher.iter(|| {
            out.clear();
            (0..BATCH).for_each(|tag| encode_ack(&mut out, CHANNEL, tag, true));
            black_box(&out);
        });
    });
    group.finish();
}

criterion_group!(benches, parse, properties, encode);
criterion_main!(benches);
