//! The table: which permission an operation needs, and on what.
//!
//! | operation | configure | write | read |
//! |---|---|---|---|
//! | declare (not passively) or delete an exchange or queue | it | | |
//! | declare passively | or it | or it | or it |
//! | declare a queue with a dead-letter exchange | queue | that exchange | queue |
//! | declare an exchange with an alternate | exchange | the alternate | exchange |
//! | bind or unbind a queue | | queue | exchange |
//! | bind or unbind an exchange | | destination | source |
//! | publish | | exchange | |
//! | get, consume, purge | | | queue |
//! | publish to a topic exchange, besides | | key | |
//! | bind or unbind at a topic exchange, besides | | | key |
//!
//! Invariant: names are compared without line breaks, and the default exchange as `amq.default`.

use std::borrow::Cow;
use std::fmt;

/// What a permission permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Create or delete it.
    Configure,
    /// Put messages into it, or bind to it.
    Write,
    /// Take messages from it, or bind from it.
    Read,
}

/// What somebody wants to do it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target<'a> {
    /// An exchange; the default exchange has the empty name.
    Exchange(&'a [u8]),
    /// A queue.
    Queue(&'a str),
    /// A routing key at a topic exchange.
    Topic {
        /// The exchange.
        exchange: &'a [u8],
        /// The key.
        key: &'a [u8],
    },
}

/// What a client wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// `exchange.declare`, not passive.
    DeclareExchange {
        /// The exchange.
        exchange: &'a [u8],
        /// Its alternate, if it has one.
        alternate: Option<&'a [u8]>,
    },
    /// `exchange.delete`
    DeleteExchange(&'a [u8]),
    /// `queue.declare`, not passive.
    DeclareQueue {
        /// The queue.
        queue: &'a str,
        /// Its dead-letter exchange, if it has one.
        dead_letter: Option<&'a [u8]>,
    },
    /// `queue.delete`
    DeleteQueue(&'a str),
    /// Either declare with `passive`: who may do anything with it may look.
    DeclarePassively(Target<'a>),
    /// `queue.bind`, `queue.unbind`
    BindQueue {
        /// The queue.
        queue: &'a str,
        /// The exchange.
        exchange: &'a [u8],
    },
    /// `exchange.bind`, `exchange.unbind`
    BindExchange {
        /// Where messages go.
        destination: &'a [u8],
        /// Where they come from.
        source: &'a [u8],
    },
    /// `basic.publish`
    Publish(&'a [u8]),
    /// `basic.publish` with this key to a topic exchange, beside [`Publish`](Self::Publish)
    PublishTopic {
        /// The exchange.
        exchange: &'a [u8],
        /// The key.
        key: &'a [u8],
    },
    /// Binding and unbinding with this key at a topic exchange, beside the permissions on both ends
    BindTopic {
        /// The exchange.
        exchange: &'a [u8],
        /// The key.
        key: &'a [u8],
    },
    /// `basic.get`
    Get(&'a str),
    /// `basic.consume`
    Consume(&'a str),
    /// `queue.purge`
    Purge(&'a str),
}

impl<'a> Action<'a> {
    /// The permissions that are needed, all of them, in the order in which RabbitMQ asks. Of a passive declare, for which each
    /// permission is enough, the one that is named when there is none.
    pub fn requirements(self) -> impl Iterator<Item = (Operation, Target<'a>)> {
        use Operation::{Configure, Read, Write};
        use Target::{Exchange, Queue, Topic};
        let needed = match self {
            Self::DeclareExchange { exchange, alternate } => [
                Some((Configure, Exchange(exchange))),
                alternate.map(|_| (Read, Exchange(exchange))),
                alternate.map(|alternate| (Write, Exchange(alternate))),
            ],
            Self::DeclareQueue { queue, dead_letter } => [
                Some((Configure, Queue(queue))),
                dead_letter.map(|_| (Read, Queue(queue))),
                dead_letter.map(|dead_letter| (Write, Exchange(dead_letter))),
            ],
            Self::DeleteExchange(exchange) => [Some((Configure, Exchange(exchange))), None, None],
            Self::DeleteQueue(queue) => [Some((Configure, Queue(queue))), None, None],
            Self::DeclarePassively(target) => [Some((Configure, target)), None, None],
            Self::BindQueue { queue, exchange } => [
                Some((Write, Queue(queue))),
                Some((Read, Exchange(exchange))),
                None,
            ],
            Self::BindExchange { destination, source } => [
                Some((Write, Exchange(destination))),
                Some((Read, Exchange(source))),
                None,
            ],
            Self::PublishTopic { exchange, key } => [Some((Write, Topic { exchange, key })), None, None],
            Self::BindTopic { exchange, key } => [Some((Read, Topic { exchange, key })), None, None],
            Self::Publish(exchange) => [Some((Write, Exchange(exchange))), None, None],
            Self::Get(queue) | Self::Consume(queue) | Self::Purge(queue) => {
                [Some((Read, Queue(queue))), None, None]
            }
        };
        needed.into_iter().flatten()
    }
}

impl<'a> Target<'a> {
    /// The name that patterns are searched in.
    pub(super) fn checked_name(self) -> Cow<'a, [u8]> {
        let name = match self {
            Self::Exchange(b"") => b"amq.default",
            Self::Exchange(name) => name,
            Self::Queue(name) => name.as_bytes(),
            Self::Topic { key, .. } => return Cow::Borrowed(key),
        };
        let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
        if name.iter().any(is_break) {
            Cow::Owned(name.iter().copied().filter(|byte| !is_break(byte)).collect())
        } else {
            Cow::Borrowed(name)
        }
    }
}

/// A permission that is missing. The text is RabbitMQ's, to be sent with 403.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} access to {target} in vhost '{vhost}' refused for user '{user}'")]
pub struct Denied {
    operation: Operation,
    target: String,
    vhost: String,
    user: String,
}

impl Denied {
    pub(super) fn new(operation: Operation, target: Target<'_>, vhost: &str, user: &str) -> Self {
        let name = target.checked_name();
        let name = String::from_utf8_lossy(&name);
        let target = match target {
            Target::Exchange(_) => format!("exchange '{name}'"),
            Target::Queue(_) => format!("queue '{name}'"),
            Target::Topic { exchange, .. } => {
                format!(
                    "topic '{name}' in exchange '{}'",
                    String::from_utf8_lossy(exchange)
                )
            }
        };
        Self {
            operation,
            target,
            vhost: vhost.to_owned(),
            user: user.to_owned(),
        }
    }

    /// What was missing.
    pub const fn operation(&self) -> Operation {
        self.operation
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        })
    }
}
