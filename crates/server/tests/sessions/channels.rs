//! Errors end a channel, and only that one.

use logpond_amqp::{ChannelId, Method, MethodId, Table, TableWriter, Value, encode_content, method};
use rstest::rstest;

use crate::client::{Client, FRAME_MAX, ONE, ZERO, declare, publish, short};
use crate::served::Served;

const TWO: ChannelId = ChannelId::new(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_exchange_closes_the_channel_and_the_connection_lives() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.open_another(TWO).await;
    client.publish(ONE, "nowhere", "k", b"x").await;
    let expected = "NOT_FOUND - no exchange 'nowhere' in vhost '/'";
    assert_eq!(client.channel_closed(ONE).await, (404, expected.to_owned()));
    client.declare(TWO, "q").await;
    client.open_another(ONE).await;
    client.declare(ONE, "q").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_are_counted_and_may_have_any_number() {
    let served = Served::start().await;
    let mut client = Client::connect(served.address).await;
    client.greet("PLAIN", b"\0guest\0guest").await;
    client.tune(2, FRAME_MAX, 0).await;
    client.open_vhost("/").await;
    assert!(matches!(
        client.receive().await.method(),
        Method::ConnectionOpenOk(_)
    ));
    let (high, highest) = (ChannelId::new(3_000), ChannelId::new(u16::MAX));
    client.open_another(high).await;
    client.open_another(highest).await;
    client.declare(highest, "q").await;
    client.publish(highest, "", "q", &[7; 10_000]).await;
    assert_eq!(client.get(high, "q").await.map(|body| body.len()), Some(10_000));
    client.publish(high, "nowhere", "k", b"x").await;
    assert_eq!(client.channel_closed(high).await.0, 404);
    client.open_another(ONE).await;
    client
        .send(TWO, &Method::ChannelOpen(method::channel::Open))
        .await;
    let text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)";
    assert_eq!(client.connection_closed().await, (530, text.to_owned()));
}

