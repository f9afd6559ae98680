//! lapin: confirms, consuming with acks, a nack that comes back, a return, a fan-out, a channel error.
#![forbid(unsafe_code)]

use anyhow::{Context, ensure};
use futures_lite::StreamExt;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind, message::Delivery,
};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let url = std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@localhost:5672/".to_owned());
    // lapin takes a slash at the end for the virtual host with the empty name; without it, it is the default one.
    let url = url.trim_end_matches('/');
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    confirms_and_acks(&connection)
        .await
        .context("confirms and acks")?;
    fan_out(&connection).await.context("fan-out")?;
    returns_and_errors(&connection)
        .await
        .context("returns and errors")?;
    connection.close(200, "done".into()).await?;
    println!("300 messages, a nack, a fan-out, a return and a channel error");
    Ok(())
}

async fn confirms_and_acks(connection: &Connection) -> anyhow::Result<()> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let queue: ShortString = format!("lapin.{}", std::process::id()).into();
    let durable = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel
        .queue_declare(queue.clone(), durable, FieldTable::default())
        .await?;
    let mut waiting = Vec::new();
    for n in 0..300_i32 {
        let mut headers = FieldTable::default();
        headers.insert("n".into(), AMQPValue::LongInt(n));
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_headers(headers);
        let body = format!("message {n}");
        waiting.push(publish(&channel, "", queue.as_str(), body.as_bytes(), properties).await?);
    }
    for confirm in waiting {
        ensure!(confirm.await?.is_ack(), "a publish was not confirmed");
    }

    channel.basic_qos(25, BasicQosOptions::default()).await?;
    let mut consumer = consume(&channel, queue.as_str()).await?;
    let first = next(&mut consumer).await?;
    ensure!(
        first.data == b"message 0" && !first.redelivered,
        "first delivery: {first:?}"
    );
    first
        .nack(BasicNackOptions {
            requeue: true,
            multiple: false,
        })
        .await?;
    let mut redelivered = Vec::new();
    let mut seen = Vec::new();
    while seen.len() < 300 {
        let delivery = next(&mut consumer).await?;
        let headers = delivery.properties.headers().clone().unwrap_or_default();
        let n = headers
            .inner()
            .get("n")
            .and_then(AMQPValue::as_long_int)
            .context("header n")?;
        ensure!(
            delivery.data == format!("message {n}").into_bytes(),
            "body of message {n}"
        );
        if delivery.redelivered {
            redelivered.push(n);
        }
        seen.push(n);
        delivery.ack(BasicAckOptions::default()).await?;
    }
    ensure!(redelivered == [0], "redelivered: {redelivered:?}");
    seen.sort_unstable();
    ensure!(seen.iter().copied().eq(0..300), "each message once");
    let left = channel.queue_delete(queue, QueueDeleteOptions::default()).await?;
    ensure!(left == 0, "{left} messages left");
    Ok(channel.close(200, "done".into()).await?)
}

async fn fan_out(connection: &Connection) -> anyhow::Result<()> {
    let channel = connection.create_channel().await?;
    let exchange: ShortString = format!("lapin.fan.{}", std::process::id()).into();
    let options = ExchangeDeclareOptions {
        auto_delete: true,
        ..Default::default()
    };
    channel
        .exchange_declare(
            exchange.clone(),
            ExchangeKind::Fanout,
            options,
            FieldTable::default(),
        )
        .await?;
    let mut consumers = Vec::new();
    for _ in 0..2 {
        let exclusive = QueueDeclareOptions {
            exclusive: true,
            ..Default::default()
        };
        let queue = channel
            .queue_declare("".into(), exclusive, FieldTable::default())
            .await?;
        let bind = QueueBindOptions::default();
        channel
            .queue_bind(
                queue.name().clone(),
                exchange.clone(),
                "".into(),
                bind,
                FieldTable::default(),
            )
            .await?;
        consumers.push(consume(&channel, queue.name().as_str()).await?);
    }
    // Larger than a frame, so that it is split and put together again.
    let body = vec![0xAB; 300_000];
    publish(&channel, exchange.as_str(), "", &body, BasicProperties::default())
        .await?
        .await?;
    for consumer in &mut consumers {
        let delivery = next(consumer).await?;
        ensure!(delivery.data == body, "a copy differs");
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(channel.close(200, "done".into()).await?)
}

async fn returns_and_errors(connection: &Connection) -> anyhow::Result<()> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mandatory = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let properties = BasicProperties::default();
    let confirm = channel
        .basic_publish("".into(), "lapin.nowhere".into(), mandatory, b"back", properties)
        .await?;
    let returned = confirm
        .await?
        .take_message()
        .context("an unroutable message did not come back")?;
    ensure!(
        returned.reply_code == 312 && returned.delivery.data == b"back",
        "{returned:?}"
    );

    let passive = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let missing = channel
        .queue_declare("lapin.missing".into(), passive, FieldTable::default())
        .await;
    ensure!(
        missing.is_err_and(|e| e.to_string().contains("NOT")),
        "a missing queue was found"
    );
    // The connection lives on.
    connection
        .create_channel()
        .await?
        .close(200, "done".into())
        .await?;
    Ok(())
}

async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> lapin::Result<lapin::PublisherConfirm> {
    channel
        .basic_publish(
            exchange.into(),
            key.into(),
            BasicPublishOptions::default(),
            body,
            properties,
        )
        .await
}

async fn consume(channel: &Channel, queue: &str) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions::default();
    channel
        .basic_consume(queue.into(), "".into(), options, FieldTable::default())
        .await
}

async fn next(consumer: &mut Consumer) -> anyhow::Result<Delivery> {
    let delivery = tokio::time::timeout(PATIENCE, consumer.next())
        .await
        .context("no delivery")?;
    Ok(delivery.context("the consumer was ended")??)
}
