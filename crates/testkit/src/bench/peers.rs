//! The brokers that are measured.
//!
//! Invariant: all of them listen on this machine alone, on ports that nobody else uses, and keep everything in their folder.

mod kafka;
mod logpond;
mod nats;
mod rabbitmq;

use super::peer::{Missing, Peer};
use std::path::PathBuf;

/// Names in the order in which they are measured.
pub const NAMES: [&str; 5] = ["logpond", "rabbitmq-classic", "rabbitmq-quorum", "nats", "kafka"];

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The broker that is ours.
    pub logpond: PathBuf,
    /// What is needed to fetch and build others, and their clients: `benches/peers`.
    pub sources: PathBuf,
    /// Where they are built.
    pub built: PathBuf,
}

/// The peers that were asked for.
#[derive(Default)]
pub struct Found {
    /// Those that can be measured.
    pub there: Vec<Box<dyn Peer>>,
    /// Those that cannot.
    pub missing: Vec<Missing>,
}

/// Those that were asked for: who can be measured, and who cannot and why.
pub fn find(names: &[String], places: &Places) -> anyhow::Result<Found> {
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        anyhow::bail!("there is no peer {unknown:?}; there are {}", NAMES.join(", "));
    }
    let mut found = Found::default();
    for name in NAMES {
        if !names.is_empty() && !names.iter().any(|asked| asked == name) {
            continue;
        }
        match open(name, places) {
            Ok(peer) => found.there.push(peer),
            Err(error) => found.missing.push(Missing {
                name,
                why: format!("{error:#}"),
            }),
        }
    }
    Ok(found)
}

fn open(name: &str, places: &Places) -> anyhow::Result<Box<dyn Peer>> {
    Ok(match name {
        "logpond" => Box::new(logpond::Logpond::find(&places.logpond)?),
        "rabbitmq-classic" => Box::new(rabbitmq::RabbitMq::find(places, rabbitmq::QueueType::Classic)?),
        "rabbitmq-quorum" => Box::new(rabbitmq::RabbitMq::find(places, rabbitmq::QueueType::Quorum)?),
        "nats" => Box::new(nats::Nats::find(places)?),
        "kafka" => Box::new(kafka::Kafka::find(places)?),
        other => anyhow::bail!("nobody knows how to start {other}"),
    })
}
