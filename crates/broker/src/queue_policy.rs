//! What holds for a queue, by its arguments and the policies together: limits, times to live, levels, where its dead letters go,
//! how often a delivery may fail and how long it may take. The shard forgets its part with the process, so it is said at each declaration, at each start and
//! when a policy changes.
//!
//! Invariants, RabbitMQ's: of two limits the smaller holds; of two texts the argument, but for the overflow of a quorum queue, where
//! the policy wins.

use std::sync::Arc;

use logpond_routing::{Arguments, Value};
use logpond_store::disk::{Disk, Now};
use logpond_store::{AppendError, DeadLetters, QueueId, QueueLimits, Shard, WhenFull};

use crate::limits::{DELIVERY_LIMIT_DEFAULT, QUORUM_PRIORITY_DEFAULT, QUORUM_PRIORITY_MAX};
use crate::policy::Applied;
use crate::queue::{QueueKind, QueueSpec};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueuePolicy {
    limits: QueueLimits,
    /// Whether what is refused is a dead letter, too.
    passes_on: bool,
    life_ms: Option<u64>,
    /// After which time without use the queue goes.
    expires_ms: Option<u64>,
    levels: Option<Levels>,
    dead_letters: Option<Arc<Destination>>,
    /// Whether a letter that reaches nobody is tried again.
    keeps_letters: bool,
    delivery_limit: Option<u32>,
    consumer_timeout_ms: Option<u64>,
}

/// How priorities count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Levels {
    /// Those of a classic queue that was declared with them. What has no priority is of level 0.
    Always { highest: u8 },
    /// Those that any quorum queue has, while messages of several wait.
    InUse,
}

/// Where the dead letters of a queue go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The exchange, which may not exist.
    pub exchange: Box<[u8]>,
    /// In place of the message's own keys.
    pub routing_key: Option<Box<[u8]>>,
}

impl QueuePolicy {
    /// What holds for a queue whose arguments were checked.
    pub(crate) fn of(spec: &QueueSpec, policies: &Applied) -> Self {
        let arguments = &spec.arguments;
        let overflow = overflow(spec, policies);
        let highest = arguments.get("x-max-priority").and_then(Value::as_integer);
        let highest = highest.and_then(|highest| u8::try_from(highest).ok());
        let text = |argument: &str, key: &str| policies.text(arguments, argument, key).map(Box::from);
        let exchange = text("x-dead-letter-exchange", "dead-letter-exchange");
        Self {
            limits: QueueLimits {
                messages: policies.limit(arguments, "max-length"),
                bytes: policies.limit(arguments, "max-length-bytes"),
                when_full: match overflow {
                    Overflow::DropHead => WhenFull::DropHead,
                    Overflow::RejectPublish | Overflow::RejectPublishDlx => WhenFull::Refuse,
                },
            },
            passes_on: overflow == Overflow::RejectPublishDlx,
            life_ms: policies.limit(arguments, "message-ttl"),
            expires_ms: policies.limit(arguments, "expires"),
            levels: match (spec.kind, highest) {
                (QueueKind::Quorum, _) => Some(Levels::InUse),
                (QueueKind::Classic, None | Some(0)) => None,
                (QueueKind::Classic, Some(highest)) => Some(Levels::Always { highest }),
            },
            dead_letters: exchange.map(|exchange| {
                Arc::new(Destination {
                    exchange,
                    routing_key: text("x-dead-letter-routing-key", "dead-letter-routing-key"),
                })
            }),
            keeps_letters: spec.kind == QueueKind::Quorum
                && overflow == Overflow::RejectPublish
                && policies.text(arguments, "x-dead-letter-strategy", "dead-letter-strategy")
                    == Some(b"at-least-once"),
            delivery_limit: match spec.kind {
                QueueKind::Classic => None,
                QueueKind::Quorum => delivery_limit(arguments, policies),
            },
            consumer_timeout_ms: policies.limit(arguments, "consumer-timeout"),
        }
    }