#[rstest]
#[case::publish(Method::BasicPublish(method::basic::Publish { exchange: short("nowhere"), routing_key: short("k"), mandatory: false, immediate: false }))]
#[case::ack(Method::BasicAck(method::basic::Ack { delivery_tag: 9, multiple: false }))]
#[case::nack(Method::BasicNack(method::basic::Nack { delivery_tag: 9, multiple: false, requeue: false }))]
#[case::reject(Method::BasicReject(method::basic::Reject { delivery_tag: 9, requeue: false }))]
#[case::get(Method::BasicGet(method::basic::Get { queue: short("missing"), no_ack: true }))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_of_a_channel_names_the_method_at_fault(#[case] method: Method<'_>) {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    let mut bytes = Vec::new();
    method.encode(ONE, &mut bytes);
    if method.id() == method::basic::Publish::ID {
        encode_content(&mut bytes, ONE, &[0, 0], b"x", 4096);
    }
    client.write(&bytes).await;
    let received = client.receive().await;
    let Method::ChannelClose(close) = received.method() else {
        panic!("{:?}", received.method())
    };
    assert_eq!(MethodId::new(close.class_id, close.method_id), method.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_of_the_connection_names_the_publish_at_fault() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    let immediate = method::basic::Publish {
        exchange: short(""),
        routing_key: short("q"),
        mandatory: false,
        immediate: true,
    };
    let mut bytes = Vec::new();
    immediate.encode(ONE, &mut bytes);
    encode_content(&mut bytes, ONE, &[0, 0], b"x", 4096);
    client.write(&bytes).await;
    let received = client.receive().await;
    let Method::ConnectionClose(close) = received.method() else {
        panic!("{:?}", received.method())
    };
    assert_eq!(&*close.reply_text.to_string(), "NOT_IMPLEMENTED - immediate=true");
    assert_eq!(
        MethodId::new(close.class_id, close.method_id),
        method::basic::Publish::ID
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closing_channel_discards_everything_but_close_ok() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client.open_another(TWO).await;
    client.declare(TWO, "q").await;
    let mut bytes = publish(ONE, "nowhere", "k", b"x", 4096);
    bytes.extend(publish(ONE, "", "q", b"discarded", 4096));
    Method::QueueDeclare(declare("discarded")).encode(ONE, &mut bytes);
    bytes.extend(publish(ONE, "", "q", &[0; 10_000], 4096));
    client.write(&bytes).await;
    assert_eq!(client.channel_closed(ONE).await.0, 404);
    assert_eq!(client.get(TWO, "q").await, None);
    client.open_another(ONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crossing_closes_of_a_channel_are_both_answered() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    let mut bytes = publish(ONE, "nowhere", "k", b"x", 4096);
    let close = method::channel::Close {
        reply_code: 200,
        reply_text: short(""),
        class_id: 0,
        method_id: 0,
    };
    close.encode(ONE, &mut bytes);
    client.write(&bytes).await;
    assert!(matches!(client.receive().await.method(), Method::ChannelClose(_)));
    assert!(matches!(
        client.receive().await.method(),
        Method::ChannelCloseOk(_)
    ));
    client
        .send(ONE, &Method::ChannelCloseOk(method::channel::CloseOk))
        .await;
    client.open_another(ONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_closed_and_opened_again_by_the_client() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    let close = method::channel::Close {
        reply_code: 200,
        reply_text: short("bye"),
        class_id: 0,
        method_id: 0,
    };
    client.send(ONE, &Method::ChannelClose(close)).await;
    assert!(matches!(
        client.receive().await.method(),
        Method::ChannelCloseOk(_)
    ));
    client.open_another(ONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pausing_us_is_not_implemented_and_ends_the_connection() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    client
        .send(ONE, &Method::ChannelFlow(method::channel::Flow { active: true }))
        .await;
    assert_eq!(
        client.receive().await.method(),
        Method::ChannelFlowOk(method::channel::FlowOk { active: true })
    );
    client
        .send(ONE, &Method::ChannelFlow(method::channel::Flow { active: false }))
        .await;
    assert_eq!(
        client.connection_closed().await,
        (540, "NOT_IMPLEMENTED - active=false".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_ticket_is_granted_without_meaning() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    let request = method::access::Request {
        realm: short("/data"),
        exclusive: false,
        passive: true,
        active: true,
        write: true,
        read: true,
    };
    client.send(ONE, &Method::AccessRequest(request)).await;
    assert_eq!(
        client.receive().await.method(),
        Method::AccessRequestOk(method::access::RequestOk { ticket: 1 })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wait_means_no_answer() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    let mut bytes = Vec::new();
    method::queue::Declare {
        no_wait: true,
        ..declare("quiet")
    }
    .encode(ONE, &mut bytes);
    method::exchange::Declare {
        exchange: short("quiet"),
        kind: short("direct"),
        passive: false,
        durable: false,
        auto_delete: false,
        internal: false,
        no_wait: true,
        arguments: Table::EMPTY,
    }
    .encode(ONE, &mut bytes);
    method::queue::Bind {
        queue: short("quiet"),
        exchange: short("quiet"),
        routing_key: short("k"),
        no_wait: true,
        arguments: Table::EMPTY,
    }
    .encode(ONE, &mut bytes);
    method::confirm::Select { no_wait: true }.encode(ONE, &mut bytes);
    bytes.extend(publish(ONE, "quiet", "k", b"x", 4096));
    client.write(&bytes).await;
    // The first answer is the confirm.
    let expected = Method::BasicAck(method::basic::Ack {
        delivery_tag: 1,
        multiple: false,
    });
    assert_eq!(client.receive().await.method(), expected);
    assert_eq!(client.get(ONE, "quiet").await.as_deref(), Some(b"x".as_slice()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_comes_before_the_confirm() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    let mut bytes = Vec::new();
    method::confirm::Select { no_wait: true }.encode(ONE, &mut bytes);
    let mut message = publish(ONE, "", "nobody", b"back", 4096);
    // The octet with the bits stands before the end of the method frame.
    let bits = 7 + 4 + 2 + 1 + 1 + "nobody".len();
    message[bits] = 1;
    bytes.extend(message);
    client.write(&bytes).await;
    let returned = client.receive().await;
    let Method::BasicReturn(fields) = returned.method() else {
        panic!("{:?}", returned.method())
    };
    assert_eq!(
        (fields.reply_code, fields.reply_text.to_string()),
        (312, "NO_ROUTE".to_owned())
    );
    assert_eq!(client.content().await, b"back");
    let confirm = client.receive().await;
    assert_eq!(
        confirm.method(),
        Method::BasicAck(method::basic::Ack {
            delivery_tag: 1,
            multiple: false
        })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_queue_refuses_is_nacked() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    let mut table = Vec::new();
    let mut arguments = TableWriter::new(&mut table);
    arguments.put(short("x-max-length"), Value::I32(1));
    arguments.put(short("x-overflow"), Value::LongString(b"reject-publish"));
    let arguments = arguments.finish().unwrap();
    let mut bytes = Vec::new();
    method::queue::Declare {
        no_wait: true,
        arguments,
        ..declare("full")
    }
    .encode(ONE, &mut bytes);
    method::confirm::Select { no_wait: true }.encode(ONE, &mut bytes);
    client.write(&bytes).await;
    client.publish(ONE, "", "full", b"first").await;
    let expected = Method::BasicAck(method::basic::Ack {
        delivery_tag: 1,
        multiple: false,
    });
    assert_eq!(client.receive().await.method(), expected);
    client.publish(ONE, "", "full", b"second").await;
    let expected = Method::BasicNack(method::basic::Nack {
        delivery_tag: 2,
        multiple: false,
        // As RabbitMQ sends it.
        requeue: true,
    });
    assert_eq!(client.receive().await.method(), expected);
    assert_eq!(
        client.get(ONE, "full").await.as_deref(),
        Some(b"first".as_slice())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_secret_is_accepted_and_changes_nothing() {
    let served = Served::start().await;
    let mut client = Client::open(served.address).await;
    for secret in [&b"guest"[..], b"other"] {
        let update = method::connection::UpdateSecret {
            new_secret: secret,
            reason: short(""),
        };
        client.send(ZERO, &Method::ConnectionUpdateSecret(update)).await;
        assert!(matches!(
            client.receive().await.method(),
            Method::ConnectionUpdateSecretOk(_)
        ));
    }
    client.open_another(ONE).await;
    let mut other = Client::open(served.address).await;
    other.open_another(ONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_declare_at_once_take_turns_and_each_is_answered_in_order() {
    let served = Served::start().await;
    let mut clients = Vec::new();
    for _ in 0..24 {
        clients.push(Client::open_channel(served.address).await);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut bytes = Vec::new();
        for queue in 0..10 {
            let name = format!("q-{number}-{queue}");
            method::queue::Declare {
                durable: true,
                ..declare(&name)
            }
            .encode(ONE, &mut bytes);
            // What stands between and behind requests that wait for a turn keeps its place.
            bytes.extend(publish(ONE, "", &name, b"body", FRAME_MAX));
        }
        client.write(&bytes).await;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        for queue in 0..10 {
            let answer = client.receive().await;
            let Method::QueueDeclareOk(declared) = answer.method() else {
                panic!("{answer:?}");
            };
            let name = format!("q-{number}-{queue}");
            assert_eq!(declared.queue.as_bytes(), name.as_bytes());
        }
        for queue in 0..10 {
            let name = format!("q-{number}-{queue}");
            assert_eq!(client.get(ONE, &name).await.as_deref(), Some(b"body".as_slice()));
        }
    }
}
