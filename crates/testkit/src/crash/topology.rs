//! The queues and the exchange of a crash run.

use super::workload::{DIRECT_QUEUE_COUNT, QUEUE_COUNT, RELAYED_QUEUE};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};

/// The exchange behind which all fan-out queues stand.
pub const FAN_OUT: &str = "crash.fanout";
/// The queue that nobody consumes, and whose dead letters are what `RELAYED_QUEUE` gets.
const RELAY: &str = "crash.relay";
/// How long a message stays in it at most, and how many do: so some expire, and some are dropped.
const RELAY_LIFE_MS: i32 = 20;
const RELAY_MESSAGES_MAX: i32 = 20;

/// Name of a queue.
pub fn queue_name(queue: usize) -> ShortString {
    format!("crash.queue.{queue}").into()
}

/// The routing key of what is to come into a queue, in the default exchange.
pub fn routing_key(queue: usize) -> ShortString {
    if queue == RELAYED_QUEUE {
        RELAY.into()
    } else {
        queue_name(queue)
    }
}

/// Connects as any program would.
pub async fn connect(url: &str) -> lapin::Result<Connection> {
    // lapin takes a slash at the end for the virtual host with the empty name.
    Connection::connect(url.trim_end_matches('/'), ConnectionProperties::default()).await
}

/// Declares everything, durable.
pub async fn declare(channel: &Channel) -> lapin::Result<()> {
    let durable = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    for queue in 0..QUEUE_COUNT {
        channel
            .queue_declare(queue_name(queue), durable, FieldTable::default())
            .await?;
    }
    channel.queue_declare(RELAY.into(), durable, relay()).await?;
    let options = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel
        .exchange_declare(
            FAN_OUT.into(),
            ExchangeKind::Fanout,
            options,
            FieldTable::default(),
        )
        .await?;
    for queue in DIRECT_QUEUE_COUNT..QUEUE_COUNT {
        let (name, bind) = (queue_name(queue), QueueBindOptions::default());
        channel
            .queue_bind(name, FAN_OUT.into(), "".into(), bind, FieldTable::default())
            .await?;
    }
    Ok(())
}

/// The arguments of the queue of which all messages die.
fn relay() -> FieldTable {
    let mut arguments = FieldTable::default();
    let text = |text: &str| AMQPValue::LongString(text.into());
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    let key = queue_name(RELAYED_QUEUE);
    arguments.insert("x-dead-letter-routing-key".into(), text(key.as_str()));
    arguments.insert("x-message-ttl".into(), AMQPValue::LongInt(RELAY_LIFE_MS));
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(RELAY_MESSAGES_MAX));
    arguments
}

/// Messages ready in a queue, or nothing when the queue does not exist.
pub async fn depth(connection: &Connection, queue: usize) -> lapin::Result<Option<u32>> {
    // A channel of its own, since asking for a missing queue closes the channel.
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    match channel
        .queue_declare(queue_name(queue), passive, FieldTable::default())
        .await
    {
        Ok(state) => {
            channel.close(200, "done".into()).await?;
            Ok(Some(state.message_count()))
        }
        Err(_) if connection.status().connected() => Ok(None),
        Err(error) => Err(error),
    }
}
