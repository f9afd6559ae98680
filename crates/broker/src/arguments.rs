//! The arguments of `queue.declare`: which are known, what they may be, and which wait for their feature.
//!
//! Elsewhere: what those do that are served (`queue_policy`).
//!
//! Invariant: an argument that would change what happens to messages is either obeyed or refused by name,
//! never ignored. Unknown arguments are accepted, as in RabbitMQ.

use std::fmt;

use logpond_routing::{Arguments, Value};

use crate::equivalence::{Shown, same_argument, same_field};
use crate::errors::{AmqpError, Answer, precondition_failed};
use crate::properties::MILLISECONDS_MAX;
use crate::queue::QueueKind;

/// Which kind of queue is declared.
pub(crate) const QUEUE_TYPE: &str = "x-queue-type";

/// What a second declaration of a classic queue must repeat, in the order in which RabbitMQ compares.
const COMPARED_CLASSIC: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    QUEUE_TYPE,
    "x-queue-master-locator",
    "x-queue-leader-locator",
];

/// What a second declaration of a quorum queue must repeat, in the order in which RabbitMQ compares.
const COMPARED_QUORUM: &[&str] = &[
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-overflow",
    "x-single-active-consumer",
    QUEUE_TYPE,
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-message-ttl",
    "x-queue-leader-locator",
    "x-consumer-disconnected-timeout",
    "x-consumer-timeout",
];

/// Arguments of consumers.
const PRIORITY: &str = "x-priority";
const TIMEOUT: &str = "x-consumer-timeout";

/// Those of consumers that only streams have.
const STREAM_CONSUMERS_ONLY: &[&str] = &["x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"];

/// How a known argument is checked.
#[derive(Clone, Copy)]
enum Check {
    NotNegative,
    Milliseconds,
    MillisecondsPositive,
    Priority,
    Positive,
    Integer,
    Version,
    Text,
    Overflow,
    Strategy,
    Locator,
    Flag,
}

/// The arguments that are checked, where the kind of queue knows them, in RabbitMQ's order.
const KNOWN: &[(&str, Check)] = &[
    ("x-expires", Check::MillisecondsPositive),
    ("x-message-ttl", Check::Milliseconds),
    ("x-dead-letter-exchange", Check::Text),
    ("x-dead-letter-routing-key", Check::Text),
    ("x-dead-letter-strategy", Check::Strategy),
    ("x-max-length", Check::NotNegative),
    ("x-max-length-bytes", Check::NotNegative),
    ("x-max-in-memory-length", Check::NotNegative),
    ("x-max-in-memory-bytes", Check::NotNegative),
    ("x-max-priority", Check::Priority),
    ("x-overflow", Check::Overflow),
    ("x-queue-version", Check::Version),
    ("x-single-active-consumer", Check::Flag),
    ("x-delivery-limit", Check::Integer),
    ("x-consumer-timeout", Check::NotNegative),
    ("x-consumer-disconnected-timeout", Check::NotNegative),
    ("x-quorum-initial-group-size", Check::Positive),
    ("x-queue-leader-locator", Check::Locator),
];

/// Where the leader of a queue may be asked to be. There is one place.
const LOCATORS: &[&str] = &[
    "client-local",
    "balanced",
    "random",
    "least-leaders",
    "min-masters",
];

/// Those whose feature does not exist yet. (`x-consumer-disconnected-timeout` asks for nothing where there is one node.)
const UNSERVED: &[&str] = &[
    "x-delayed-retry-max",
    "x-delayed-retry-min",
    "x-delayed-retry-type",
];

/// Those that only classic queues have.
const CLASSIC_ONLY: &[&str] = &[
    "x-max-priority",
    "x-queue-mode",
    "x-queue-version",
    "x-queue-master-locator",
];

/// Those that only streams have.
const STREAMS_ONLY: &[&str] = &[
    "x-initial-cluster-size",
    "x-max-age",
    "x-stream-filter-size-bytes",
    "x-stream-max-segment-size-bytes",
];

/// Those that only quorum queues have.
const QUORUM_ONLY: &[&str] = &[
    "x-consumer-disconnected-timeout",
    "x-consumer-timeout",
    "x-dead-letter-strategy",
    "x-delayed-retry-max",
    "x-delayed-retry-min",
    "x-delayed-retry-type",
    "x-delivery-limit",
    "x-max-in-memory-bytes",
    "x-max-in-memory-length",
    "x-member-placement-tag",
    "x-quorum-initial-group-size",
];

