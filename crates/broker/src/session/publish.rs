//! `basic.publish`: the hot path from a parsed command into the block.
//!
//! Invariants:
//! - A returned message is handed out before its confirm can be.

use logpond_routing::ExchangeKind;
use logpond_store::disk::{Disk, Now};
use logpond_store::{BlockNumber, QueueId};

use super::channel::Mode;
use super::locked::Locked;
use super::reply::Answered;
use super::transaction::PendingPublish;
use super::{Body, authorise};
use crate::auth::Action;
use crate::command::{ChannelId, Publish};
use crate::dead_letter::Letter;
use crate::effect::{Confirm, Flow, Returned};
use crate::envelope;
use crate::errors::{AmqpError, Answer, ReplyCode, access_refused, not_found, precondition_failed};
use crate::limits::PROPERTIES_BYTES_MAX;
use crate::past::Past;
use crate::properties::{Malformed, Properties, expiration_problem};
use crate::resource::Resource;
use crate::room_line::Asker;
use crate::routes::Chosen;
use crate::state::BrokerState;
use crate::stored::{self, Manner, Stored, too_large};
use crate::table::{self, FurtherKeys};

/// A message's queues and the properties that decide how it is stored.
pub(super) struct Address {
    pub queues: Vec<QueueId>,
    /// Where it waits, of exchanges that put it off.
    pub delays: Vec<QueueId>,
    manner: Manner,
    manner_of_waiting: Manner,
}

impl Address {
    /// Queues, and those in which it waits.
    pub(super) fn len(&self) -> usize {
        self.queues.len() + self.delays.len()
    }

    /// Keeps those that have not been deleted meanwhile.
    pub(super) fn keep_existing(&mut self, state: &BrokerState) {
        self.queues.retain(|id| state.queues.contains_key(id));
        self.delays.retain(|id| state.delays.contains_key(id));
    }

