//! Bytes that no client should send, after the login.

use logpond_amqp::{Method, encode_content_header, method};
use rstest::rstest;

use crate::client::{Client, ONE, ZERO, publish_method, short};
use crate::served::Served;

const TWO: logpond_amqp::ChannelId = logpond_amqp::ChannelId::new(2);

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    out.extend_from_slice(payload);
    out.push(0xCE);
    out
}

/// queue.declare whose arguments are `table`.
fn declare_with(table: &[u8]) -> Vec<u8> {
    let mut payload = vec![0, 50, 0, 10, 0, 0, 1, b'q', 0];
    payload.extend_from_slice(&u32::try_from(table.len()).unwrap().to_be_bytes());
    payload.extend_from_slice(table);
    frame(1, 1, &payload)
}

/// A table in a table in a table.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(Vec::new(), |inner, _| {
        let mut outer = vec![1, b'k', b'F'];
        outer.extend_from_slice(&u32::try_from(inner.len()).unwrap().to_be_bytes());
        outer.extend_from_slice(&inner);
        outer
    })
}

fn header(body_size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode_content_header(&mut out, ONE, &[0, 0], body_size);
    out
}

fn joined(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

#[rstest]
#[case::wrong_end(501, b"\x01\x00\x01\x00\x00\x00\x04\x00\x14\x00\x0b\x00".to_vec())]
#[case::unknown_kind(501, b"\x05\x00\x01\x00\x00\x00\x00\xce".to_vec())]
#[case::four_gigabytes(501, b"\x01\x00\x01\xff\xff\xff\xff".to_vec())]
#[case::one_more_than_agreed(501, b"\x03\x00\x01\x00\x02\x00\x01".to_vec())]
#[case::heartbeat_with_payload(501, frame(8, 0, b"x"))]
#[case::no_method_id(501, frame(1, 1, b"\x00\x14"))]
#[case::unknown_class(503, frame(1, 1, &[0x7f, 0, 0, 1]))]
#[case::unknown_method(540, frame(1, 1, &[0, 60, 0x7f, 0]))]
#[case::truncated_method(502, frame(1, 1, &[0, 50, 0, 10, 0, 0, 200, b'q']))]
#[case::octets_behind_the_method(502, frame(1, 1, &[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1, 0, 9, 9]))]
#[case::table_bomb(502, declare_with(&nested(1_000)))]
#[case::table_with_a_length_of_four_gigabytes(502, declare_with(b"\x01kF\xff\xff\xff\xff"))]
#[case::table_with_an_unknown_type(502, declare_with(b"\x01kQ\x00"))]
#[case::name_that_is_not_utf8(501, frame(1, 1, &[0, 50, 0, 30, 0, 0, 2, 0xff, 0xfe, 0]))]
#[case::body_out_of_the_blue(505, frame(3, 1, b"x"))]
#[case::header_out_of_the_blue(505, header(1))]
#[case::content_on_channel_zero(505, frame(3, 0, b"x"))]
#[case::method_instead_of_header(505, joined(&[publish_method(ONE, "", "q"), frame(1, 1, &[0, 60, 0, 10, 0, 0, 0, 0, 0, 1, 0])]))]
#[case::body_instead_of_header(505, joined(&[publish_method(ONE, "", "q"), frame(3, 1, b"x")]))]
#[case::second_header(505, joined(&[publish_method(ONE, "", "q"), header(5), header(5)]))]
#[case::more_body_than_announced(501, joined(&[publish_method(ONE, "", "q"), header(2), frame(3, 1, b"xyz")]))]
#[case::header_of_another_class(505, joined(&[publish_method(ONE, "", "q"), frame(2, 1, &[0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]))]
#[case::short_header(501, joined(&[publish_method(ONE, "", "q"), frame(2, 1, &[0, 60, 0, 0])]))]
#[case::broken_headers_table(502, joined(&[publish_method(ONE, "", "q"), frame(2, 1, &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 3, 1, b'k', b'Q'])]))]
#[case::channel_that_is_not_open(504, frame(1, 2, &[0, 60, 0, 10, 0, 0, 0, 0, 0, 1, 0]))]
#[case::content_on_a_channel_that_is_not_open(504, frame(3, 2, b"x"))]
#[case::channel_opened_twice(504, frame(1, 1, &[0, 20, 0, 10, 0]))]
#[case::tune_ok_again(504, frame(1, 0, &[0, 10, 0, 31, 0, 0, 0, 0, 0, 0, 0, 0]))]
#[case::channel_method_on_channel_zero(504, frame(1, 0, &[0, 20, 0, 10, 0]))]
#[case::what_only_servers_send(503, frame(1, 1, &[0, 60, 0, 72, 0]))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_bytes_end_the_connection_with_a_code_and_the_server_lives(
    #[case] code: u16,
    #[case] bytes: Vec<u8>,
) {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.write(&bytes).await;
    let (found, text) = client.connection_closed().await;
    assert_eq!(found, code, "{text}");
    assert!(client.try_receive().await.is_none());

    let mut other = Client::open_channel(served.address).await;
    other.declare(ONE, "still-here").await;
}

