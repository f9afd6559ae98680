//! Bodies of every size, in frames of every size.

use logpond_amqp::{ChannelId, Method, Table, encode_content_header, method};
use rstest::rstest;

use crate::client::{Client, FRAME_MAX, ONE, publish, publish_method, short};
use crate::served::Served;

const TWO: ChannelId = ChannelId::new(2);

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

#[rstest]
#[case(0)]
#[case(1)]
#[case(4088)]
#[case(4089)]
#[case(131_064)]
#[case(131_065)]
#[case(700_000)]
#[case(3_000_000)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_comes_back_as_it_went(#[case] len: usize) {
    let served = Served::start_with("").await;
    let mut client = Client::open_channel(served.address).await;
    client.declare(ONE, "q").await;
    for frame_max in [4096, FRAME_MAX] {
        client.write(&publish(ONE, "", "q", &body(len), frame_max)).await;
        let found = client.get(ONE, "q").await.unwrap();
        assert!(found == body(len), "a body of {len} in frames of {frame_max}");
    }
}

/// AMQPStorm takes the largest frame for the largest payload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_may_be_longer_than_agreed_by_its_overhead() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.declare(ONE, "q").await;
    let bytes = publish(ONE, "", "q", &body(300_000), FRAME_MAX + 8);
    assert!(bytes.len() < 300_000 + 3 * 8 + 100, "the body takes three frames");
    client.write(&bytes).await;
    assert!(client.get(ONE, "q").await == Some(body(300_000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_may_come_octet_by_octet() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.declare(ONE, "q").await;
    for octet in publish(ONE, "", "q", &body(50), 4096) {
        client.write(&[octet]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.get(ONE, "q").await, Some(body(50)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_may_come_in_frames_of_one_octet_and_of_none() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.declare(ONE, "q").await;
    let mut bytes = publish_method(ONE, "", "q");
    encode_content_header(&mut bytes, ONE, &[0, 0], 3);
    for octet in [b"".as_slice(), b"a", b"b", b"", b"c"] {
        bytes.extend([3, 0, 1, 0, 0, 0, u8::try_from(octet.len()).unwrap()]);
        bytes.extend(octet);
        bytes.push(0xCE);
    }
    client.write(&bytes).await;
    assert_eq!(client.get(ONE, "q").await.as_deref(), Some(b"abc".as_slice()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_may_interleave_their_messages() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.open_another(TWO).await;
    client.declare(ONE, "a").await;
    client.declare(TWO, "b").await;
    let (one, two) = (
        publish(ONE, "", "a", &body(9_000), 4096),
        publish(TWO, "", "b", &body(9_001), 4096),
    );
    let mut bytes = Vec::new();
    let (mut left, mut right) = (frames(&one), frames(&two));
    while let (Some(a), b) = (left.next(), right.next()) {
        bytes.extend(a);
        bytes.extend(b.unwrap_or_default());
    }
    bytes.extend(right.flatten());
    client.write(&bytes).await;
    assert_eq!(client.get(ONE, "a").await, Some(body(9_000)));
    assert_eq!(client.get(TWO, "b").await, Some(body(9_001)));
}

fn frames(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut left = bytes;
    std::iter::from_fn(move || {
        let (_, taken) = logpond_amqp::parse_frame(left, FRAME_MAX).unwrap()?;
        let (frame, rest) = left.split_at(taken);
        left = rest;
        Some(frame)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_above_the_limit_closes_the_channel_before_its_body_is_kept() {
    let served = Served::start_with("[limits]\nmessage_bytes_max = 100000\n").await;
    let mut client = Client::open_channel(served.address).await;
    client.declare(ONE, "q").await;
    for len in [100_001, 5_000_000] {
        client.publish(ONE, "", "q", &body(len)).await;
        let expected =
            format!("PRECONDITION_FAILED - message size {len} is larger than configured max size 100000");
        assert_eq!(client.channel_closed(ONE).await, (406, expected));
        client.open_another(ONE).await;
    }
    client.publish(ONE, "", "q", &body(100_000)).await;
    assert_eq!(client.get(ONE, "q").await, Some(body(100_000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_in_one_write_keep_their_order() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.declare(ONE, "q").await;
    let bytes: Vec<u8> = (0..5_000_u32)
        .flat_map(|number| publish(ONE, "", "q", &number.to_be_bytes(), 4096))
        .collect();
    client.write(&bytes).await;
    for number in 0..5_000_u32 {
        assert_eq!(client.get(ONE, "q").await, Some(number.to_be_bytes().to_vec()));
    }
}

/// The client reads nothing until the server's buffers and the socket's are full, and then everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_was_slow_gets_everything_in_the_end() {
    const COUNT: usize = 400;
    let served = Served::start().await;
    let mut publisher = Client::open_channel(served.address).await;
    publisher.declare(ONE, "q").await;
    for at in 0..COUNT {
        publisher.publish(ONE, "", "q", &body(20_000 + at * 7)).await;
    }
    assert!(publisher.get(ONE, "q").await.is_some());
    let mut consumer = Client::open_channel(served.address).await;
    let consume = method::basic::Consume {
        queue: short("q"),
        consumer_tag: short("slow"),
        no_local: false,
        no_ack: false,
        exclusive: false,
        no_wait: true,
        arguments: Table::EMPTY,
    };
    consumer.send(ONE, &Method::BasicConsume(consume)).await;
    // Until every message is on its way or cannot be: the queue has none left to give, or the socket is full.
    let mut peeked = [0; 1];
    consumer.socket.peek(&mut peeked).await.unwrap();
    for at in 1..COUNT {
        assert!(
            matches!(consumer.receive().await.method(), Method::BasicDeliver(_)),
            "message {at}"
        );
        assert!(consumer.content().await == body(20_000 + at * 7), "message {at}");
    }
}
