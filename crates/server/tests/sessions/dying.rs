//! Dead letters come by themselves: nobody has to ask for them.

use logpond_amqp::{Method, Table, TableWriter, Value, method};

use crate::client::{Client, ONE, declare, short};
use crate::served::Served;

/// A client, the queue "dead" with its consumer, and the queue "q" of one message, whose dead letters go there.
async fn consumer_of_the_dead(served: &Served) -> Client {
    let mut client = Client::open_channel(served.address).await;
    client.declare(ONE, "dead").await;
    let mut table = Vec::new();
    let mut arguments = TableWriter::new(&mut table);
    arguments.put(short("x-max-length"), Value::I32(1));
    arguments.put(short("x-dead-letter-exchange"), Value::LongString(b""));
    arguments.put(short("x-dead-letter-routing-key"), Value::LongString(b"dead"));
    let arguments = arguments.finish().unwrap();
    let mut bytes = Vec::new();
    method::queue::Declare {
        no_wait: true,
        arguments,
        ..declare("q")
    }
    .encode(ONE, &mut bytes);
    client.write(&bytes).await;
    let consume = method::basic::Consume {
        queue: short("dead"),
        consumer_tag: short("t"),
        no_local: false,
        no_ack: true,
        exclusive: false,
        no_wait: true,
        arguments: Table::EMPTY,
    };
    client.send(ONE, &Method::BasicConsume(consume)).await;
    client
}

async fn expect_letter(client: &mut Client, body: &[u8]) {
    let received = client.receive().await;
    let Method::BasicDeliver(delivery) = received.method() else {
        panic!("{:?}", received.method())
    };
    assert_eq!(delivery.routing_key.to_string(), "dead");
    assert_eq!(client.content().await, body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_queue_drops_comes_out_of_another() {
    let served = Served::start().await;
    let mut client = consumer_of_the_dead(&served).await;
    for body in [b"first", b"other", b"third"] {
        client.publish(ONE, "", "q", body).await;
    }
    expect_letter(&mut client, b"first").await;
    expect_letter(&mut client, b"other").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_rejects_comes_out_of_another() {
    let served = Served::start().await;
    let mut client = consumer_of_the_dead(&served).await;
    client.publish(ONE, "", "q", b"bad").await;
    let get = method::basic::Get {
        queue: short("q"),
        no_ack: false,
    };
    client.send(ONE, &Method::BasicGet(get)).await;
    let delivery_tag = match client.receive().await.method() {
        Method::BasicGetOk(got) => got.delivery_tag,
        other => panic!("{other:?}"),
    };
    client.content().await;
    let reject = method::basic::Reject {
        delivery_tag,
        requeue: false,
    };
    client.send(ONE, &Method::BasicReject(reject)).await;
    expect_letter(&mut client, b"bad").await;
}
