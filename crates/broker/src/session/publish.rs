//! `basic.publish`: the hot path from a parsed command into the block.
//!
//! Invariants:
//! - A body is copied once, into the block, however many queues it goes to.
//! - A returned message is handed out before its confirm can be.

use logpond_routing::ExchangeKind;
use logpond_store::disk::{Disk, Now};
use logpond_store::{AppendError, BlockNumber, NewMessage, Persistence, QueueId, Shard};

use super::channel::Mode;
use super::locked::Locked;
use super::reply::Answered;
use super::transaction::PendingPublish;
use super::{Body, authorise};
use crate::auth::Action;
use crate::command::Publish;
use crate::effect::{Confirm, Flow, Returned};
use crate::envelope;
use crate::errors::{
    AmqpError, Answer, ReplyCode, access_refused, not_found, precondition_failed, storage_failed,
};
use crate::limits::PROPERTIES_BYTES_MAX;
use crate::properties::{Properties, expiration_ms, expiration_problem};
use crate::resource::Resource;
use crate::table;

/// A message's queues and the properties that decide how it is stored.
pub(super) struct Address {
    pub queues: Vec<QueueId>,
    may_refuse: bool,
    persistence: Persistence,
    priority: u8,
    life_ms: Option<u64>,
}

impl Address {
    /// Appends a message of a transaction. A full queue that refuses it goes without.
    pub(super) fn publish<D: Disk>(
        &self,
        shard: &mut Shard<D>,
        publish: &PendingPublish,
        now: Now,
    ) -> Answer<()> {
        let stored = Stored {
            queues: &self.queues,
            persistence: self.persistence,
            priority: self.priority,
            life_ms: self.life_ms,
            exchange: &publish.exchange,
            routing_key: &publish.routing_key,
            properties: &publish.properties,
            body: &[&publish.body],
        };
        if self.may_refuse {
            return stored.publish_where_it_fits(shard, now).map(drop);
        }
        stored.publish(shard, now).map(drop)
    }

    /// Bytes that it takes in the journal.
    pub(super) fn bytes<D: Disk>(&self, publish: &PendingPublish) -> u64 {
        let properties = 2 + publish.exchange.len() + publish.routing_key.len() + publish.properties.len();
        Shard::<D>::message_bytes(self.queues.len(), properties, publish.body.len())
    }
}

/// A message as it goes into the journal.
struct Stored<'a> {
    queues: &'a [QueueId],
    persistence: Persistence,
    priority: u8,
    /// How long it lives, from now on.
    life_ms: Option<u64>,
    exchange: &'a [u8],
    routing_key: &'a [u8],
    properties: &'a [u8],
    body: &'a [&'a [u8]],
}

impl Stored<'_> {
    fn publish<D: Disk>(&self, shard: &mut Shard<D>, now: Now) -> Answer<BlockNumber> {
        let (exchange_len, key_len) = envelope::lengths(self.exchange, self.routing_key)
            .ok_or_else(|| syntax_error("exchange and routing key are short strings"))?;
        let message = NewMessage {
            queues: self.queues,
            properties: &[
                &exchange_len,
                self.exchange,
                &key_len,
                self.routing_key,
                self.properties,
            ],
            body: self.body,
            persistence: self.persistence,
            priority: self.priority,
            timestamp_ms: now.wall_ms,
            expires_ms: self.life_ms.map(|life_ms| now.wall_ms.saturating_add(life_ms)),
        };
        shard.publish(&message).map_err(refused)
    }

    /// Leaves out the queues that refuse it: its block, unless all do, and what the publisher is told.
    fn publish_where_it_fits<D: Disk>(
        &self,
        shard: &mut Shard<D>,
        now: Now,
    ) -> Answer<(Option<BlockNumber>, Confirm)> {
        let properties = 2 + self.exchange.len() + self.routing_key.len() + self.properties.len();
        let body = self.body.iter().map(|part| part.len()).sum();
        let takes = |queue: &&QueueId| !shard.refuses(**queue, properties, body);
        let queues: Vec<QueueId> = self.queues.iter().filter(takes).copied().collect();
        let answer = if queues.len() == self.queues.len() {
            Confirm::Ack
        } else {
            Confirm::Nack
        };
        if queues.is_empty() {
            return Ok((None, answer));
        }
        let queues = &queues;
        let block = Stored { queues, ..*self }.publish(shard, now)?;
        Ok((Some(block), answer))
    }
}

