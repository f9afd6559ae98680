//! What nobody acknowledges in time goes back by itself: nobody has to ask.

use logpond_amqp::{Method, Table, TableWriter, Value, method};

use crate::client::{Client, ONE, declare, short};
use crate::served::Served;

/// The quorum queue "q" whose messages have a millisecond, and one of them.
async fn quorum(client: &mut Client) {
    let mut table = Vec::new();
    let mut arguments = TableWriter::new(&mut table);
    arguments.put(short("x-queue-type"), Value::LongString(b"quorum"));
    arguments.put(short("x-consumer-timeout"), Value::I32(1));
    let arguments = arguments.finish().unwrap();
    let mut bytes = Vec::new();
    method::queue::Declare {
        no_wait: true,
        durable: true,
        arguments,
        ..declare("q")
    }
    .encode(ONE, &mut bytes);
    client.write(&bytes).await;
    client.publish(ONE, "", "q", b"slow").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_does_not_acknowledge_is_cancelled() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    quorum(&mut client).await;
    let consume = method::basic::Consume {
        queue: short("q"),
        consumer_tag: short("t"),
        no_local: false,
        no_ack: false,
        exclusive: false,
        no_wait: true,
        arguments: Table::EMPTY,
    };
    client.send(ONE, &Method::BasicConsume(consume)).await;
    let delivered = client.receive().await;
    assert!(matches!(delivered.method(), Method::BasicDeliver(_)));
    client.content().await;
    match client.receive().await.method() {
        Method::BasicCancel(cancel) => assert_eq!(cancel.consumer_tag.to_string(), "t"),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.get(ONE, "q").await.unwrap(), b"slow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_got_and_not_acknowledged_closes_the_channel() {
    let served = Served::start().await;
    let mut client = Client::open_channel(served.address).await;
    quorum(&mut client).await;
    let get = method::basic::Get {
        queue: short("q"),
        no_ack: false,
    };
    client.send(ONE, &Method::BasicGet(get)).await;
    assert!(matches!(client.receive().await.method(), Method::BasicGetOk(_)));
    client.content().await;
    let (code, text) = client.channel_closed(ONE).await;
    assert_eq!(code, 406);
    assert!(
        text.starts_with("PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out."),
        "{text}"
    );
}