    /// A message of a transaction.
    pub(super) fn stored<'a>(&'a self, publish: &'a PendingPublish, body: &'a [&'a [u8]]) -> Stored<'a> {
        Stored {
            queues: &self.queues,
            manner: self.manner,
            prefix: &publish.prefix,
            address: stored::Address::Parts {
                exchange: &publish.exchange,
                routing_key: &publish.routing_key,
            },
            properties: &publish.properties,
            body,
        }
    }

    /// A message of a transaction, as it waits.
    pub(super) fn waiting<'a>(&'a self, publish: &'a PendingPublish, body: &'a [&'a [u8]]) -> Stored<'a> {
        Stored {
            queues: &self.delays,
            manner: self.manner_of_waiting,
            ..self.stored(publish, body)
        }
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
        let Some(channel) = self.core.channels.get(publish.channel) else {
            // The channel failed earlier in this batch.
            return Ok(());
        };
        let is_transactional = matches!(channel.mode, Mode::Transactional(_));
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
        check_length(publish.properties)?;
        // Looked at where they are: to move what was just read costs as much as to read it.
        let properties = Properties::parse(publish.properties);
        let properties = properties.as_ref().map_err(malformed)?;
        let further = properties
            .headers
            .map_or_else(|| Ok(FurtherKeys::default()), table::further_keys);
        let keys = further.as_ref().map_or(&[][..], |further| &further.keys);
        let chosen = self.route(publish.exchange, publish.routing_key, keys, publish.properties)?;
        let named = self.with_reply_name(publish, properties)?;
        self.check_properties(properties)?;
        let further =
            further.map_err(|problem| precondition_failed(format_args!("invalid message: {problem}")))?;
        let (shown, prefix);
        let (raw_properties, prefix): (&[u8], &[u8]) = match properties.headers {
            Some(headers) if further.has_hidden => {
                // The name for replies stands behind the headers, so their place is the same.
                shown = properties.with_headers(&named, &table::without_hidden(headers));
                prefix = hiding(&further);
                (&shown, &prefix)
            }
            _ => (&named, &[]),
        };
        if is_transactional {
            let address = self.address(chosen, properties);
            return self.collect(
                publish.channel,
                PendingPublish {
                    exchange: publish.exchange.into(),
                    routing_key: publish.routing_key.into(),
                    shown_keys: further.shown,
                    further_keys: further.keys.into_iter().map(Box::from).collect(),
                    mandatory: publish.mandatory,
                    prefix: prefix.into(),
                    properties: raw_properties.into(),
                    body: body.concat().into(),
                    address,
                },
            );
        }
        // Replies are for names that are no queue's.
        let is_reply = publish.exchange.is_empty()
            && (self.core.routes.route(chosen).queues.is_empty() || !further.keys.is_empty())
            && self.reply(Answered {
                routing_key: publish.routing_key,
                further_keys: &further.keys,
                properties: raw_properties,
                body,
            });
        let (shard, state) = self.guard.parts();
        let route = self.core.routes.route(chosen);
        let stored = Stored {
            queues: route.queues,
            manner: Manner::of(properties, route.durable),
            prefix,
            address: route.address.map_or(
                stored::Address::Parts {
                    exchange: publish.exchange,
                    routing_key: publish.routing_key,
                },
                stored::Address::Encoded,
            ),
            properties: raw_properties,
            body,
        };
        let mut waits = None;
        if !route.delays.is_empty() {
            let waiting = Stored {
                queues: route.delays,
                manner: Manner::while_delayed(properties, state.delays_durably(route.delays)),
                ..stored
            };
            waits = Some(waiting.publish(shard, now)?);
        }
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
            if route.is_limited {
                let (properties, body) = stored.lengths();
                state.tell_awaited(shard, route.queues, properties, body);
            }
            if route.may_refuse {
                let fitted = stored.publish_where_it_fits(shard, now)?;
                if fitted.refused.is_empty() {
                    (fitted.block, Confirm::Ack)
                } else {
                    let (exchange, key) = (publish.exchange, publish.routing_key);
                    let letter = || Letter::published(exchange, key, &further, raw_properties);
                    self.pass_on(letter, body, &fitted.refused)?;
                    (fitted.block, Confirm::Nack)
                }
            } else {
                (Some(stored.publish(shard, now)?), Confirm::Ack)
            }
        };
        let core = &mut *self.core;
        let Some(channel) = core.channels.get_mut(publish.channel) else {
            return Ok(());
        };
        if let Mode::Confirm(confirms) = &mut channel.mode {
            // Poll registers the session to be woken; here would be once per message.
            if confirms.is_empty() {
                core.unconfirmed.push(publish.channel);
            }
            confirms.expect(block.max(waits), answer);
        }
        Ok(())
    }

    /// What full queues refused goes on, where they pass it on; in this block, if there is anything.
    pub(super) fn pass_on(
        &mut self,
        letter: impl FnOnce() -> Letter,
        body: &[&[u8]],
        refused: &[QueueId],
    ) -> Answer<Option<BlockNumber>> {
        let (shard, state) = self.guard.parts();
        let passing = state.passing_on(refused);
        if passing.is_empty() {
            return Ok(None);
        }
        let passed = state.pass_on(shard, &self.topology, &letter(), body, &passing, self.now)?;
        self.settled += passed.letters;
        Ok(passed.block)
    }

    /// Queues and persistence of a message of a transaction.
    fn address(&mut self, chosen: Chosen, properties: &Properties<'_>) -> Address {
        let route = self.core.routes.route(chosen);
        let (_, state) = self.guard.parts();
        Address {
            queues: route.queues.to_vec(),
            delays: route.delays.to_vec(),
            manner: Manner::of(properties, route.durable),
            manner_of_waiting: Manner::while_delayed(properties, state.delays_durably(route.delays)),
        }
    }

    /// Adds a message to the transaction of its channel.
    fn collect(&mut self, channel: ChannelId, pending: PendingPublish) -> Answer<()> {
        match self
            .core
            .channels
            .get_mut(channel)
            .map(|channel| &mut channel.mode)
        {
            Some(Mode::Transactional(transaction)) => transaction.add(pending),
            _ => Ok(()),
        }
    }

    /// Says whether the session may go on reading, and has it woken when it may again. Who never published may always.
    pub(super) fn ask_for_room(&mut self, asker: Asker) -> Flow {
        let key = self.core.key;
        let (shard, state) = self.guard.parts();
        if !self.core.has_published || state.ask_for_room(key, asker, shard.has_room()) {
            Flow::Continue
        } else {
            Flow::Wait
        }
    }

    /// The route, found and authorised if it is new.
    #[inline]
    fn route(&mut self, exchange: &[u8], key: &[u8], further: &[&[u8]], properties: &[u8]) -> Answer<Chosen> {
        if further.is_empty()
            && let Some(chosen) = self.core.routes.recall(exchange, key)
        {
            return Ok(chosen);
        }
        self.new_route(exchange, key, further, properties)
    }

    fn new_route(
        &mut self,
        exchange: &[u8],
        key: &[u8],
        further: &[&[u8]],
        properties: &[u8],
    ) -> Answer<Chosen> {
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

/// What remembers the keys that nobody may see.
fn hiding(further: &FurtherKeys<'_>) -> Vec<u8> {
    let (shown, hidden) = further.keys.split_at(further.shown);
    envelope::prefix(&Past {
        has_died: false,
        shown: shown.to_vec(),
        hidden: hidden.to_vec(),
    })
}

fn check_length(raw_properties: &[u8]) -> Answer<()> {
    if raw_properties.len() > PROPERTIES_BYTES_MAX {
        return Err(too_large(raw_properties.len(), PROPERTIES_BYTES_MAX));
    }
    Ok(())
}

fn malformed(_: &Malformed) -> AmqpError {
    syntax_error("malformed message properties")
}

fn syntax_error(text: &str) -> AmqpError {
    AmqpError::connection(ReplyCode::SyntaxError, text)
}
