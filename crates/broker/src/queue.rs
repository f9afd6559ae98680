//! A queue: what was declared, and who takes part in it now.
//!
//! Elsewhere: its messages (the store), its name in the default exchange and its bindings (`topology`).

use std::fmt;
use std::sync::Arc;

use logpond_routing::{Arguments, Value};
use logpond_store::{BlockNumber, QueueId};
use serde::{Deserialize, Serialize};

use crate::exhausted::Exhausted;
use crate::expiration::Expiry;
use crate::outbox::SessionKey;
use crate::queue_policy::QueuePolicy;
use crate::rota::{Rota, Sharing};

/// The kinds of queues that can be declared. Both are served by the same journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum QueueKind {
    Classic,
    Quorum,
}

impl QueueKind {
    /// The one that `x-queue-type` names so.
    pub(crate) fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"classic" => Some(Self::Classic),
            b"quorum" => Some(Self::Quorum),
            _ => None,
        }
    }

    /// As in `x-queue-type`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }
}

/// What was declared about a queue.
#[derive(Clone, Debug)]
pub(crate) struct QueueSpec {
    pub id: QueueId,
    pub vhost: Arc<str>,
    pub name: Arc<str>,
    pub kind: QueueKind,
    pub durable: bool,
    pub auto_delete: bool,
    pub exclusive: bool,
    pub arguments: Arguments,
}

impl QueueSpec {
    /// Whether it is in the catalog and survives a restart. An exclusive queue ends with its connection, so
    /// there is nothing to survive.
    pub(crate) fn is_kept(&self) -> bool {
        self.durable && !self.exclusive
    }

    /// Whether its consumers share its messages.
    fn sharing(&self) -> Sharing {
        let is_single = self.arguments.get("x-single-active-consumer") == Some(&Value::Bool(true));
        match (is_single, self.kind) {
            (false, _) => Sharing::Competing,
            (true, QueueKind::Classic) => Sharing::Single,
            (true, QueueKind::Quorum) => Sharing::SingleYielding,
        }
    }

    /// What the journal keeps beside the queue, so that it can be told even without the catalog.
    pub(crate) fn meta(&self) -> Vec<u8> {
        serde_json::to_vec(&(&*self.vhost, &*self.name, &self.arguments))
            .expect("names and arguments are strings, numbers and lists")
    }
}

/// As RabbitMQ's reply texts name it.
impl fmt::Display for QueueSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "queue '{}' in vhost '{}'", self.name, self.vhost)
    }
}

/// A queue at run time.
#[derive(Debug)]
pub(crate) struct Queue {
    pub spec: Arc<QueueSpec>,
    /// The session that it belongs to alone.
    pub owner: Option<SessionKey>,
    pub rota: Rota,
    /// When it goes for want of use.
    pub expiry: Option<Expiry>,
    /// Those of its messages that failed too often and are dead letters on their way.
    pub exhausted: Exhausted,
    /// What holds for it, once that was said to the shard.
    pub policy: Option<QueuePolicy>,
    /// A delivery waits for this block.
    pub waits: Option<BlockNumber>,
    /// It was full and dropped copies of a message that it had passed on already.
    pub has_dropped_copies: bool,
}

impl Queue {
    pub(crate) fn new(spec: Arc<QueueSpec>, owner: Option<SessionKey>) -> Self {
        let rota = Rota::new(spec.sharing());
        Self {
            spec,
            owner,
            rota,
            expiry: None,
            exhausted: Exhausted::default(),
            policy: None,
            waits: None,
            has_dropped_copies: false,
        }
    }
}
