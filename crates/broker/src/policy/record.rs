//! A policy as it was set, and as the catalog keeps it.
//!
//! Invariant: a policy that came through [`Policy::check`] has only keys that are known, with values that they take.

use std::collections::BTreeMap;
use std::fmt;

use logpond_routing::Value;
use serde::{Deserialize, Serialize};

use super::definition;
use crate::auth::Pattern;
use crate::queue::QueueKind;

/// Whose policy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PolicyKind {
    /// That of a virtual host's users.
    User,
    /// That of who runs the broker: merged into the users', and the stricter value wins.
    Operator,
}

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApplyTo {
    /// Queues and exchanges.
    All,
    /// Exchanges.
    Exchanges,
    /// Queues of all kinds.
    Queues,
    /// Classic queues.
    ClassicQueues,
    /// Quorum queues.
    QuorumQueues,
    /// Streams.
    Streams,
}

impl ApplyTo {
    /// As the definitions write it.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "all" => Self::All,
            "exchanges" => Self::Exchanges,
            "queues" => Self::Queues,
            "classic_queues" => Self::ClassicQueues,
            "quorum_queues" => Self::QuorumQueues,
            "streams" => Self::Streams,
            _ => return None,
        })
    }

    fn includes(self, kind: QueueKind) -> bool {
        match self {
            Self::All | Self::Queues => true,
            Self::ClassicQueues => kind == QueueKind::Classic,
            Self::QuorumQueues => kind == QueueKind::Quorum,
            Self::Exchanges | Self::Streams => false,
        }
    }
}

/// As the definitions write it.
impl fmt::Display for ApplyTo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::All => "all",
            Self::Exchanges => "exchanges",
            Self::Queues => "queues",
            Self::ClassicQueues => "classic_queues",
            Self::QuorumQueues => "quorum_queues",
            Self::Streams => "streams",
        })
    }
}

/// Why a policy cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Nothing obeys this key. Of operator policies, only limits are obeyed.
    #[error("'{0}' is not a recognised policy setting")]
    UnknownKey(String),
    /// The key does not take this value. The text is RabbitMQ's.
    #[error("{value} is not a valid {what}")]
    InvalidValue {
        /// The value.
        value: String,
        /// What was expected.
        what: &'static str,
    },
    /// It delays retries and does not say for how long.
    #[error("delayed-retry-min is required when delayed-retry-type is {kind}")]
    RetryMinMissing {
        /// Which retries.
        kind: String,
    },
    /// The longest delay of a retry is shorter than the shortest.
    #[error("delayed-retry-max ({max}) must not be smaller than delayed-retry-min ({min})")]
    RetryMaxTooSmall {
        /// The shortest.
        min: i64,
        /// The longest.
        max: i64,
    },
    /// It says nothing.
    #[error("no policy provided")]
    Empty,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The virtual host that it holds in.
    pub vhost: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub kind: PolicyKind,
    /// Searched for in the names of queues and exchanges; the empty one is found in all.
    pub pattern: Pattern,
    /// What it is for.
    pub apply_to: ApplyTo,
    /// The highest counts.
    pub priority: i64,
    /// Keys and values, integers as signed 64-bit numbers.
    pub definition: BTreeMap<String, Value>,
}

impl Policy {
    /// Checks keys and values.
    ///
    /// # Errors
    /// The first of them that nothing obeys.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.definition.is_empty() {
            return Err(PolicyError::Empty);
        }
        self.definition
            .iter()
            .try_for_each(|(key, value)| definition::check(self.kind, key, value))?;
        definition::check_together(&self.definition)
    }

    fn finds(&self, name: &[u8]) -> bool {
        self.pattern.source().is_empty() || self.pattern.matches(name)
    }

    /// Whether it holds for a queue of this kind and name. One that says something that this kind of queue cannot do does not.
    pub(super) fn fits_queue(&self, kind: QueueKind, name: &str) -> bool {
        self.apply_to.includes(kind)
            && self.definition.keys().all(|key| definition::is_for(kind, key))
            && self.finds(name.as_bytes())
    }

    /// Whether it holds for an exchange of this name.
    pub(super) fn fits_exchange(&self, name: &[u8]) -> bool {
        matches!(self.apply_to, ApplyTo::All | ApplyTo::Exchanges) && self.finds(name)
    }
}
