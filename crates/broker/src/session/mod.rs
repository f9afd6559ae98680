//! One client connection's view of the broker.

use std::sync::Arc;

use logpond_store::disk::{Disk, Now};

use crate::broker::Broker;
use crate::command::{Binding, ChannelId, Command, Consume, ExchangeDeclare, Qos, QueueDeclare, QueueDelete};
use crate::effect::{Delivery, EffectSink, Flow, Polled, Returned};
use crate::errors::{AmqpError, ReplyCode};

/// Answer to `queue.declare`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDeclared {
    /// The queue's name, chosen by the broker if none was asked for.
    pub name: Arc<str>,
    /// Messages ready for delivery.
    pub message_count: u32,
    /// Consumers.
    pub consumer_count: u32,
}

/// One connection to one virtual host; owned by the connection's task. Dropping it is an unclean close.
pub struct Session<D: Disk> {
    broker: Arc<Broker<D>>,
}

type Answer<T> = Result<T, AmqpError>;

fn later<T>() -> Answer<T> {
    Err(AmqpError::connection(ReplyCode::NotImplemented, "not yet"))
}

impl<D: Disk> Session<D> {
    /// `channel.open`.
    ///
    /// # Errors
    /// 504 when it is open already.
    pub fn open_channel(&mut self, _channel: ChannelId) -> Answer<()> {
        let _ = &self.broker;
        later()
    }

    /// `channel.close`: what is unacknowledged goes back, consumers end. Also right for a channel that failed.
    pub fn close_channel(&mut self, _channel: ChannelId, _now: Now) {}

    /// Applies a batch of commands in order, under one lock. `parts` are the slices that [`Body::Parts`]
    /// refers to. `returned` is called for each mandatory message without a queue, `failed` for a channel or
    /// connection error; after one, later commands of that channel are ignored and the channel counts as closed.
    ///
    /// [`Body::Parts`]: crate::Body::Parts
    pub fn apply(
        &mut self,
        _commands: &[Command<'_>],
        _parts: &[&[u8]],
        _now: Now,
        _returned: &mut impl FnMut(&Returned<'_>),
        _failed: &mut impl FnMut(ChannelId, AmqpError),
    ) -> Flow {
        Flow::Continue
    }

    /// Hands over what is due: confirms, deliveries, cancellations; stops after about `bytes_max` bytes.
    pub fn poll(&mut self, _bytes_max: usize, _sink: &mut impl EffectSink, _now: Now) -> Polled {
        Polled {
            more: false,
            flow: Flow::Continue,
        }
    }

    /// `exchange.declare`.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn exchange_declare(&mut self, _: ChannelId, _: &ExchangeDeclare<'_>, _: Now) -> Answer<()> {
        later()
    }

    /// `exchange.delete`.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn exchange_delete(
        &mut self,
        _channel: ChannelId,
        _name: &str,
        _if_unused: bool,
        _now: Now,
    ) -> Answer<()> {
        later()
    }

    /// `exchange.bind`.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn exchange_bind(&mut self, _: ChannelId, _: &Binding<'_>, _: Now) -> Answer<()> {
        later()
    }

    /// `exchange.unbind`.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn exchange_unbind(&mut self, _: ChannelId, _: &Binding<'_>, _: Now) -> Answer<()> {
        later()
    }

    /// `queue.declare`.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn queue_declare(&mut self, _: ChannelId, _: &QueueDeclare<'_>, _: Now) -> Answer<QueueDeclared> {
        later()
    }

    /// `queue.bind`.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn queue_bind(&mut self, _: ChannelId, _: &Binding<'_>, _: Now) -> Answer<()> {
        later()
    }

    /// `queue.unbind`.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn queue_unbind(&mut self, _: ChannelId, _: &Binding<'_>, _: Now) -> Answer<()> {
        later()
    }

    /// `queue.purge`: how many messages went.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn queue_purge(&mut self, _: ChannelId, _queue: &str, _: Now) -> Answer<u32> {
        later()
    }

    /// `queue.delete`: how many messages went with it.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn queue_delete(&mut self, _: ChannelId, _: &QueueDelete<'_>, _: Now) -> Answer<u32> {
        later()
    }

    /// `basic.consume`: the consumer's tag. Deliveries come through [`Session::poll`] only.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn consume(&mut self, _: ChannelId, _: &Consume<'_>, _: Now) -> Answer<Arc<str>> {
        later()
    }

    /// `basic.cancel`; an unknown tag is no error.
    ///
    /// # Errors
    /// 504 when the channel is not open.
    pub fn cancel(&mut self, _: ChannelId, _tag: &str, _: Now) -> Answer<()> {
        later()
    }

    /// `basic.get`: calls `deliver` with the message and the number of messages that remain ready, and says
    /// whether there was one.
    ///
    /// # Errors
    /// Those of RabbitMQ.
    pub fn get(
        &mut self,
        _channel: ChannelId,
        _queue: &str,
        _no_ack: bool,
        _now: Now,
        _deliver: &mut impl FnMut(&Delivery<'_>, u32),
    ) -> Answer<bool> {
        later()
    }

    /// `basic.qos`.
    ///
    /// # Errors
    /// 540 for a prefetch size.
    pub fn qos(&mut self, _: ChannelId, _: Qos) -> Answer<()> {
        later()
    }

    /// `basic.recover` and `basic.recover-async`.
    ///
    /// # Errors
    /// 540 for `requeue=false`.
    pub fn recover(&mut self, _: ChannelId, _requeue: bool, _: Now) -> Answer<()> {
        later()
    }

    /// `confirm.select`.
    ///
    /// # Errors
    /// 406 on a transactional channel.
    pub fn confirm_select(&mut self, _: ChannelId) -> Answer<()> {
        later()
    }

    /// `tx.select`.
    ///
    /// # Errors
    /// 406 on a channel in confirm mode.
    pub fn tx_select(&mut self, _: ChannelId) -> Answer<()> {
        later()
    }

    /// `tx.commit`: returns when everything is durable. `returned` gets mandatory messages without a queue;
    /// send them before commit-ok.
    ///
    /// # Errors
    /// 406 when the channel is not transactional.
    pub fn tx_commit(
        &mut self,
        _channel: ChannelId,
        _now: Now,
        _returned: &mut impl FnMut(&Returned<'_>),
    ) -> Answer<()> {
        later()
    }

    /// `tx.rollback`.
    ///
    /// # Errors
    /// 406 when the channel is not transactional.
    pub fn tx_rollback(&mut self, _: ChannelId, _: Now) -> Answer<()> {
        later()
    }

    /// `connection.close`: everything unacknowledged goes back, exclusive queues go. Dropping does the same.
    pub fn close(self, _now: Now) {}
}
