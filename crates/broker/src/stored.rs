//! A message as it goes into the journal, with its address and the properties that decide how it is stored.
//!
//! Invariant: a body is copied once, into the block, however many queues it goes to.

use logpond_store::disk::{Disk, Now};
use logpond_store::{
    AppendError, BlockNumber, NewMessage, Persistence, Priority, QueueId, Shard, TransactionSize,
};

use crate::delay::delay_ms;
use crate::envelope;
use crate::errors::{AmqpError, Answer, ReplyCode, precondition_failed, storage_failed};
use crate::properties::{Properties, expiration_ms};

/// See the module.
#[derive(Clone, Copy)]
pub(crate) struct Stored<'a> {
    pub queues: &'a [QueueId],
    pub manner: Manner,
    /// What stands before the exchange: see [`envelope::prefix`].
    pub prefix: &'a [u8],
    pub address: Address<'a>,
    pub properties: &'a [u8],
    pub body: &'a [&'a [u8]],
}

/// Where a message was published to.
#[derive(Clone, Copy)]
pub(crate) enum Address<'a> {
    /// As it is stored: see [`envelope::address`].
    Encoded(&'a [u8]),
    /// By its parts.
    Parts {
        exchange: &'a [u8],
        routing_key: &'a [u8],
    },
}

impl Address<'_> {
    /// Bytes that it takes.
    fn len(&self) -> usize {
        match self {
            Self::Encoded(bytes) => bytes.len(),
            Self::Parts {
                exchange,
                routing_key,
            } => 2 + exchange.len() + routing_key.len(),
        }
    }
}

/// How a message is stored.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    persistence: Persistence,
    /// As its publisher gave it.
    priority: Priority,
    /// How long it lives, from its publication on.
    life_ms: Option<u64>,
}

impl Manner {
    /// What its properties ask for. `durable` says whether one of its queues survives a restart.
    pub(crate) fn of(properties: &Properties<'_>, durable: bool) -> Self {
        Self {
            persistence: if durable && properties.is_persistent() {
                Persistence::Persistent
            } else {
                Persistence::Transient
            },
            priority: properties.priority.map_or(Priority::NONE, Priority::new),
            life_ms: properties.expiration.and_then(expiration_ms),
        }
    }

    /// What its properties ask for while an exchange puts it off. `durable` says whether one of these survives a restart.
    pub(crate) fn while_delayed(properties: &Properties<'_>, durable: bool) -> Self {
        Self {
            life_ms: delay_ms(properties),
            ..Self::of(properties, durable)
        }
    }
}

/// What came of a publish to queues of which some may be full.
pub(crate) struct Fitted {
    /// Its block, unless nobody took it.
    pub block: Option<BlockNumber>,
    /// Who refused it.
    pub refused: Vec<QueueId>,
}

impl Stored<'_> {
    /// Appends it to the block that is being built.
    // Inlined: a call would put what was just gathered into memory and read it back at once, and wait for that.
    #[inline(always)]
    pub(crate) fn publish<D: Disk>(&self, shard: &mut Shard<D>, now: Now) -> Answer<BlockNumber> {
        match self.address {
            Address::Encoded(address) if self.prefix.is_empty() => {
                self.publish_with(&[address, self.properties], shard, now)
            }
            _ => self.publish_in_parts(shard, now),
        }
    }

    fn publish_in_parts<D: Disk>(&self, shard: &mut Shard<D>, now: Now) -> Answer<BlockNumber> {
        match self.address {
            Address::Encoded(address) => {
                self.publish_with(&[self.prefix, address, self.properties], shard, now)
            }
            Address::Parts {
                exchange,
                routing_key,
            } => {
                let address = envelope::address(exchange, routing_key).ok_or_else(no_short_string)?;
                self.publish_with(&[self.prefix, &address, self.properties], shard, now)
            }
        }
    }

    #[inline]
    fn publish_with<D: Disk>(
        &self,
        properties: &[&[u8]],
        shard: &mut Shard<D>,
        now: Now,
    ) -> Answer<BlockNumber> {
        let life_ms = self.manner.life_ms;
        let message = NewMessage {
            queues: self.queues,
            properties,
            body: self.body,
            persistence: self.manner.persistence,
            priority: self.manner.priority,
            timestamp_ms: now.wall_ms,
            expires_ms: life_ms.map(|life_ms| now.wall_ms.saturating_add(life_ms)),
        };
        shard.publish(&message).map_err(refused)
    }

    /// The queues that would refuse it now.
    pub(crate) fn refused<D: Disk>(&self, shard: &Shard<D>) -> Vec<QueueId> {
        let (properties, body) = self.lengths();
        let refuses = |queue: &QueueId| shard.refuses(*queue, properties, body);
        self.queues.iter().copied().filter(refuses).collect()
    }

    /// Appends it for the queues that do not refuse it.
    pub(crate) fn publish_where_it_fits<D: Disk>(&self, shard: &mut Shard<D>, now: Now) -> Answer<Fitted> {
        let refused = self.refused(shard);
        let takes = |queue: &QueueId| !refused.contains(queue);
        let queues: Vec<_> = self.queues.iter().copied().filter(takes).collect();
        let block = if queues.is_empty() {
            None
        } else {
            let queues = &queues;
            Some(Stored { queues, ..*self }.publish(shard, now)?)
        };
        Ok(Fitted { block, refused })
    }

    /// Counts it among what a transaction brings.
    pub(crate) fn add_to(&self, size: &mut TransactionSize) {
        let (properties, body) = self.lengths();
        size.add_message(self.queues, properties, body);
    }

    /// Bytes that it takes in a block at least.
    pub(crate) fn bytes_min(&self) -> u64 {
        let (properties, body) = self.lengths();
        let bytes = properties + body + size_of_val(self.queues);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Bytes of all that stands before the body, and of the body.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        let properties = self.prefix.len() + self.address.len() + self.properties.len();
        (properties, self.body.iter().map(|part| part.len()).sum())
    }
}

fn refused(error: AppendError) -> AmqpError {
    match error {
        AppendError::TooLarge { bytes, limit } => too_large(bytes, limit),
        other => storage_failed(other),
    }
}

/// What is said of a message that can never be stored.
pub(crate) fn too_large(bytes: impl std::fmt::Display, limit: impl std::fmt::Display) -> AmqpError {
    precondition_failed(format_args!(
        "message size {bytes} is larger than configured max size {limit}"
    ))
}

fn no_short_string() -> AmqpError {
    AmqpError::connection(
        ReplyCode::SyntaxError,
        "exchange and routing key are short strings",
    )
}
