//! The consumer of the queue whose messages nobody acknowledges: it refuses, fails, or does not answer until the broker takes it
//! for hung.
//!
//! Invariant: what it gets is told to nobody. Each message comes to the checker as a dead letter.

use super::paths::Path;
use super::topology::{WORK, connect};
use super::traffic::Traffic;
use crate::random::Random;
use futures_lite::StreamExt;
use lapin::Connection;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::FieldTable;
use std::convert::Infallible;
use std::sync::Arc;

const PREFETCH: u16 = 200;
/// One delivery in so many is not answered.
const IGNORE_EVERY: u64 = 100;
/// One in so many, of the others, is refused at once; with the rest it fails.
const REFUSE_EVERY: u64 = 3;

/// Consumes until the broker goes, and returns why.
pub async fn work(traffic: Arc<Traffic>, url: String, seed: u64) -> lapin::Result<Infallible> {
    let connection = connect(&url).await?;
    let mut random = Random::new(seed);
    loop {
        work_until_cancelled(&connection, &traffic, &mut random).await?;
        traffic.paths.walked(Path::TimedOut);
    }
}

/// Returns when the broker did not want to wait any longer.
async fn work_until_cancelled(
    connection: &Connection,
    traffic: &Traffic,
    random: &mut Random,
) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (tag, options) = ("".into(), BasicConsumeOptions::default());
    let mut consumer = channel
        .basic_consume(WORK.into(), tag, options, FieldTable::default())
        .await?;
    while let Some(delivery) = consumer.next().await.transpose()? {
        if !traffic.is_quiet() && random.below(IGNORE_EVERY) == 0 {
            continue;
        }
        let requeue = random.below(REFUSE_EVERY) > 0;
        delivery.reject(BasicRejectOptions { requeue }).await?;
    }
    channel.close(200, "cancelled".into()).await
}
