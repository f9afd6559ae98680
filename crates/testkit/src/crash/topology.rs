//! The queues and the exchange of a crash run.

use super::workload::{DIRECT_QUEUE_COUNT, QUEUE_COUNT};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};

/// The exchange behind which all fan-out queues stand.
pub const FAN_OUT: &str = "crash.fanout";

/// Name of a queue.
pub fn queue_name(queue: usize) -> ShortString {
    format!("crash.queue.{queue}").into()
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
