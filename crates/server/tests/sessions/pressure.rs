//! Clients that ask for much at once: memory stays bounded, others have their turn, and who is silent is gone.

use std::time::Duration;

use logpond_amqp::{Method, Table, method};
use tokio::time::timeout;

use crate::client::{Client, FRAME_MAX, ONE, declare, publish, short};
use crate::served::Served;

const MIB: usize = 1024 * 1024;
/// Far longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts messages of some MiB into a queue, and sees them there.
async fn fill(client: &mut Client, queue: &str, count: usize, mebibytes: usize) {
    client.declare(ONE, queue).await;
    let body = vec![7; mebibytes * MIB];
    for _ in 0..count {
        client.publish(ONE, "", queue, &body).await;
    }
    while ready(client, queue).await < count {}
}

/// How many messages of a queue wait.
async fn ready(client: &mut Client, queue: &str) -> usize {
    let passive = method::queue::Declare {
        passive: true,
        ..declare(queue)
    };
    client.send(ONE, &Method::QueueDeclare(passive)).await;
    let received = client.receive().await;
    let Method::QueueDeclareOk(declared) = received.method() else {
        panic!("{:?}", received.method())
    };
    usize::try_from(declared.message_count).unwrap()
}

fn consume(queue: &str) -> Method<'_> {
    Method::BasicConsume(method::basic::Consume {
        queue: short(queue),
        consumer_tag: short("it"),
        no_local: false,
        no_ack: false,
        exclusive: false,
        no_wait: false,
        arguments: Table::EMPTY,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_at_once_is_answered_as_the_client_takes_it() {
    let served = Served::start().await;
    let mut other = Client::open_channel(served.address).await;
    fill(&mut other, "q", 60, 1).await;
    let mut client = Client::open_channel(served.address).await;
    let mut requests = Vec::new();
    for _ in 0..60 {
        let get = method::basic::Get {
            queue: short("q"),
            no_ack: true,
        };
        Method::BasicGet(get).encode(ONE, &mut requests);
    }

    client.write(&requests).await;
    assert!(matches!(client.receive().await.method(), Method::BasicGetOk(_)));
    let left = ready(&mut other, "q").await;
    // What the sockets of both sides hold has left the queue.
    assert!(left > 30, "{left} of 60 are left when the first answer is there");

    assert_eq!(client.content().await.len(), MIB);
    for _ in 1..60 {
        assert!(matches!(client.receive().await.method(), Method::BasicGetOk(_)));
        assert_eq!(client.content().await.len(), MIB);
    }
    assert_eq!(ready(&mut other, "q").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_send_before_it_takes_large_deliveries() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    fill(&mut client, "q", 10, 3).await;
    client.declare(ONE, "other").await;
    client.send(ONE, &consume("q")).await;
    let messages = publish(ONE, "", "other", &vec![1; MIB], FRAME_MAX).repeat(20);

    let sending = client.write(&messages);
    timeout(PATIENCE, sending)
        .await
        .expect("the server reads while deliveries wait");

    let mut other = Client::open_channel(served.address).await;
    let arriving = async { while ready(&mut other, "other").await < 20 {} };
    timeout(PATIENCE, arriving).await.expect("all of them arrive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_gone_although_large_deliveries_wait_for_it() {
    let served = Served::start().await;
    let mut other = Client::open_channel(served.address).await;
    fill(&mut other, "q", 10, 3).await;
    let mut client = Client::open_with_heartbeat(served.address, 1).await;
    client.open_another_after_heartbeats(ONE).await;
    client.send(ONE, &consume("q")).await;

    let given_back = async {
        while ready(&mut other, "q").await == 10 {}
        while ready(&mut other, "q").await < 10 {}
    };
    timeout(PATIENCE, given_back)
        .await
        .expect("what it had comes back");
}

/// Far more connections than have a turn at the same time, and far more of the disk than a turn.
#[tokio::test(flavor = "multi_thread")]
async fn many_declarations_at_once_keep_nobody_else_from_declaring() {
    const AT_ONCE: usize = 2_000;
    let served = Served::start().await;
    let mut other = Client::open_channel(served.address).await;
    let mut busy = Vec::new();
    for at in 0..8 {
        let mut client = Client::open_channel(served.address).await;
        let mut requests = Vec::new();
        for number in 0..AT_ONCE {
            let name = format!("{at}-{number}");
            let request = method::queue::Declare {
                no_wait: number > 0,
                ..declare(&name)
            };
            Method::QueueDeclare(request).encode(ONE, &mut requests);
        }
        client.write(&requests).await;
        busy.push(client);
    }
    assert!(matches!(
        busy[0].receive().await.method(),
        Method::QueueDeclareOk(_)
    ));

    other.declare(ONE, "mine").await;
    let last = format!("0-{}", AT_ONCE - 1);
    let passive = method::queue::Declare {
        passive: true,
        ..declare(&last)
    };
    other.send(ONE, &Method::QueueDeclare(passive)).await;
    let (code, text) = other.channel_closed(ONE).await;
    assert_eq!(code, 404, "it is not made yet: {text}");
}
