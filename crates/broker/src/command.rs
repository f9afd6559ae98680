//! What a client asks for: the hot-path commands that travel in batches, and the requests that are answered one by one.
//!
//! Invariants: everything borrows from the caller's buffers; nothing here is kept after the call.

use std::fmt;
use std::ops::Range;

use logpond_routing::Arguments;

/// Number of a channel within its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(u16);

impl ChannelId {
    /// The channel with this number; zero is the connection itself and never has commands.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Whether an acknowledgement covers everything up to its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Only the message with the tag.
    One,
    /// All outstanding messages up to and including the tag; tag zero means all of them.
    UpTo,
}

impl Extent {
    /// From the `multiple` bit of the wire.
    pub fn from_multiple(multiple: bool) -> Self {
        if multiple { Self::UpTo } else { Self::One }
    }

    /// As the `multiple` bit of the wire.
    pub fn is_multiple(self) -> bool {
        self == Self::UpTo
    }
}

/// What happens to a message that a consumer gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveBack {
    /// It returns to its original place in the queue.
    Requeue,
    /// It returns, too, and somebody has failed with it: a quorum queue counts that.
    Fail,
    /// It leaves the queue.
    Drop,
}

impl GiveBack {
    /// From the `requeue` bit of `basic.nack`.
    pub fn from_nack(requeue: bool) -> Self {
        if requeue { Self::Requeue } else { Self::Drop }
    }

    /// From the `requeue` bit of `basic.reject`, which says that the consumer has failed.
    pub fn from_reject(requeue: bool) -> Self {
        if requeue { Self::Fail } else { Self::Drop }
    }
}

/// The body of a published message.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// One slice (also the empty body).
    Whole(&'a [u8]),
    /// These elements of the `parts` that accompany the batch, one after the other.
    Parts(Range<usize>),
}

/// `basic.publish` with its content.
#[derive(Clone, Debug)]
pub struct Publish<'a> {
    /// The channel that publishes.
    pub channel: ChannelId,
    /// Name of the exchange; empty for the default exchange.
    pub exchange: &'a [u8],
    /// The routing key.
    pub routing_key: &'a [u8],
    /// Whether the message is to be returned when it reaches no queue.
    pub mandatory: bool,
    /// Refused with 540 when set.
    pub immediate: bool,
    /// Property flags and property list of the content header, as they came.
    pub properties: &'a [u8],
    /// The body.
    pub body: Body<'a>,
}

/// Which part of what a client has sent a batch of commands is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Portion {
    /// Nothing more is at hand: the session may write what it brings to the log itself.
    Last,
    /// More follow at once.
    MoreFollow,
}

/// A command of the hot path.
#[derive(Clone, Debug)]
pub enum Command<'a> {
    /// `basic.publish`.
    Publish(Publish<'a>),
    /// `basic.ack`.
    Ack {
        /// The channel that received the message.
        channel: ChannelId,
        /// The delivery tag.
        tag: u64,
        /// One message or all up to the tag.
        extent: Extent,
    },
    /// `basic.nack`.
    Nack {
        /// The channel that received the message.
        channel: ChannelId,
        /// The delivery tag.
        tag: u64,
        /// One message or all up to the tag.
        extent: Extent,
        /// What happens to the messages.
        give_back: GiveBack,
    },
    /// `basic.reject`.
    Reject {
        /// The channel that received the message.
        channel: ChannelId,
        /// The delivery tag.
        tag: u64,
        /// What happens to the message.
        give_back: GiveBack,
    },
}

impl Command<'_> {
    /// The channel that the command came on.
    pub fn channel(&self) -> ChannelId {
        match self {
            Self::Publish(publish) => publish.channel,
            Self::Ack { channel, .. } | Self::Nack { channel, .. } | Self::Reject { channel, .. } => *channel,
        }
    }
}

/// `exchange.declare`.
#[derive(Clone, Debug)]
pub struct ExchangeDeclare<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type: `direct`, `fanout`, `topic`, `headers`, `x-consistent-hash`, `x-modulus-hash`, `x-random` or `x-local-random`.
    pub kind: &'a str,
    /// Only check that it exists.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Deleted when its last binding goes.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// Further arguments (`alternate-exchange`).
    pub arguments: &'a Arguments,
}

/// `exchange.bind`, `exchange.unbind`, `queue.bind` and `queue.unbind`: from an exchange to a destination.
#[derive(Clone, Debug)]
pub struct Binding<'a> {
    /// The exchange that the messages come from.
    pub source: &'a str,
    /// The exchange or queue (which of them, the method says) that they go to.
    pub destination: &'a str,
    /// The routing key or pattern.
    pub routing_key: &'a [u8],
    /// The binding's arguments (headers exchanges match on them).
    pub arguments: &'a Arguments,
}

/// `queue.declare`.
#[derive(Clone, Debug)]
pub struct QueueDeclare<'a> {
    /// Its name; empty to have the broker choose one.
    pub name: &'a str,
    /// Only check that it exists.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Belongs to this connection alone and goes with it.
    pub exclusive: bool,
    /// Deleted when its last consumer goes.
    pub auto_delete: bool,
    /// Further arguments (`x-…`).
    pub arguments: &'a Arguments,
}

/// `queue.delete`.
#[derive(Clone, Debug)]
pub struct QueueDelete<'a> {
    /// Its name.
    pub name: &'a str,
    /// Refuse when it has consumers.
    pub if_unused: bool,
    /// Refuse when it has messages.
    pub if_empty: bool,
}

/// `basic.consume`.
#[derive(Clone, Debug)]
pub struct Consume<'a> {
    /// The queue.
    pub queue: &'a str,
    /// The consumer's tag; empty to have the broker choose one.
    pub tag: &'a str,
    /// Messages count as acknowledged when they are sent.
    pub no_ack: bool,
    /// No other consumer beside this one.
    pub exclusive: bool,
    /// Further arguments.
    pub arguments: &'a Arguments,
}

/// `basic.qos`.
#[derive(Clone, Copy, Debug)]
pub struct Qos {
    /// Refused with 540 unless zero.
    pub prefetch_size: u32,
    /// How many unacknowledged messages each later consumer of the channel may hold; zero for any number.
    pub prefetch_count: u16,
    /// Served like `false`.
    pub global: bool,
}