/// A method of channel 0 that a running connection does not expect.
fn not_now(payload: &[u8]) -> (Vec<u8>, &'static str) {
    (
        frame(1, 0, payload),
        "504 CHANNEL_ERROR - unexpected method in connection state running",
    )
}

/// What comes behind a publish, of which the queue's name is all that counts.
fn published(parts: &[Vec<u8>]) -> Vec<u8> {
    [publish_method(ONE, "", "q"), parts.concat()].concat()
}

#[rstest]
#[case::open_again(not_now(&[0, 10, 0, 40, 1, b'/', 0, 0]))]
#[case::tune_ok_again(not_now(&[0, 10, 0, 31, 0, 0, 0, 0, 0, 0, 0, 0]))]
#[case::close_ok_without_close(not_now(&[0, 10, 0, 51]))]
#[case::blocked(not_now(&[0, 10, 0, 60, 0]))]
#[case::channel_open(not_now(&[0, 20, 0, 10, 0]))]
#[case::heartbeat_on_a_channel((frame(8, 1, b""), "505 UNEXPECTED_FRAME - type 8, all octets = <<>>"))]
#[case::more_body_than_announced((
    published(&[header(2), frame(3, 1, b"xyz")]),
    "501 FRAME_ERROR - content body frame exceeds remaining content size"
))]
#[case::more_body_than_any_server_takes((
    published(&[header(536_870_913)]),
    "501 FRAME_ERROR - content body size 536870913 exceeds maximum allowed size 536870912"
))]
#[case::header_of_another_class((
    published(&[frame(2, 1, &[0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]),
    "505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"
))]
#[case::header_with_a_weight((
    published(&[frame(2, 1, &[0, 60, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]), frame(3, 1, b"x")]),
    "505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_at_the_wrong_time_is_refused_in_rabbitmqs_words(#[case] input: (Vec<u8>, &str)) {
    let (bytes, expected) = input;
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.write(&bytes).await;
    let (code, text) = client.connection_closed().await;
    assert_eq!(format!("{code} {text}"), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_above_the_configured_one_is_refused_before_any_of_the_body_came() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.write(&published(&[header(536_870_912)])).await;
    let text = "PRECONDITION_FAILED - message size 536870912 is larger than configured max size 16777216";
    assert_eq!(client.channel_closed(ONE).await, (406, text.to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_close_nothing_but_its_answer_counts() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.write(b"\x05\x00\x01\x00\x00\x00\x00\xce").await;
    let received = client.receive().await;
    assert!(matches!(received.method(), Method::ConnectionClose(_)));
    client
        .send(ONE, &Method::QueueDeclare(crate::client::declare("late")))
        .await;
    client
        .send(ZERO, &Method::ConnectionCloseOk(method::connection::CloseOk))
        .await;
    assert!(client.try_receive().await.is_none());

    let mut other = Client::open_channel(served.address).await;
    let passive = method::queue::Declare {
        passive: true,
        ..crate::client::declare("late")
    };
    other.send(ONE, &Method::QueueDeclare(passive)).await;
    assert_eq!(other.channel_closed(ONE).await.0, 404);
}

/// Random changes to a sound stream: the server answers or closes, and goes on serving.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_streams_never_stop_the_server() {
    let served = Served::start().await;
    let mut sound = Vec::new();
    for queue in ["a", "b"] {
        Method::QueueDeclare(crate::client::declare(queue)).encode(ONE, &mut sound);
        sound.extend(crate::client::publish(ONE, "", queue, &[7; 300], 4096));
        Method::BasicGet(method::basic::Get {
            queue: short(queue),
            no_ack: false,
        })
        .encode(ONE, &mut sound);
        Method::BasicAck(method::basic::Ack {
            delivery_tag: 1,
            multiple: true,
        })
        .encode(ONE, &mut sound);
    }
    Method::ChannelOpen(method::channel::Open).encode(TWO, &mut sound);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    for _ in 0..300 {
        let mut bytes = sound.clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            bytes[at] = u8::try_from(random(256)).unwrap();
        }
        bytes.truncate(1 + random(bytes.len()));
        let mut client = Client::open_channel(served.address).await;
        client.write(&bytes).await;
        drop(client);
    }
    let mut client = Client::open_channel(served.address).await;
    client.declare(ONE, "still-here").await;
}
