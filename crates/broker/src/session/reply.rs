//! Direct reply-to in a session: consuming from `amq.rabbitmq.reply-to`, asking, answering, delivering.
//!
//! Invariants:
//! - A channel has at most one consumer of replies.
//! - A question leaves with the consumer's own name in place of the pseudo-queue's.
//!
//! Elsewhere: the table of names and what waits for a session (`replies`).

use std::borrow::Cow;
use std::sync::Arc;

use logpond_store::disk::{Disk, Now};

use super::Session;
use super::channel::Channel;
use super::locked::Locked;
use crate::command::{ChannelId, Consume, Publish};
use crate::effect::{Delivery, EffectSink};
use crate::errors::{AmqpError, Answer, ReplyCode, precondition_failed};
use crate::properties::Properties;
use crate::replies::{REPLY_TO, REPLY_TO_PREFIX, Reply, ReplyConsumer, is_reply_name};

/// A channel's consumer of replies.
pub(super) struct ReplyTo {
    pub name: Arc<str>,
    pub tag: Arc<str>,
}

impl<D: Disk> Session<D> {
    /// `basic.consume` of the pseudo-queue. Needs no permission: nobody else's messages can come through it.
    pub(super) fn start_reply_consumer(
        &mut self,
        channel: ChannelId,
        request: &Consume<'_>,
        now: Now,
    ) -> Answer<Arc<str>> {
        let open = self.core.channel(channel)?;
        if open.has_consumer(request.tag) {
            let text = format_args!("attempt to reuse consumer tag '{}'", request.tag);
            return Err(AmqpError::connection(ReplyCode::NotAllowed, text));
        }
        if !request.no_ack {
            return Err(precondition_failed("reply consumer cannot acknowledge"));
        }
        if open.reply_to.is_some() {
            return Err(precondition_failed("reply consumer already set"));
        }
        let tag: Arc<str> = match request.tag {
            "" => self.broker.unique_name("amq.ctag-").into(),
            tag => tag.into(),
        };
        let name: Arc<str> = self.broker.unique_name(REPLY_TO_PREFIX).into();
        let consumer = ReplyConsumer {
            session: self.core.key,
            channel,
            vhost: Arc::clone(&self.core.vhost.name),
        };
        self.core.channel(channel)?.reply_to = Some(ReplyTo {
            name: Arc::clone(&name),
            tag: Arc::clone(&tag),
        });
        let mut locked = Locked::new(&self.broker, &mut self.core, now);
        locked.state().reply_consumers.insert(name, consumer);
        locked.release(0, now);
        Ok(tag)
    }

    /// Hands replies over until about `bytes_max` bytes are written.
    pub(super) fn encode_replies(
        &mut self,
        bytes_max: usize,
        written: &mut usize,
        sink: &mut impl EffectSink,
    ) {
        while *written < bytes_max
            && let Some(reply) = self.core.inbox.replies.pop()
        {
            let Some(open) = self.core.channels.get_mut(reply.channel) else {
                continue;
            };
            // Another consumer may have come since, or none.
            let Some(tag) = open.reply_tag(&reply.name) else {
                continue;
            };
            *written += sink.deliver(&Delivery {
                channel: reply.channel,
                consumer_tag: &tag,
                delivery_tag: open.take_delivery_tag(),
                redelivered: false,
                exchange: b"",
                routing_key: &reply.routing_key,
                properties: reply.properties(),
                body: reply.body(),
            });
        }
    }
}

impl Channel {
    /// Whether a consumer of this tag exists.
    pub(super) fn has_consumer(&self, tag: &str) -> bool {
        self.consumers.contains_key(tag)
            || self
                .reply_to
                .as_ref()
                .is_some_and(|reply_to| *reply_to.tag == *tag)
    }

    fn reply_tag(&self, name: &str) -> Option<Arc<str>> {
        let reply_to = self.reply_to.as_ref()?;
        (*reply_to.name == *name).then(|| Arc::clone(&reply_to.tag))
    }
}

/// A message to the default exchange that may be a reply.
#[derive(Clone, Copy)]
pub(super) struct Answered<'a> {
    pub routing_key: &'a [u8],
    pub further_keys: &'a [&'a [u8]],
    pub properties: &'a [u8],
    pub body: &'a [&'a [u8]],
}

impl<D: Disk> Locked<'_, D> {
    /// The properties of a message, with the consumer's name in place of the pseudo-queue's in `reply-to`.
    pub(super) fn with_reply_name<'a>(
        &self,
        publish: &Publish<'a>,
        properties: &Properties<'_>,
    ) -> Answer<Cow<'a, [u8]>> {
        if properties.reply_to != Some(REPLY_TO.as_bytes()) {
            return Ok(Cow::Borrowed(publish.properties));
        }
        let channel = self.core.channels.get(publish.channel);
        let reply_to = channel
            .and_then(|channel| channel.reply_to.as_ref())
            .ok_or_else(|| precondition_failed("fast reply consumer does not exist"))?;
        Ok(Cow::Owned(
            properties.with_reply_to(publish.properties, &reply_to.name),
        ))
    }

    /// Sends the message to the consumers of replies among its keys. True if a key names one, also one that went: as in
    /// RabbitMQ such a message is dropped, and does not count as unroutable.
    pub(super) fn reply(&mut self, message: Answered<'_>) -> bool {
        let mut is_reply = false;
        let keys = std::iter::once(message.routing_key).chain(message.further_keys.iter().copied());
        for (at, key) in keys.enumerate() {
            if !is_reply_name(key) {
                continue;
            }
            is_reply = true;
            let is_again =
                at > 0 && (key == message.routing_key || message.further_keys[..at - 1].contains(&key));
            if !is_again {
                self.reply_to(key, &message);
            }
        }
        is_reply
    }

    fn reply_to(&mut self, name: &[u8], message: &Answered<'_>) {
        let (_, state) = self.guard.parts();
        let Some((name, consumer)) = state.reply_consumers.find(&self.core.vhost.name, name) else {
            return;
        };
        let Some(session) = state.sessions.get_mut(consumer.session) else {
            return;
        };
        let reply = Reply::new(
            consumer.channel,
            Arc::clone(name),
            message.routing_key,
            message.properties,
            message.body,
        );
        if session.replies.push(reply) {
            session.wake(&mut state.wakers);
        }
    }

    /// Forgets a consumer of replies.
    pub(super) fn end_reply_consumer(&mut self, reply_to: &ReplyTo) {
        self.state().reply_consumers.remove(&reply_to.name);
    }
}
