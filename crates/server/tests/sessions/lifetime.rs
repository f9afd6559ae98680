//! Heartbeats, stops, and who owns a data directory.

use std::time::{Duration, Instant};

use logpond_amqp::{FrameKind, Method, method};
use logpond_server::config::{ConfigFile, Settings};
use logpond_server::{OpenError, Server, StartError};

use crate::client::{Client, FRAME_MAX, ONE, ZERO, publish, short};
use crate::served::{Served, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_hears_heartbeats_and_is_dropped_after_two_intervals() {
    let served = Served::start().await;
    let mut client = Client::open_with_heartbeat(served.address, 1).await;
    let before = Instant::now();
    let mut beats = 0;
    while let Some(received) = client.try_receive().await {
        assert_eq!(received.kind, FrameKind::Heartbeat);
        beats += 1;
    }
    assert!(beats >= 2, "{beats}");
    assert!(
        before.elapsed() >= Duration::from_millis(1_500),
        "{:?}",
        before.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_answers_heartbeats_stays() {
    let served = Served::start().await;
    let mut client = Client::open_with_heartbeat(served.address, 1).await;
    for _ in 0..6 {
        assert_eq!(client.receive().await.kind, FrameKind::Heartbeat);
        client.write(&[8, 0, 0, 0, 0, 0, 0, 0xCE]).await;
    }
    client.open_another_after_heartbeats(ONE).await;
}

/// amqplib's close overtakes the messages of its channels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_sends_behind_its_close_does_not_cost_it_the_answer() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    let mut bytes = Vec::new();
    let close = method::connection::Close {
        reply_code: 200,
        reply_text: short("bye"),
        class_id: 0,
        method_id: 0,
    };
    close.encode(ZERO, &mut bytes);
    for _ in 0..100 {
        bytes.extend(publish(ONE, "", "q", &vec![7; 100_000], FRAME_MAX));
    }
    client.write(&bytes).await;
    let answer = client.receive().await;
    assert!(matches!(answer.method(), Method::ConnectionCloseOk(_)));
    assert!(client.try_receive().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_tells_every_client_and_keeps_what_was_confirmed() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.declare(ONE, "q").await;
    client
        .send(
            ONE,
            &Method::ConfirmSelect(method::confirm::Select { no_wait: false }),
        )
        .await;
    client.receive().await;
    let mut bytes = crate::client::publish_method(ONE, "", "q");
    logpond_amqp::encode_content(&mut bytes, ONE, &[0x10, 0, 2], b"kept", 4096);
    client.write(&bytes).await;
    assert!(matches!(client.receive().await.method(), Method::BasicAck(_)));

    let (closed, (directory, outcome)) = tokio::join!(client.connection_closed(), served.stop());
    let expected = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
    assert_eq!(closed, (320, expected.to_owned()));
    outcome.unwrap();

    let server = Server::start(settings(&directory, "")).await.unwrap();
    assert!(server.report().recovery.clean);
    let address = server.addresses()[0];
    tokio::spawn(server.run(std::future::pending()));
    let mut client = Client::open_channel(address).await;
    assert_eq!(client.get(ONE, "q").await.as_deref(), Some(b"kept".as_slice()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_a_client_that_never_answers() {
    let served = Served::start().await;
    let _mute = Client::open_channel(served.address).await;
    let before = Instant::now();
    let (_, outcome) = served.stop().await;
    outcome.unwrap();
    assert!(before.elapsed() < Duration::from_secs(8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_directory_is_refused_whether_its_address_is_free_or_not() {
    let served = Served::start().await;
    let data = served.directory.path().join("data");
    for address in ["127.0.0.1:0".to_owned(), served.address.to_string()] {
        let text = format!("data = {data:?}\nlisten = ['{address}']\n");
        let config = ConfigFile::parse("test", &text).unwrap();
        let refused = Server::start(Settings::from_file(config, |_| None).unwrap()).await;
        let refused = refused.err().unwrap();
        assert!(
            matches!(refused, StartError::Open(OpenError::Store(_))),
            "{refused}"
        );
        assert!(
            refused
                .to_string()
                .contains("another process uses this data directory"),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_closes_is_answered_and_its_exclusive_queue_is_gone() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    let exclusive = method::queue::Declare {
        exclusive: true,
        ..crate::client::declare("mine")
    };
    client.send(ONE, &Method::QueueDeclare(exclusive)).await;
    client.receive().await;
    let close = method::connection::Close {
        reply_code: 200,
        reply_text: short("bye"),
        class_id: 0,
        method_id: 0,
    };
    client
        .send(crate::client::ZERO, &Method::ConnectionClose(close))
        .await;
    assert!(matches!(
        client.receive().await.method(),
        Method::ConnectionCloseOk(_)
    ));
    assert!(client.try_receive().await.is_none());

    let mut other = Client::open_channel(served.address).await;
    let passive = method::queue::Declare {
        passive: true,
        ..crate::client::declare("mine")
    };
    other.send(ONE, &Method::QueueDeclare(passive)).await;
    assert_eq!(other.channel_closed(ONE).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_above_the_limit_are_closed() {
    let served = Served::start_with("[limits]\nconnections_max = 2\n").await;
    let _first = Client::open(served.address).await;
    let _second = Client::open(served.address).await;
    let mut third = Client::connect(served.address).await;
    assert!(third.try_receive().await.is_none());
}
