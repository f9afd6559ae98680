//! From the first octet to connection.open-ok.

use std::time::Duration;

use logpond_amqp::{Method, PROTOCOL_HEADER, TableWriter, Value};
use rstest::rstest;
use tokio::time::Instant;

use crate::client::{Client, FRAME_MAX, ZERO, short};
use crate::served::Served;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_mechanisms_lead_to_a_connection() {
    let served = Served::start().await;
    let mut table = Vec::new();
    TableWriter::new(&mut table)
        .put(short("LOGIN"), Value::LongString(b"guest"))
        .put(short("PASSWORD"), Value::LongString(b"guest"));
    for (mechanism, response) in [("PLAIN", b"\0guest\0guest".to_vec()), ("AMQPLAIN", table)] {
        let mut client = Client::connect(served.address).await;
        client.greet(mechanism, &response).await;
        client.tune(2047, FRAME_MAX, 0).await;
        client.open_vhost("/").await;
        assert!(
            matches!(client.receive().await.method(), Method::ConnectionOpenOk(_)),
            "{mechanism}"
        );
    }
}

#[rstest]
#[case("", b"Logpond")]
#[case("product = 'RabbitMQ'", b"RabbitMQ")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_told_the_product_that_is_configured(#[case] more: &str, #[case] expected: &[u8]) {
    let served = Served::start_with(more).await;
    let mut client = Client::connect(served.address).await;
    client.write(&PROTOCOL_HEADER).await;
    let received = client.receive().await;
    let Method::ConnectionStart(start) = received.method() else {
        panic!("{:?}", received.method())
    };
    let product = start.server_properties.get(b"product");
    assert_eq!(product, Some(Value::LongString(expected)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_may_come_in_one_packet_or_octet_by_octet() {
    let served = Served::start().await;
    let mut bytes = PROTOCOL_HEADER.to_vec();
    let methods = [
        Method::ConnectionStartOk(logpond_amqp::method::connection::StartOk {
            client_properties: logpond_amqp::Table::EMPTY,
            mechanism: short("PLAIN"),
            response: b"\0guest\0guest",
            locale: short("en_US"),
        }),
        Method::ConnectionTuneOk(logpond_amqp::method::connection::TuneOk {
            channel_max: 10,
            frame_max: 8192,
            heartbeat: 0,
        }),
        Method::ConnectionOpen(logpond_amqp::method::connection::Open {
            virtual_host: short("/"),
        }),
    ];
    for method in &methods {
        method.encode(ZERO, &mut bytes);
    }
    Method::ChannelOpen(logpond_amqp::method::channel::Open).encode(crate::client::ONE, &mut bytes);
    for step in [bytes.len(), 1] {
        let mut client = Client::connect(served.address).await;
        for piece in bytes.chunks(step) {
            client.write(piece).await;
        }
        let mut last = client.receive().await;
        for _ in 0..3 {
            last = client.receive().await;
        }
        assert!(matches!(last.method(), Method::ChannelOpenOk(_)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_0_9_is_served_like_one_of_0_9_1() {
    let served = Served::start().await;
    let mut client = Client::connect(served.address).await;
    client.write(b"AMQP\x01\x01\x00\x09").await;
    let received = client.receive().await;
    let Method::ConnectionStart(start) = received.method() else {
        panic!("{:?}", received.method())
    };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
}

#[rstest]
#[case(b"AMQP\x00\x00\x09\x00", b"AMQP\x00\x00\x09\x01")]
#[case(b"AMQP\x01\x01\x09\x01", b"AMQP\x03\x01\x00\x00")]
#[case(b"AMQP\x01\x01\x00\x0a", b"AMQP\x03\x01\x00\x00")]
#[case(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"AMQP\x03\x01\x00\x00")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_protocol_is_told_which_one_we_speak(#[case] header: &[u8], #[case] answer: &[u8]) {
    let served = Served::start().await;
    let mut client = Client::connect(served.address).await;
    client.write(header).await;
    assert_eq!(client.read_to_end().await, answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_refused_with_403() {
    let served = Served::start().await;
    for (user, password) in [("guest", "wrong"), ("nobody", "guest"), ("", "")] {
        let mut client = Client::connect(served.address).await;
        client
            .greet("PLAIN", format!("\0{user}\0{password}").as_bytes())
            .await;
        let (code, text) = client.connection_closed().await;
        assert_eq!(code, 403);
        assert!(
            text.starts_with("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_mechanism_and_an_unknown_vhost_are_named() {
    let served = Served::start().await;
    let mut client = Client::connect(served.address).await;
    client.greet("KERBEROS", b"").await;
    let expected = "COMMAND_INVALID - unknown authentication mechanism 'KERBEROS'";
    assert_eq!(client.connection_closed().await, (503, expected.to_owned()));

    let mut client = Client::connect(served.address).await;
    client.greet("PLAIN", b"\0guest\0guest").await;
    client.tune(2047, FRAME_MAX, 0).await;
    client.open_vhost("nowhere").await;
    assert_eq!(
        client.connection_closed().await,
        (530, "NOT_ALLOWED - vhost nowhere not found".to_owned())
    );
}

#[rstest]
#[case(
    2048,
    FRAME_MAX,
    "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)"
)]
#[case(
    2047,
    4096,
    "negotiated frame_max = 4096 is lower than the minimum allowed value (8192)"
)]
#[case(
    2047,
    131_073,
    "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)"
)]
#[case(
    2047,
    0,
    "negotiated frame_max = 0 is higher than the maximum allowed value (131072)"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tuning_outside_the_bounds_is_refused(#[case] channels: u16, #[case] frame: u32, #[case] text: &str) {
    let served = Served::start().await;
    let mut client = Client::connect(served.address).await;
    client.greet("PLAIN", b"\0guest\0guest").await;
    client.tune(channels, frame, 0).await;
    assert_eq!(
        client.connection_closed().await,
        (530, format!("NOT_ALLOWED - {text}"))
    );
}

#[rstest]
#[case::nothing(b"")]
#[case::half_a_header(b"AMQP")]
#[case::half_a_frame(b"AMQP\x00\x00\x09\x01\x01\x00\x00\x00\x00\x10\x00\x00\x0a")]
#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_end_is_closed_after_ten_seconds(#[case] bytes: &[u8]) {
    let served = Served::start().await;
    let mut client = Client::connect(served.address).await;
    let before = Instant::now();
    client.write(bytes).await;
    client.read_to_end().await;
    let took = before.elapsed();
    assert!(
        (Duration::from_secs(9)..Duration::from_secs(12)).contains(&took),
        "{took:?}"
    );
}

#[rstest]
#[case::four_gigabytes(b"\x01\x00\x00\xff\xff\xff\xff")]
#[case::more_than_sixteen_kilobytes(b"\x01\x00\x00\x00\x00\x40\x00")]
#[case::content(b"\x03\x00\x00\x00\x00\x00\x01x\xce")]
#[case::another_channel(b"\x01\x00\x01\x00\x00\x00\x05\x00\x14\x00\x0a\x00\xce")]
#[case::out_of_order(b"\x01\x00\x00\x00\x00\x00\x08\x00\x0a\x00\x28\x01/\x00\x00\xce")]
#[tokio::test(start_paused = true)]
async fn rubbish_before_the_login_ends_the_connection(#[case] bytes: &[u8]) {
    let served = Served::start().await;
    let mut client = Client::connect(served.address).await;
    client.write(&PROTOCOL_HEADER).await;
    client.receive().await;
    client.write(bytes).await;
    assert!(client.try_receive().await.is_none());
}