impl<D: Disk> Locked<'_, D> {
    /// Applies one publish.
    pub(super) fn publish(
        &mut self,
        publish: &Publish<'_>,
        parts: &[&[u8]],
        now: Now,
        returned: &mut impl FnMut(&Returned<'_>),
    ) -> Answer<()> {
        if self.core.channels.get(publish.channel).is_none() {
            // The channel failed earlier in this batch.
            return Ok(());
        }
        if publish.immediate {
            return Err(AmqpError::not_implemented("immediate=true"));
        }
        let whole;
        let body = match &publish.body {
            Body::Whole(bytes) => {
                whole = [*bytes];
                &whole[..]
            }
            Body::Parts(range) => parts.get(range.clone()).unwrap_or_default(),
        };
        self.check_size(body)?;
        let properties = parse(publish.properties)?;
        let further = properties.headers.map(table::further_keys).transpose();
        let keys = further.as_ref().ok().and_then(Option::as_ref);
        let keys = keys.map_or(&[][..], |further| &further.keys);
        let at = self.route(publish.exchange, publish.routing_key, keys, publish.properties)?;
        let named = self.with_reply_name(publish, &properties)?;
        self.check_properties(&properties)?;
        let further =
            further.map_err(|problem| precondition_failed(format_args!("invalid message: {problem}")))?;
        let further = further.unwrap_or_default();
        let shown;
        let raw_properties: &[u8] = match properties.headers {
            Some(headers) if further.has_hidden => {
                // The name for replies stands behind the headers, so their place is the same.
                shown = properties.with_headers(&named, &table::without_hidden(headers));
                &shown
            }
            _ => &named,
        };
        let core = &mut *self.core;
        let Some(channel) = core.channels.get_mut(publish.channel) else {
            return Ok(());
        };
        if let Mode::Transactional(transaction) = &mut channel.mode {
            return transaction.add(PendingPublish {
                exchange: publish.exchange.into(),
                routing_key: publish.routing_key.into(),
                further_keys: further.keys.into_iter().map(Box::from).collect(),
                mandatory: publish.mandatory,
                properties: raw_properties.into(),
                body: body.concat().into(),
            });
        }
        // Replies are for names that are no queue's.
        let may_be_reply = core.routes.route(at).queues.is_empty() || !further.keys.is_empty();
        let is_reply = may_be_reply
            && publish.exchange.is_empty()
            && self.reply(Answered {
                routing_key: publish.routing_key,
                further_keys: &further.keys,
                properties: raw_properties,
                body,
            });
        let (shard, _) = self.guard.parts();
        let core = &mut *self.core;
        let Some(channel) = core.channels.get_mut(publish.channel) else {
            return Ok(());
        };
        let route = core.routes.route(at);
        let (block, answer) = if route.queues.is_empty() {
            if publish.mandatory && !is_reply {
                returned(&Returned {
                    channel: publish.channel,
                    exchange: publish.exchange,
                    routing_key: publish.routing_key,
                    properties: raw_properties,
                    body: publish.body.clone(),
                });
            }
            (None, Confirm::Ack)
        } else {
            let stored = Stored {
                queues: &route.queues,
                persistence: persistence(&properties, route.durable),
                priority: properties.priority.unwrap_or(0),
                life_ms: properties.expiration.and_then(expiration_ms),
                exchange: publish.exchange,
                routing_key: publish.routing_key,
                properties: raw_properties,
                body,
            };
            if route.may_refuse {
                stored.publish_where_it_fits(shard, now)?
            } else {
                (Some(stored.publish(shard, now)?), Confirm::Ack)
            }
        };
        if let Mode::Confirm(confirms) = &mut channel.mode {
            // Poll registers the session to be woken; here would be once per message.
            if confirms.is_empty() {
                core.unconfirmed.push(publish.channel);
            }
            confirms.expect(block, answer);
        }
        Ok(())
    }

    /// Finds queues and persistence for a message of a transaction.
    pub(super) fn address(&mut self, publish: &PendingPublish) -> Answer<Address> {
        let properties = parse(&publish.properties)?;
        let further = publish.further_keys();
        let at = self.route(
            &publish.exchange,
            &publish.routing_key,
            &further,
            &publish.properties,
        )?;
        let route = self.core.routes.route(at);
        Ok(Address {
            queues: route.queues.clone(),
            may_refuse: route.may_refuse,
            persistence: persistence(&properties, route.durable),
            priority: properties.priority.unwrap_or(0),
            life_ms: properties.expiration.and_then(expiration_ms),
        })
    }

    /// Says whether the session may go on reading, and has it woken when it may again. Who never published may always.
    pub(super) fn ask_for_room(&mut self) -> Flow {
        let key = self.core.key;
        let (shard, state) = self.guard.parts();
        if !self.core.has_published || shard.has_room() {
            return Flow::Continue;
        }
        state.await_room(key);
        Flow::Wait
    }

    /// The place of the route in the cache, found and authorised if it is new.
    fn route(&mut self, exchange: &[u8], key: &[u8], further: &[&[u8]], properties: &[u8]) -> Answer<usize> {
        if further.is_empty()
            && let Some(at) = self.core.routes.recall(exchange, key)
        {
            return Ok(at);
        }
        authorise(self.broker, self.core, Action::Publish(exchange))?;
        let vhost = &self.core.vhost.name;
        let found = self
            .topology
            .exchange(exchange)
            .ok_or_else(|| not_found(Resource::exchange(exchange, vhost)))?;
        if found.spec().internal {
            let resource = Resource::exchange(exchange, vhost);
            return Err(access_refused(format_args!(
                "cannot publish to internal {resource}"
            )));
        }
        if found.spec().kind == ExchangeKind::Topic {
            for key in std::iter::once(&key).chain(further) {
                authorise(self.broker, self.core, Action::PublishTopic { exchange, key })?;
            }
        }
        let (_, state) = self.guard.parts();
        self.core
            .routes
            .find(&self.topology, exchange, key, further, properties, &state.queues)
            .map_err(|_| not_found(Resource::exchange(exchange, vhost)))
    }

    fn check_size(&self, body: &[&[u8]]) -> Answer<()> {
        let bytes = body.iter().map(|part| part.len()).sum::<usize>();
        let limit = self.broker.options.message_bytes_max;
        if u64::try_from(bytes).is_ok_and(|bytes| bytes <= limit) {
            return Ok(());
        }
        Err(too_large(bytes, limit))
    }

    fn check_properties(&self, properties: &Properties<'_>) -> Answer<()> {
        if let Some(problem) = properties.expiration.and_then(expiration_problem) {
            return Err(precondition_failed(problem));
        }
        if let Some(user) = properties.user_id
            && user != self.core.login.user().as_bytes()
            && !self.core.login.may_impersonate()
        {
            return Err(precondition_failed(format_args!(
                "user_id property set to '{}' but authenticated user was '{}'",
                String::from_utf8_lossy(user),
                self.core.login.user()
            )));
        }
        Ok(())
    }
}

fn parse(raw: &[u8]) -> Answer<Properties<'_>> {
    if raw.len() > PROPERTIES_BYTES_MAX {
        return Err(too_large(raw.len(), PROPERTIES_BYTES_MAX));
    }
    Properties::parse(raw).map_err(|_| syntax_error("malformed message properties"))
}

fn persistence(properties: &Properties<'_>, durable: bool) -> Persistence {
    if durable && properties.is_persistent() {
        Persistence::Persistent
    } else {
        Persistence::Transient
    }
}

fn refused(error: AppendError) -> AmqpError {
    match error {
        AppendError::TooLarge { bytes, limit } => too_large(bytes, limit),
        other => storage_failed(other),
    }
}

fn too_large(bytes: impl std::fmt::Display, limit: impl std::fmt::Display) -> AmqpError {
    precondition_failed(format_args!(
        "message size {bytes} is larger than configured max size {limit}"
    ))
}

fn syntax_error(text: &str) -> AmqpError {
    AmqpError::connection(ReplyCode::SyntaxError, text)
}
