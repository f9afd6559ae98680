//! The queues and the exchanges of a crash run.

use super::workload::{
    DELAYED_QUEUE, DIRECT_QUEUE_COUNT, LEVEL_COUNT, MessageId, QUEUE_COUNT, RANKED_QUEUE, RELAYED_QUEUE,
    URGENT_QUEUE, WORKED_QUEUE, Workload,
};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};

/// The exchange behind which all fan-out queues stand.
const FAN_OUT: &str = "crash.fanout";
/// The exchange that puts off what `DELAYED_QUEUE` gets.
const LATER: &str = "crash.later";
/// The queue that nobody consumes, and whose dead letters are what `RELAYED_QUEUE` gets.
const RELAY: &str = "crash.relay";
/// How long a message stays in it at most, and how many do: so some expire, and some are dropped.
const RELAY_LIFE_MS: i32 = 20;
const RELAY_MESSAGES_MAX: i32 = 20;
/// The queue whose messages nobody acknowledges, and whose dead letters are what `WORKED_QUEUE` gets.
pub const WORK: &str = "crash.work";
/// How often a message of it may fail.
const WORK_FAILURES_MAX: i32 = 2;
/// How long a delivery of it may go without an answer.
const WORK_TIMEOUT_MS: i32 = 100;

/// Name of a queue.
pub fn queue_name(queue: usize) -> ShortString {
    format!("crash.queue.{queue}").into()
}

/// By which exchange and key a message reaches its queues.
pub fn address(workload: &Workload, id: MessageId) -> (ShortString, ShortString) {
    if workload.is_fan_out(id) {
        return (FAN_OUT.into(), "".into());
    }
    match workload.queues_of(id).start {
        RELAYED_QUEUE => ("".into(), RELAY.into()),
        WORKED_QUEUE => ("".into(), WORK.into()),
        DELAYED_QUEUE => (LATER.into(), queue_name(DELAYED_QUEUE)),
        queue => ("".into(), queue_name(queue)),
    }
}

/// What its queues have to know of a message.
pub fn properties(workload: &Workload, id: MessageId) -> BasicProperties {
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(id.to_string().into());
    match workload.queues_of(id).start {
        URGENT_QUEUE | RANKED_QUEUE => properties.with_priority(workload.priority(id)),
        DELAYED_QUEUE => {
            let delay_ms = i32::try_from(workload.delay_ms(id)).expect("a short time");
            let delay = AMQPValue::LongInt(delay_ms);
            properties.with_headers(table([("x-delay", delay)]))
        }
        _ => properties,
    }
}

/// Connects as any program would.
pub async fn connect(url: &str) -> lapin::Result<Connection> {
    // lapin takes a slash at the end for the virtual host with the empty name.
    Connection::connect(url.trim_end_matches('/'), ConnectionProperties::default()).await
}

/// Declares everything, durable.
pub async fn declare(channel: &Channel) -> lapin::Result<()> {
    for queue in 0..QUEUE_COUNT {
        let arguments = match queue {
            URGENT_QUEUE => {
                let highest = i32::try_from(LEVEL_COUNT - 1).expect("a handful");
                table([("x-max-priority", AMQPValue::LongInt(highest))])
            }
            RANKED_QUEUE => table([("x-queue-type", text("quorum"))]),
            _ => FieldTable::default(),
        };
        declare_queue(channel, queue_name(queue), arguments).await?;
    }
    declare_queue(channel, RELAY.into(), relay()).await?;
    declare_queue(channel, WORK.into(), work()).await?;
    let delaying = ExchangeKind::Custom("x-delayed-message".to_owned());
    let chosen = table([("x-delayed-type", text("direct"))]);
    declare_exchange(channel, LATER, delaying, chosen).await?;
    declare_exchange(channel, FAN_OUT, ExchangeKind::Fanout, FieldTable::default()).await?;
    for queue in DIRECT_QUEUE_COUNT..QUEUE_COUNT {
        bind(channel, FAN_OUT, queue).await?;
    }
    bind(channel, LATER, DELAYED_QUEUE).await
}

async fn declare_queue(channel: &Channel, name: ShortString, arguments: FieldTable) -> lapin::Result<()> {
    let durable = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel.queue_declare(name, durable, arguments).await.map(drop)
}

async fn declare_exchange(
    channel: &Channel,
    name: &str,
    kind: ExchangeKind,
    arguments: FieldTable,
) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel
        .exchange_declare(name.into(), kind, durable, arguments)
        .await
}

/// Binds a queue by its name.
async fn bind(channel: &Channel, exchange: &str, queue: usize) -> lapin::Result<()> {
    let (name, options) = (queue_name(queue), QueueBindOptions::default());
    channel
        .queue_bind(
            name.clone(),
            exchange.into(),
            name,
            options,
            FieldTable::default(),
        )
        .await
}

/// The arguments of the queue of which all messages expire or are dropped.
fn relay() -> FieldTable {
    table([
        ("x-dead-letter-exchange", text("")),
        (
            "x-dead-letter-routing-key",
            text(queue_name(RELAYED_QUEUE).as_str()),
        ),
        ("x-message-ttl", AMQPValue::LongInt(RELAY_LIFE_MS)),
        ("x-max-length", AMQPValue::LongInt(RELAY_MESSAGES_MAX)),
    ])
}

/// The arguments of the queue of which no message is ever acknowledged.
fn work() -> FieldTable {
    table([
        ("x-queue-type", text("quorum")),
        ("x-dead-letter-exchange", text("")),
        (
            "x-dead-letter-routing-key",
            text(queue_name(WORKED_QUEUE).as_str()),
        ),
        ("x-delivery-limit", AMQPValue::LongInt(WORK_FAILURES_MAX)),
        ("x-consumer-timeout", AMQPValue::LongInt(WORK_TIMEOUT_MS)),
    ])
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table<const LEN: usize>(entries: [(&str, AMQPValue); LEN]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

/// Messages ready in a queue, or nothing when the queue does not exist.
pub async fn depth(connection: &Connection, queue: ShortString) -> lapin::Result<Option<u32>> {
    // A channel of its own, since asking for a missing queue closes the channel.
    let channel = connection.create_channel().await?;
    let passive = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    match channel.queue_declare(queue, passive, FieldTable::default()).await {
        Ok(state) => {
            channel.close(200, "done".into()).await?;
            Ok(Some(state.message_count()))
        }
        Err(_) if connection.status().connected() => Ok(None),
        Err(error) => Err(error),
    }
}
