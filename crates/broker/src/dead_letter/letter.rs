//! A message with all that decides where it goes, and what it becomes when it dies.
//!
//! Invariants:
//! - The first key is the routing key that a client is told; hidden ones, which come last, are told to nobody.
//! - A letter lives as long as its next queue says: its own expiration is taken out, and stands in `x-death`.

use logpond_store::QueueId;

use super::deaths::{Death, Deaths, Reason};
use crate::delay::without_delay;
use crate::envelope::{self, Envelope};
use crate::past::Past;
use crate::properties::{Properties, as_dead_letter};
use crate::queue_policy::Destination;
use crate::stored::{Address, Manner, Stored};
use crate::table::{FurtherKeys, further_keys};

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    exchange: Box<[u8]>,
    keys: Vec<Box<[u8]>>,
    /// How many of the keys may be told.
    shown: usize,
    properties: Vec<u8>,
    /// None before it died.
    deaths: Option<Deaths>,
    /// What stands before its address when it is stored.
    prefix: Vec<u8>,
}

impl Letter {
    /// A message as the store has it; `None` if its bytes are none of ours.
    pub(crate) fn stored(bytes: &[u8]) -> Option<Self> {
        let envelope = Envelope::parse(bytes)?;
        let properties = Properties::parse(envelope.properties).ok()?;
        let headers = properties.headers.unwrap_or_default();
        let Some(past) = envelope.past() else {
            let further = further_keys(headers).unwrap_or_default();
            let published = Self::published(
                envelope.exchange,
                envelope.routing_key,
                &further,
                envelope.properties,
            );
            return Some(published);
        };
        let keys = std::iter::once(&envelope.routing_key)
            .chain(&past.shown)
            .chain(&past.hidden);
        Some(Self {
            prefix: envelope::prefix(&past),
            exchange: envelope.exchange.into(),
            keys: keys.map(|key| Box::from(*key)).collect(),
            shown: 1 + past.shown.len(),
            properties: envelope.properties.to_vec(),
            deaths: past.has_died.then(|| Deaths::read(headers)),
        })
    }

    /// A message that a client publishes.
    pub(crate) fn published(
        exchange: &[u8],
        routing_key: &[u8],
        further: &FurtherKeys<'_>,
        properties: &[u8],
    ) -> Self {
        let keys = std::iter::once(&routing_key).chain(&further.keys);
        Self {
            exchange: exchange.into(),
            keys: keys.map(|key| Box::from(*key)).collect(),
            shown: 1 + further.shown,
            properties: properties.to_vec(),
            deaths: None,
            prefix: Vec::new(),
        }
    }

    /// What becomes of it when it dies in `queue`.
    pub(crate) fn died(&self, queue: &str, reason: Reason, wall_ms: u64, to: &Destination) -> Self {
        let properties = Properties::parse(&self.properties).unwrap_or_default();
        let mut deaths = self.deaths.clone().unwrap_or_default();
        deaths.record(Death {
            queue: queue.as_bytes().into(),
            reason: reason.as_str().as_bytes().into(),
            count: 1,
            time_s: wall_ms / 1000,
            exchange: self.exchange.clone(),
            keys: self.keys[..self.shown].to_vec(),
            expiration: properties.expiration.map(Box::from),
        });
        let headers = deaths.headers(properties.headers.unwrap_or_default(), self.deaths.is_some());
        let (keys, shown) = match &to.routing_key {
            Some(key) => (vec![key.clone()], 1),
            None => (self.keys.clone(), self.shown),
        };
        let further =
            |range: &[Box<[u8]>]| -> Vec<Vec<u8>> { range.iter().map(|key| key.to_vec()).collect() };
        let (told, hidden) = (further(&keys[1..shown]), further(&keys[shown..]));
        let past = Past {
            has_died: true,
            shown: told.iter().map(Vec::as_slice).collect(),
            hidden: hidden.iter().map(Vec::as_slice).collect(),
        };
        Self {
            exchange: to.exchange.clone(),
            prefix: envelope::prefix(&past),
            keys,
            shown,
            properties: as_dead_letter(&self.properties, &headers),
            deaths: Some(deaths),
        }
    }

    /// What becomes of it when its delay is over.
    pub(crate) fn no_longer_delayed(&self) -> Self {
        Self {
            properties: without_delay(&self.properties),
            ..self.clone()
        }
    }

    /// The exchange that it goes to.
    pub(crate) fn exchange(&self) -> &[u8] {
        &self.exchange
    }

    /// The keys that it is routed by, the routing key first.
    pub(crate) fn keys(&self) -> Vec<&[u8]> {
        self.keys.iter().map(|key| &**key).collect()
    }

    /// The keys that it is routed by when it has died in a queue whose dead letters go there.
    pub(crate) fn keys_to<'a>(&'a self, to: &'a Destination) -> Vec<&'a [u8]> {
        to.routing_key
            .as_ref()
            .map_or_else(|| self.keys(), |key| vec![&**key])
    }

    /// Property flags and list.
    pub(crate) fn properties(&self) -> &[u8] {
        &self.properties
    }

    /// Whether it has been in that queue since a client last rejected it.
    pub(crate) fn has_died_in(&self, queue: &str) -> bool {
        let deaths = self.deaths.as_ref();
        deaths.is_some_and(|deaths| deaths.is_cycle(queue.as_bytes()))
    }

    /// As it goes into these queues. `durable` says whether one of them survives a restart.
    pub(crate) fn to_store<'a>(
        &'a self,
        queues: &'a [QueueId],
        durable: bool,
        body: &'a [&'a [u8]],
    ) -> Stored<'a> {
        let properties = Properties::parse(&self.properties).unwrap_or_default();
        self.in_manner(queues, Manner::of(&properties, durable), body)
    }

    /// As it goes into these queues to wait. `durable` says whether one of them survives a restart.
    pub(crate) fn to_wait<'a>(
        &'a self,
        queues: &'a [QueueId],
        durable: bool,
        body: &'a [&'a [u8]],
    ) -> Stored<'a> {
        let properties = Properties::parse(&self.properties).unwrap_or_default();
        self.in_manner(queues, Manner::while_delayed(&properties, durable), body)
    }

    fn in_manner<'a>(&'a self, queues: &'a [QueueId], manner: Manner, body: &'a [&'a [u8]]) -> Stored<'a> {
        Stored {
            queues,
            manner,
            prefix: &self.prefix,
            address: Address::Parts {
                exchange: &self.exchange,
                routing_key: self.keys.first().map(|key| &**key).unwrap_or_default(),
            },
            properties: &self.properties,
            body,
        }
    }
}
