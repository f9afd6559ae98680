//! A binding, what it may point to, and what binding and unbinding answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Arguments, Name};

/// A queue as routing knows it: a number that the broker gives and understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueRef(u64);

impl QueueRef {
    /// The queue with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Destination {
    /// To a queue.
    Queue(QueueRef),
    /// To another exchange of the same virtual host.
    Exchange(Name),
}

/// One binding. Its four parts together are its identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Binding {
    /// The exchange that messages come from.
    pub source: Name,
    /// Where they go.
    pub destination: Destination,
    /// Routing key, topic pattern, or meaningless (fanout, headers).
    pub key: Name,
    /// Arguments; a headers exchange matches on them.
    pub arguments: Arguments,
}

/// Whether a bind changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The binding is new.
    New,
    /// The same binding existed; nothing changed.
    Existed,
}

/// What a removal took away, and which exchanges it leaves for deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The bindings that are gone.
    pub bindings: Vec<Arc<Binding>>,
    /// Auto-delete exchanges that lost their last binding as a source, each once. They still exist: the
    /// caller deletes them ([`crate::Routes::delete_exchange`]), which may name further ones.
    pub unused: Vec<Name>,
}

/// Why a bind was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// No such source exchange.
    #[error("no exchange '{0}'")]
    NoSource(Name),
    /// No such destination exchange. (Queues are resolved by the caller.)
    #[error("no exchange '{0}'")]
    NoDestination(Name),
    /// The default exchange has its bindings by definition, and takes no others.
    #[error("operation not permitted on the default exchange")]
    DefaultExchange,
    /// The exchange's kind does not accept these arguments. The text is RabbitMQ's.
    #[error("{0}")]
    InvalidArgument(String),
    /// The pattern has more words than the matcher descends.
    #[error("the pattern has {words} words, at most {limit} are possible")]
    PatternTooLong {
        /// Words of the pattern.
        words: usize,
        /// [`crate::limits::PATTERN_WORDS_MAX`].
        limit: usize,
    },
}
