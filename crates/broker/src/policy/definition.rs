//! The keys of a policy's definition: what they take, which kinds of queues know them, and how a policy and an operator policy
//! are merged.

use std::collections::BTreeMap;

use logpond_routing::{Term, Value};

use super::record::{PolicyError, PolicyKind};
use crate::queue::QueueKind;

/// What a key takes.
#[derive(Clone, Copy)]
enum Takes {
    Text,
    Integer,
    /// From this number on.
    From(i64),
    Within(i64, i64),
    OneOf(&'static [&'static str]),
    Version,
    Age,
}

/// How a policy's value and an operator policy's become one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// Operators cannot set it.
    Never,
    Smaller,
    Larger,
    /// The smaller, where a negative number means none.
    SmallerOrNone,
    Operators,
}

struct Key {
    name: &'static str,
    what: &'static str,
    takes: Takes,
    merge: Merge,
    kinds: Kinds,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kinds {
    All,
    Classic,
    Quorum,
    Streams,
}

const fn key(name: &'static str, what: &'static str, takes: Takes, merge: Merge, kinds: Kinds) -> Key {
    Key {
        name,
        what,
        takes,
        merge,
        kinds,
    }
}

const RETRY_MAX: &str = "delayed-retry-max";
const RETRY_MIN: &str = "delayed-retry-min";
const RETRY_TYPE: &str = "delayed-retry-type";
const STRATEGIES: &[&str] = &["at-most-once", "at-least-once"];
const MODES: &[&str] = &["default", "lazy"];
const RETRIES: &[&str] = &["all", "failed", "returned", "disabled"];
const OVERFLOWS: &[&str] = &["drop-head", "reject-publish", "reject-publish-dlx"];
const LOCATORS: &[&str] = &["client-local", "balanced", "random", "least-leaders"];
const SEGMENT_BYTES_MAX: i64 = 3_000_000_000;

/// All keys, with RabbitMQ's words for what they take.
const KEYS: &[Key] = &[
    key(
        "alternate-exchange",
        "alternate exchange name",
        Takes::Text,
        Merge::Never,
        Kinds::All,
    ),
    key(
        "consumer-disconnected-timeout",
        "consumer disconnected timeout",
        Takes::From(0),
        Merge::Never,
        Kinds::All,
    ),
    key(
        "consumer-timeout",
        "consumer timeout",
        Takes::From(0),
        Merge::Never,
        Kinds::All,
    ),
    key(
        "dead-letter-exchange",
        "dead letter exchange name",
        Takes::Text,
        Merge::Never,
        Kinds::All,
    ),
    key(
        "dead-letter-routing-key",
        "dead letter routing key",
        Takes::Text,
        Merge::Never,
        Kinds::All,
    ),
    key(
        "dead-letter-strategy",
        "dead letter strategy",
        Takes::OneOf(STRATEGIES),
        Merge::Never,
        Kinds::Quorum,
    ),
    key(
        RETRY_MAX,
        "delayed retry maximum delay. Must be a positive integer",
        Takes::From(1),
        Merge::Smaller,
        Kinds::All,
    ),
    key(
        RETRY_MIN,
        "delayed retry minimum delay. Must be a positive integer",
        Takes::From(1),
        Merge::Larger,
        Kinds::All,
    ),
    key(
        RETRY_TYPE,
        "delayed retry type. Must be one of: all, failed, returned, disabled",
        Takes::OneOf(RETRIES),
        Merge::Operators,
        Kinds::All,
    ),
    key(
        "delivery-limit",
        "delivery limit",
        Takes::Integer,
        Merge::SmallerOrNone,
        Kinds::Quorum,
    ),
    key(
        "expires",
        "queue expiry",
        Takes::From(1),
        Merge::Smaller,
        Kinds::All,
    ),
    key(
        "initial-cluster-size",
        "cluster size",
        Takes::From(0),
        Merge::Never,
        Kinds::Streams,
    ),
    key("max-age", "max age", Takes::Age, Merge::Never, Kinds::Streams),
    key(
        "max-in-memory-bytes",
        "maximum memory in bytes",
        Takes::From(0),
        Merge::Smaller,
        Kinds::Quorum,
    ),
    key(
        "max-in-memory-length",
        "maximum memory in bytes",
        Takes::From(0),
        Merge::Smaller,
        Kinds::Quorum,
    ),
    key(
        "max-length",
        "maximum length",
        Takes::From(0),
        Merge::Smaller,
        Kinds::All,
    ),
    key(
        "max-length-bytes",
        "maximum length in bytes",
        Takes::From(0),
        Merge::Smaller,
        Kinds::All,
    ),
    key(
        "message-ttl",
        "message TTL",
        Takes::From(0),
        Merge::Smaller,
        Kinds::All,
    ),
    key(
        "overflow",
        "overflow value",
        Takes::OneOf(OVERFLOWS),
        Merge::Operators,
        Kinds::All,
    ),
    key(
        "queue-leader-locator",
        "queue leader locator value",
        Takes::OneOf(LOCATORS),
        Merge::Never,
        Kinds::All,
    ),
    key(
        "queue-mode",
        "queue-mode value",
        Takes::OneOf(MODES),
        Merge::Never,
        Kinds::Classic,
    ),
    key(
        "queue-version",
        "queue-version value",
        Takes::Version,
        Merge::Operators,
        Kinds::All,
    ),
    key(
        "stream-filter-size-bytes",
        "filter size. Valid range is 16-255",
        Takes::Within(16, 255),
        Merge::Never,
        Kinds::All,
    ),
    key(
        "stream-max-segment-size-bytes",
        "segment size",
        Takes::Within(0, SEGMENT_BYTES_MAX),
        Merge::Never,
        Kinds::Streams,
    ),
    key(
        "target-group-size",
        "target group size",
        Takes::From(1),
        Merge::Larger,
        Kinds::Quorum,
    ),
];

fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Checks one entry of a definition.
pub(super) fn check(kind: PolicyKind, name: &str, value: &Value) -> Result<(), PolicyError> {
    let known = find(name).filter(|key| kind == PolicyKind::User || key.merge != Merge::Never);
    let key = known.ok_or_else(|| PolicyError::UnknownKey(name.to_owned()))?;
    if key.takes.accepts(value) {
        return Ok(());
    }
    Err(PolicyError::InvalidValue {
        value: Term(value).to_string(),
        what: key.what,
    })
}

/// Checks what the entries of a definition, which were checked one by one, say together.
pub(super) fn check_together(definition: &BTreeMap<String, Value>) -> Result<(), PolicyError> {
    let number = |key| definition.get(key).and_then(Value::as_integer);
    let kind = definition.get(RETRY_TYPE).and_then(Value::as_str_bytes);
    match (kind, number(RETRY_MIN), number(RETRY_MAX)) {
        (Some(kind), None, _) if kind != b"disabled" => Err(PolicyError::RetryMinMissing {
            kind: String::from_utf8_lossy(kind).into_owned(),
        }),
        (_, Some(min), Some(max)) if max < min => Err(PolicyError::RetryMaxTooSmall { min, max }),
        _ => Ok(()),
    }
}

/// Whether a queue of this kind can do what the key says.
pub(super) fn is_for(kind: QueueKind, name: &str) -> bool {
    match find(name).map_or(Kinds::All, |key| key.kinds) {
        Kinds::All => true,
        Kinds::Classic => kind == QueueKind::Classic,
        Kinds::Quorum => kind == QueueKind::Quorum,
        Kinds::Streams => false,
    }
}

/// What holds when both say something.
pub(super) fn merge<'a>(name: &str, policy: &'a Value, operator: &'a Value) -> &'a Value {
    let merge = find(name).map_or(Merge::Operators, |key| key.merge);
    let (Some(ours), Some(theirs)) = (policy.as_integer(), operator.as_integer()) else {
        return operator;
    };
    let holds = match merge {
        Merge::Smaller => ours <= theirs,
        Merge::Larger => ours >= theirs,
        // Negative means unlimited, so the larger one is the stricter.
        Merge::SmallerOrNone if ours < 0 || theirs < 0 => ours >= theirs,
        Merge::SmallerOrNone => ours <= theirs,
        Merge::Never | Merge::Operators => false,
    };
    if holds { policy } else { operator }
}

impl Takes {
    fn accepts(self, value: &Value) -> bool {
        let text = value.as_str_bytes();
        match self {
            Self::Text => text.is_some(),
            Self::OneOf(words) => text.is_some_and(|text| words.iter().any(|word| word.as_bytes() == text)),
            Self::Age => text.is_some_and(is_age),
            Self::Integer => value.as_integer().is_some(),
            Self::From(least) => value.as_integer().is_some_and(|number| number >= least),
            Self::Within(least, most) => value
                .as_integer()
                .is_some_and(|number| (least..=most).contains(&number)),
            Self::Version => matches!(value.as_integer(), Some(1 | 2)),
        }
    }
}

/// A positive number and a unit: `7D`.
fn is_age(text: &[u8]) -> bool {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    number.iter().any(|digit| *digit != b'0') && matches!(unit, b"Y" | b"M" | b"D" | b"h" | b"m" | b"s")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("max-length", Value::I64(-1), "-1 is not a valid maximum length")]
    #[case("expires", Value::I64(0), "0 is not a valid queue expiry")]
    #[case("overflow", Value::str("what"), "<<\"what\">> is not a valid overflow value")]
    #[case("queue-version", Value::I64(3), "3 is not a valid queue-version value")]
    #[case(
        "alternate-exchange",
        Value::I64(1),
        "1 is not a valid alternate exchange name"
    )]
    #[case("max-age", Value::str("0D"), "<<\"0D\">> is not a valid max age")]
    #[case(
        "delayed-retry-type",
        Value::str("some"),
        "<<\"some\">> is not a valid delayed retry type. Must be one of: all, failed, returned, disabled"
    )]
    #[case(
        "delayed-retry-min",
        Value::I64(0),
        "0 is not a valid delayed retry minimum delay. Must be a positive integer"
    )]
    #[case(
        "delayed-retry-max",
        Value::str("1"),
        "<<\"1\">> is not a valid delayed retry maximum delay. Must be a positive integer"
    )]
    #[case("ha-mode", Value::str("all"), "'ha-mode' is not a recognised policy setting")]
    fn a_wrong_value_is_refused_in_rabbitmqs_words(
        #[case] name: &str,
        #[case] value: Value,
        #[case] text: &str,
    ) {
        assert_eq!(
            check(PolicyKind::User, name, &value).unwrap_err().to_string(),
            text
        );
    }

    #[test]
    fn an_operator_sets_limits_only() {
        assert_eq!(check(PolicyKind::Operator, "max-length", &Value::I64(1)), Ok(()));
        let refused = check(PolicyKind::Operator, "dead-letter-exchange", &Value::str("x"));
        assert_eq!(
            refused,
            Err(PolicyError::UnknownKey("dead-letter-exchange".into()))
        );
    }

    #[rstest]
    #[case("max-length", 5, 9, 5)]
    #[case("max-length", 9, 5, 5)]
    #[case("delivery-limit", -1, 5, 5)]
    #[case("delivery-limit", 5, -1, 5)]
    #[case("delivery-limit", 3, 5, 3)]
    #[case("queue-version", 1, 2, 2)]
    #[case("target-group-size", 5, 3, 5)]
    #[case("delayed-retry-min", 5, 3, 5)]
    #[case("delayed-retry-min", 3, 5, 5)]
    #[case("delayed-retry-max", 5, 3, 3)]
    #[case("delayed-retry-max", 3, 5, 3)]
    fn the_stricter_value_holds(
        #[case] name: &str,
        #[case] policy: i64,
        #[case] operator: i64,
        #[case] holds: i64,
    ) {
        let (policy, operator) = (Value::I64(policy), Value::I64(operator));
        assert_eq!(*merge(name, &policy, &operator), Value::I64(holds));
    }
}