    /// After which time without use the queue goes.
    pub(crate) fn expires_ms(&self) -> Option<u64> {
        self.expires_ms
    }

    /// Whether messages can be refused or dropped because there are too many.
    pub(crate) fn is_limited(&self) -> bool {
        !self.limits.is_unlimited()
    }

    /// Whether messages can be refused.
    pub(crate) fn refuses(&self) -> bool {
        self.is_limited() && self.limits.when_full == WhenFull::Refuse
    }

    /// Where dead letters go, if they go anywhere.
    pub(crate) fn dead_letters(&self) -> Option<&Arc<Destination>> {
        self.dead_letters.as_ref()
    }

    /// Whether a letter that reaches nobody is tried again: the strategy at-least-once, which needs a queue that refuses.
    pub(crate) fn keeps_letters(&self) -> bool {
        self.keeps_letters
    }

    /// Where messages go that the full queue refuses, if they go anywhere.
    pub(crate) fn refused_letters(&self) -> Option<&Arc<Destination>> {
        self.dead_letters.as_ref().filter(|_| self.passes_on)
    }

    /// How often a delivery of one message may fail; `None` for any number.
    pub(crate) fn delivery_limit(&self) -> Option<u32> {
        self.delivery_limit
    }

    /// How long a consumer may take to acknowledge, if anything is said of it.
    pub(crate) fn consumer_timeout_ms(&self) -> Option<u64> {
        self.consumer_timeout_ms
    }

    /// Says the shard's part of it, where `before` was said last.
    pub(crate) fn apply<D: Disk>(
        &self,
        before: Option<&Self>,
        shard: &mut Shard<D>,
        id: QueueId,
        now: Now,
    ) -> Result<(), AppendError> {
        // Levels and dead letters first: a limit that drops begins with the head, and what it drops is a dead letter.
        match (self.levels, before) {
            (Some(Levels::Always { highest }), None) => shard.set_priorities(id, highest)?,
            (Some(Levels::InUse), None) => {
                shard.set_priorities_in_use(id, QUORUM_PRIORITY_MAX, QUORUM_PRIORITY_DEFAULT)?;
            }
            (None, _) | (_, Some(_)) => {}
        }
        let fate = match self.dead_letters {
            Some(_) => DeadLetters::HandOut,
            None => DeadLetters::Settle,
        };
        shard.set_dead_letters(id, fate, now)?;
        shard.set_time_to_live(id, self.life_ms)?;
        shard.set_limits(id, self.limits, now)
    }
}

/// What a full queue does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    DropHead,
    RejectPublish,
    RejectPublishDlx,
}

fn overflow(spec: &QueueSpec, policies: &Applied) -> Overflow {
    let argument = spec.arguments.get("x-overflow");
    let policy = policies.get("overflow");
    let value = match spec.kind {
        QueueKind::Classic => argument.or(policy),
        QueueKind::Quorum => policy.or(argument),
    };
    match (value.and_then(Value::as_str_bytes), spec.kind) {
        (Some(b"reject-publish"), _) => Overflow::RejectPublish,
        (Some(b"reject-publish-dlx"), QueueKind::Classic) => Overflow::RejectPublishDlx,
        // A quorum queue takes the word, and drops.
        _ => Overflow::DropHead,
    }
}

/// The smaller of two, where a negative number means none.
fn delivery_limit(arguments: &Arguments, policies: &Applied) -> Option<u32> {
    let argument = arguments.get("x-delivery-limit").and_then(Value::as_integer);
    let policy = policies.get("delivery-limit").and_then(Value::as_integer);
    let limit = match (argument, policy) {
        (Some(argument), Some(policy)) if argument < 0 || policy < 0 => argument.max(policy),
        (Some(argument), Some(policy)) => argument.min(policy),
        (argument, policy) => argument.or(policy).unwrap_or(DELIVERY_LIMIT_DEFAULT),
    };
    // More than a counter counts is as good as none.
    u32::try_from(limit).ok()
}
