//! A consumer with manual acks that is sometimes rude: it gives back, acknowledges late, or drops its channel.
//!
//! Invariant: one consumer per queue at a time, and every delivery that it takes is told to the checker in
//! the order in which it came. Otherwise order could not be judged.

use super::paths::Path;
use super::topology::{connect, queue_name};
use super::traffic::Traffic;
use crate::random::Random;
use futures_lite::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, Consumer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// After so long without a delivery, what is held is acknowledged.
const IDLE: Duration = Duration::from_millis(30);
/// One delivery in so many is given back.
const NACK_EVERY: u64 = 1_500;
/// One delivery in so many ends its channel, with everything that it holds.
const HANG_UP_EVERY: u64 = 8_000;

/// Consumes until the broker goes, and returns why.
pub async fn consume(
    traffic: Arc<Traffic>,
    queue: usize,
    url: String,
    seed: u64,
) -> lapin::Result<Infallible> {
    let connection = connect(&url).await?;
    let mut random = Random::new(seed);
    loop {
        traffic.set_unsettled(queue, 0);
        consume_on_a_channel(&connection, &traffic, queue, &mut random).await?;
    }
}

/// What a consumer has taken and not settled: a count, and the last of it.
struct Held<'a> {
    traffic: &'a Traffic,
    queue: usize,
    count: u64,
    last: Option<Delivery>,
}

impl Held<'_> {
    fn take(&mut self, delivery: Delivery) {
        self.count += 1;
        self.last = Some(delivery);
        self.traffic.set_unsettled(self.queue, self.count);
    }

    /// Acknowledges everything that is held.
    async fn settle(&mut self) -> lapin::Result<()> {
        if let Some(delivery) = self.last.take() {
            delivery
                .ack(BasicAckOptions {
                    multiple: self.count > 1,
                })
                .await?;
        }
        self.count = 0;
        self.traffic.set_unsettled(self.queue, 0);
        Ok(())
    }
}

/// Returns when it was time to hang up.
async fn consume_on_a_channel(
    connection: &Connection,
    traffic: &Traffic,
    queue: usize,
    random: &mut Random,
) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    let prefetch = [1_u16, 20, 100, 500, 2_000][usize::try_from(random.below(5)).expect("less than five")];
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let (tag, options) = ("".into(), BasicConsumeOptions::default());
    let mut consumer = channel
        .basic_consume(queue_name(queue), tag, options, FieldTable::default())
        .await?;
    let mut held = Held {
        traffic,
        queue,
        count: 0,
        last: None,
    };
    // Half of the prefetch at most, or the broker would have to wait for us.
    let batch_max = u64::from(prefetch).div_ceil(2);
    let mut batch = random.between(1, batch_max + 1);
    while let Some(delivery) = next(&mut consumer, &mut held).await? {
        record(traffic, queue, &delivery);
        if !traffic.is_quiet() {
            if random.below(NACK_EVERY) == 0 {
                delivery
                    .nack(BasicNackOptions {
                        multiple: false,
                        requeue: true,
                    })
                    .await?;
                continue;
            }
            if random.below(HANG_UP_EVERY) == 0 {
                break;
            }
        }
        held.take(delivery);
        if held.count >= batch {
            held.settle().await?;
            batch = random.between(1, batch_max + 1);
        }
    }
    channel.close(200, "enough".into()).await
}

/// The next delivery. While there is none, what is held is acknowledged.
async fn next(consumer: &mut Consumer, held: &mut Held<'_>) -> lapin::Result<Option<Delivery>> {
    loop {
        match tokio::time::timeout(IDLE, consumer.next()).await {
            Ok(delivery) => return delivery.transpose(),
            Err(_) => held.settle().await?,
        }
    }
}

fn record(traffic: &Traffic, queue: usize, delivery: &Delivery) {
    let id = delivery
        .properties
        .message_id()
        .as_ref()
        .map_or("", |id| id.as_str());
    if let Some(path) = Path::of(queue, &delivery.properties) {
        traffic.paths.walked(path);
    }
    match id.parse() {
        Ok(id) => traffic
            .ledger()
            .deliver(queue, id, delivery.redelivered, &delivery.data),
        Err(fault) => traffic.ledger().deliver_nameless(queue, fault),
    }
}
