//! Declarations, bindings, purges and deletions of a session: permissions, then the broker.

use std::sync::Arc;

use logpond_routing::ExchangeKind;
use logpond_store::disk::{Disk, Now};

use super::locked::Locked;
use super::{QueueDeclared, Session};
use crate::admin::{ALTERNATE_EXCHANGE, BindingRequest, Deletion, Endpoint, count, with_default_kind};
use crate::auth::{Action, Target};
use crate::command::{Binding, ChannelId, ExchangeDeclare, QueueDeclare, QueueDelete};
use crate::errors::{Answer, access_refused, not_found, storage_failed};
use crate::replies::REPLY_TO_PREFIX;
use crate::resource::{Resource, without_line_breaks};

/// What is to be done with a binding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Bind,
    Unbind,
}

impl<D: Disk> Session<D> {
    /// `exchange.declare`.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn exchange_declare(
        &mut self,
        channel: ChannelId,
        request: &ExchangeDeclare<'_>,
        now: Now,
    ) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            let name = without_line_breaks(request.name);
            let exchange = name.as_bytes();
            let alternate = request.arguments.get(ALTERNATE_EXCHANGE);
            let action = if request.passive {
                Action::DeclarePassively(Target::Exchange(exchange))
            } else {
                Action::DeclareExchange {
                    exchange,
                    alternate: alternate.and_then(|value| value.as_str_bytes()),
                }
            };
            if !exchange.is_empty() {
                session.authorise(action)?;
            }
            session.broker.declare_exchange(&session.core.vhost, request)
        })
    }

    /// `exchange.delete`; a missing one is no error.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn exchange_delete(
        &mut self,
        channel: ChannelId,
        name: &str,
        if_unused: bool,
        now: Now,
    ) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            let name = without_line_breaks(name);
            if !name.is_empty() {
                session.authorise(Action::DeleteExchange(name.as_bytes()))?;
            }
            session
                .broker
                .delete_exchange(&session.core.vhost, &name, if_unused)
        })
    }

    /// `exchange.bind`.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn exchange_bind(&mut self, channel: ChannelId, binding: &Binding<'_>, now: Now) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            session.change_exchange_binding(binding, Change::Bind)
        })
    }

    /// `exchange.unbind`; a missing binding is no error.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn exchange_unbind(&mut self, channel: ChannelId, binding: &Binding<'_>, now: Now) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            session.change_exchange_binding(binding, Change::Unbind)
        })
    }

    /// `queue.declare`.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn queue_declare(
        &mut self,
        channel: ChannelId,
        request: &QueueDeclare<'_>,
        now: Now,
    ) -> Answer<QueueDeclared> {
        self.on_channel(channel, now, |session| {
            let mut request = request.clone();
            let arguments = with_default_kind(&session.core.vhost, &request);
            if let Some(arguments) = &arguments {
                request.arguments = arguments;
            }
            let key = session.core.key;
            let declared =
                session
                    .broker
                    .declare_queue(&session.core.vhost, &request, Some(key), now, |name| {
                        if request.passive {
                            return session.authorise(Action::DeclarePassively(Target::Queue(name)));
                        }
                        let dead_letter = request.arguments.get("x-dead-letter-exchange");
                        session.authorise(Action::DeclareQueue {
                            queue: name,
                            dead_letter: dead_letter.and_then(|value| value.as_str_bytes()),
                        })
                    })?;
            session.core.channel(channel)?.last_queue = Arc::clone(&declared.name);
            Ok(declared)
        })
    }

    /// `queue.bind`.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn queue_bind(&mut self, channel: ChannelId, binding: &Binding<'_>, now: Now) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            session.change_queue_binding(channel, binding, Change::Bind)
        })
    }

    /// `queue.unbind`; a missing binding is no error.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn queue_unbind(&mut self, channel: ChannelId, binding: &Binding<'_>, now: Now) -> Answer<()> {
        self.on_channel(channel, now, |session| {
            session.change_queue_binding(channel, binding, Change::Unbind)
        })
    }

    /// `queue.purge`: how many messages went.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn queue_purge(&mut self, channel: ChannelId, queue: &str, now: Now) -> Answer<u32> {
        self.on_channel(channel, now, |session| {
            let queue = session.named_queue(channel, queue)?;
            session.authorise(Action::Purge(&queue))?;
            let vhost = Arc::clone(&session.core.vhost);
            let mut locked = Locked::new(&session.broker, &mut session.core, now);
            let key = locked.core.key;
            let (shard, state) = locked.guard.parts();
            let spec = session.broker.find_queue(&vhost, state, &queue, key)?;
            let (purged, block) = shard.purge(spec.id, now).map_err(storage_failed)?;
            locked.release(1, now);
            if spec.is_kept() {
                session.broker.wait_durable(block)?;
            }
            Ok(count(purged))
        })
    }

    /// `queue.delete`: how many messages went with it; a missing queue is no error.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn queue_delete(&mut self, channel: ChannelId, request: &QueueDelete<'_>, now: Now) -> Answer<u32> {
        self.on_channel(channel, now, |session| {
            let queue = session.named_queue(channel, request.name)?;
            session.authorise(Action::DeleteQueue(&queue))?;
            let deletion = Deletion {
                if_unused: request.if_unused,
                if_empty: request.if_empty,
            };
            let key = session.core.key;
            session
                .broker
                .delete_queue(&session.core.vhost, &queue, deletion, Some(key), now)
        })
    }

    /// The queue that a method names: an empty name means the one that the channel declared last.
    pub(super) fn named_queue(&mut self, channel: ChannelId, name: &str) -> Answer<Arc<str>> {
        if !name.is_empty() {
            return Ok(name.into());
        }
        let last = &self.core.channel(channel)?.last_queue;
        if last.is_empty() {
            return Err(not_found("previously declared queue"));
        }
        Ok(Arc::clone(last))
    }

    fn change_queue_binding(
        &mut self,
        channel: ChannelId,
        binding: &Binding<'_>,
        change: Change,
    ) -> Answer<()> {
        let source = without_line_breaks(binding.source);
        let queue = self.named_queue(channel, binding.destination)?;
        let queue = without_line_breaks(&queue);
        // With both names left out, the queue's name is the routing key, too.
        let shortcut = binding.destination.is_empty() && binding.routing_key.is_empty();
        let routing_key = if shortcut {
            queue.as_bytes()
        } else {
            binding.routing_key
        };
        if queue.starts_with(REPLY_TO_PREFIX) {
            return Err(access_refused(
                "cannot bind or unbind to a volatile (direct reply-to) queue",
            ));
        }
        if source.is_empty() {
            return Err(default_exchange());
        }
        self.authorise(Action::BindQueue {
            queue: &queue,
            exchange: source.as_bytes(),
        })?;
        self.authorise_topic(&source, routing_key)?;
        if change == Change::Bind && self.core.vhost.topology().exchange(source.as_bytes()).is_none() {
            let vhost = &self.core.vhost.name;
            return Err(not_found(Resource::exchange(source.as_bytes(), vhost)));
        }
        let found = {
            let mut guard = self.broker.store.lock();
            let (_, state) = guard.parts();
            self.broker
                .find_queue(&self.core.vhost, state, &queue, self.core.key)
        };
        let spec = match found {
            Err(error) if change == Change::Unbind && error.code == crate::ReplyCode::NotFound => {
                return Ok(());
            }
            found => found?,
        };
        let request = BindingRequest {
            source: &source,
            destination: Endpoint::Queue(spec),
            routing_key,
            arguments: binding.arguments,
        };
        self.change_binding(&request, change)
    }

    fn change_exchange_binding(&mut self, binding: &Binding<'_>, change: Change) -> Answer<()> {
        let (source, destination) = (
            without_line_breaks(binding.source),
            without_line_breaks(binding.destination),
        );
        if source.is_empty() || destination.is_empty() {
            return Err(default_exchange());
        }
        self.authorise(Action::BindExchange {
            destination: destination.as_bytes(),
            source: source.as_bytes(),
        })?;
        self.authorise_topic(&source, binding.routing_key)?;
        let request = BindingRequest {
            source: &source,
            destination: Endpoint::Exchange(&destination),
            routing_key: binding.routing_key,
            arguments: binding.arguments,
        };
        self.change_binding(&request, change)
    }

    /// Whether the user may bind with this key, if the exchange is a topic exchange.
    fn authorise_topic(&self, exchange: &str, key: &[u8]) -> Answer<()> {
        let exchange = exchange.as_bytes();
        let topology = self.core.vhost.topology();
        match topology.exchange(exchange) {
            Some(found) if found.spec().kind == ExchangeKind::Topic => {
                self.authorise(Action::BindTopic { exchange, key })
            }
            _ => Ok(()),
        }
    }

    fn change_binding(&mut self, request: &BindingRequest<'_>, change: Change) -> Answer<()> {
        match change {
            Change::Bind => self.broker.bind(&self.core.vhost, request),
            Change::Unbind => self.broker.unbind(&self.core.vhost, request),
        }
    }
}

fn default_exchange() -> crate::AmqpError {
    access_refused("operation not permitted on the default exchange")
}