/// The kind of queue that the arguments ask for.
///
/// # Errors
/// 406 for a kind that does not exist, 540 for one that comes later.
pub(crate) fn queue_kind(resource: &impl fmt::Display, arguments: &Arguments) -> Answer<QueueKind> {
    let Some(value) = arguments.get(QUEUE_TYPE) else {
        return Ok(QueueKind::Classic);
    };
    match value.as_str_bytes() {
        // As if it were not there.
        Some(b"" | b"undefined") => Ok(QueueKind::Classic),
        Some(b"classic") => Ok(QueueKind::Classic),
        Some(b"quorum") => Ok(QueueKind::Quorum),
        Some(b"stream") => Err(AmqpError::not_implemented("x-queue-type=stream")),
        Some(other) => {
            let problem = format!("\"unsupported queue type '{}'\"", String::from_utf8_lossy(other));
            Err(invalid(QUEUE_TYPE, resource, &problem))
        }
        None => Err(invalid(QUEUE_TYPE, resource, &unacceptable(value))),
    }
}

/// Checks whether a queue that is declared like this may be without a name of its own.
///
/// # Errors
/// 406 for the kinds of queues that are made to be found again.
pub(crate) fn check_nameless(arguments: &Arguments) -> Answer<()> {
    let kind = match arguments.get(QUEUE_TYPE).and_then(Value::as_str_bytes) {
        Some(b"quorum") => "quorum",
        Some(b"stream") => "stream",
        _ => return Ok(()),
    };
    Err(precondition_failed(format_args!(
        "Cannot declare a server-named queue for type rabbit_{kind}_queue"
    )))
}

/// Checks what a new queue is declared with.
///
/// # Errors
/// 406 for invalid values, 540 for arguments whose feature does not exist yet.
pub(crate) fn check(resource: &impl fmt::Display, kind: QueueKind, arguments: &Arguments) -> Answer<()> {
    let others = match kind {
        QueueKind::Classic => QUORUM_ONLY,
        QueueKind::Quorum => CLASSIC_ONLY,
    };
    for (name, check) in KNOWN.iter().filter(|(name, _)| !others.contains(name)) {
        if let Some(value) = arguments.get(name)
            && let Err(problem) = check.accepts(value)
        {
            return Err(invalid(name, resource, &problem));
        }
    }
    if arguments.get("x-dead-letter-routing-key").is_some()
        && arguments.get("x-dead-letter-exchange").is_none()
    {
        return Err(invalid(
            "x-dead-letter-routing-key",
            resource,
            "routing_key_but_no_dlx_defined",
        ));
    }
    if let Some(name) = others
        .iter()
        .chain(STREAMS_ONLY)
        .find(|name| arguments.get(**name).is_some())
    {
        return Err(of_another_kind(name, resource, kind));
    }
    for name in UNSERVED {
        if arguments.get(name).is_some() {
            return Err(AmqpError::not_implemented(name));
        }
    }
    Ok(())
}

/// What a consumer asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ConsumerWishes {
    pub priority: i64,
    /// How long it may take to acknowledge.
    pub timeout_ms: Option<u64>,
}

/// Checks what a consumer of a queue of this kind is started with.
///
/// # Errors
/// 406 for invalid values, and for arguments of another kind of queue.
pub(crate) fn check_consumer(
    resource: &impl fmt::Display,
    kind: QueueKind,
    arguments: &Arguments,
) -> Answer<ConsumerWishes> {
    let number = |name: &str, check: Check| {
        let value = arguments.get(name);
        if let Some(value) = value {
            check
                .accepts(value)
                .map_err(|problem| invalid(name, resource, &problem))?;
        }
        Ok::<_, AmqpError>(value.and_then(Value::as_integer))
    };
    let priority = number(PRIORITY, Check::Integer)?.unwrap_or(0);
    let (timeout, others): (_, &[&str]) = match kind {
        QueueKind::Classic => (None, &[TIMEOUT]),
        QueueKind::Quorum => (number(TIMEOUT, Check::NotNegative)?, &[]),
    };
    let mut others = others.iter().chain(STREAM_CONSUMERS_ONLY);
    if let Some(name) = others.find(|name| arguments.get(**name).is_some()) {
        return Err(of_another_kind(name, resource, kind));
    }
    Ok(ConsumerWishes {
        priority,
        timeout_ms: timeout.and_then(|timeout| u64::try_from(timeout).ok()),
    })
}

