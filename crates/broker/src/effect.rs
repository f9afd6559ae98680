//! What the broker does to a client: deliveries, confirms, returns, cancellations.
//!
//! Invariants: everything borrows from the broker's buffers and is to be encoded during the call.

use crate::command::{Body, ChannelId, Extent};
use crate::errors::AmqpError;

/// Whether the session may go on reading from its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Continue,
    /// The store is full of unwritten messages: stop reading until woken, then look at [`Polled::flow`].
    Wait,
}

/// How much may be read from a client whose session was told to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reading {
    /// As much as there is.
    Freely,
    /// A little: it may begin to publish, and others wait until they may.
    Little,
    /// Nothing before another [`poll`](crate::Session::poll) says so: it publishes, and others wait until they may.
    AfterPoll,
}

/// How [`poll`](crate::Session::poll) ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Polled {
    /// There is more to send: call again when the socket has room, without waiting for the waker.
    pub more: bool,
    /// Whether the session may read from its client.
    pub flow: Flow,
}

/// Answer to a publish on a channel in confirm mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// The broker has taken responsibility for the message.
    Ack,
    /// The broker could not take the message.
    Nack,
}

/// A message on its way to a client: `basic.deliver`, or the content of `basic.get-ok`.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// The channel of the consumer.
    pub channel: ChannelId,
    /// Tag of the consumer; empty for `basic.get-ok`.
    pub consumer_tag: &'a str,
    /// The number with which the client acknowledges.
    pub delivery_tag: u64,
    /// Whether the message may have been delivered before.
    pub redelivered: bool,
    /// The exchange that it was published to.
    pub exchange: &'a [u8],
    /// The routing key that it was published with.
    pub routing_key: &'a [u8],
    /// Property flags and property list of the content header.
    pub properties: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

/// A mandatory message that reached no queue: `basic.return`, code 312.
#[derive(Clone, Debug)]
pub struct Returned<'a> {
    /// The channel that published it.
    pub channel: ChannelId,
    /// The exchange that it was published to.
    pub exchange: &'a [u8],
    /// The routing key that it was published with.
    pub routing_key: &'a [u8],
    /// Property flags and property list of the content header.
    pub properties: &'a [u8],
    /// The body, as it was given to the batch.
    pub body: Body<'a>,
}

/// Receives what [`poll`](crate::Session::poll) has for the client, in the order in which it has to be sent.
pub trait EffectSink {
    /// A publish, or with [`Extent::UpTo`] all publishes up to `tag`, got its answer.
    fn confirm(&mut self, channel: ChannelId, tag: u64, extent: Extent, outcome: Confirm);

    /// A message for a consumer. Returns how many bytes it put into the socket's buffer.
    fn deliver(&mut self, delivery: &Delivery<'_>) -> usize;

    /// Whether the client is told when the broker cancels a consumer.
    fn hears_of_cancellations(&self) -> bool;

    /// The broker cancelled a consumer: its queue went, or a delivery was not acknowledged in time.
    fn cancelled(&mut self, channel: ChannelId, consumer_tag: &str);

    /// The connection has to close.
    fn closed(&mut self, error: &AmqpError);
}