/// Compares the arguments of a declaration with those of the queue that exists, as far as its kind knows them.
///
/// # Errors
/// 406 that names the first difference.
pub(crate) fn same(
    resource: &impl fmt::Display,
    kind: QueueKind,
    received: &Arguments,
    current: &Arguments,
) -> Answer<()> {
    let compared = match kind {
        QueueKind::Classic => COMPARED_CLASSIC,
        QueueKind::Quorum => COMPARED_QUORUM,
    };
    compared.iter().try_for_each(|&name| match name {
        QUEUE_TYPE => same_kind(resource, received, kind),
        name => same_argument(name, resource, received, current),
    })
}

/// Who names no kind asks for the default, and who names none that exists asks for another one.
fn same_kind(resource: &impl fmt::Display, received: &Arguments, current: QueueKind) -> Answer<()> {
    if queue_kind(resource, received).is_ok_and(|kind| kind == current) {
        return Ok(());
    }
    let named = received.get(QUEUE_TYPE).map(|value| Shown(value).to_string());
    let named = named.unwrap_or_else(|| QueueKind::Classic.as_str().to_owned());
    same_field(QUEUE_TYPE, resource, &named, &current.as_str().to_owned())
}

impl Check {
    fn accepts(self, value: &Value) -> Result<(), String> {
        match self {
            Self::Text => text(value).map(drop),
            Self::Flag => match value {
                Value::Bool(_) => Ok(()),
                other => Err(unacceptable(other)),
            },
            Self::Overflow => one_of(
                value,
                &["drop-head", "reject-publish", "reject-publish-dlx"],
                "invalid_overflow",
            ),
            Self::Strategy => one_of(value, &["at-most-once", "at-least-once"], "invalid_dlx_strategy"),
            Self::Locator => one_of(value, LOCATORS, "invalid_queue_locator_arg"),
            _ => self.accepts_number(value.as_integer().ok_or_else(|| wrong_type("integer", value))?),
        }
    }

    fn accepts_number(self, number: i64) -> Result<(), String> {
        let positive = matches!(self, Self::MillisecondsPositive | Self::Positive);
        let milliseconds = matches!(self, Self::Milliseconds | Self::MillisecondsPositive);
        if number < 0 && !matches!(self, Self::Integer) {
            return Err(format!("{{value_negative,{number}}}"));
        }
        if number == 0 && positive {
            return Err(format!("{{value_zero,{number}}}"));
        }
        if milliseconds && number > MILLISECONDS_MAX {
            return Err(format!("{{value_too_large,{number}}}"));
        }
        if matches!(self, Self::Version) && number != 2 {
            return Err(format!("\"unsupported queue version '{number}'\""));
        }
        if matches!(self, Self::Priority) && number > 255 {
            return Err(format!("{{max_value_exceeded,{number}}}"));
        }
        Ok(())
    }
}

fn one_of(value: &Value, words: &[&str], problem: &str) -> Result<(), String> {
    let text = text(value)?;
    let is_known = words.iter().any(|word| word.as_bytes() == text);
    is_known.then_some(()).ok_or_else(|| problem.to_owned())
}

fn text(value: &Value) -> Result<&[u8], String> {
    value.as_str_bytes().ok_or_else(|| unacceptable(value))
}

fn unacceptable(value: &Value) -> String {
    format!("{{unacceptable_type,{}}}", value.type_name())
}

fn wrong_type(expected: &str, value: &Value) -> String {
    format!("\"expected {expected}, got {}\"", value.type_name())
}

fn of_another_kind(name: &str, resource: &impl fmt::Display, kind: QueueKind) -> AmqpError {
    let own = kind.as_str();
    precondition_failed(format_args!(
        "invalid arg '{name}' for {resource} of queue type rabbit_{own}_queue"
    ))
}

fn invalid(name: &str, resource: &impl fmt::Display, problem: &str) -> AmqpError {
    precondition_failed(format_args!("invalid arg '{name}' for {resource}: {problem}"))
}

#[cfg(test)]
mod tests;
