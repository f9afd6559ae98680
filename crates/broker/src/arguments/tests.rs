//! What arguments of queues and consumers are taken, and in which words the others are refused.

use rstest::rstest;

use super::*;
use crate::errors::{ReplyCode, Scope};

const QUEUE: &str = "queue 'q' in vhost '/'";

fn checked(name: &str, value: Value) -> Answer<()> {
    let arguments: Arguments = [(name, value)].into_iter().collect();
    let kind = queue_kind(&QUEUE, &arguments)?;
    check(&QUEUE, kind, &arguments)
}

#[rstest]
#[case("x-max-length", Value::I32(-1), "{value_negative,-1}")]
#[case("x-max-length", Value::str("5"), "\"expected integer, got longstr\"")]
#[case("x-message-ttl", Value::I32(-1), "{value_negative,-1}")]
#[case("x-expires", Value::I32(0), "{value_zero,0}")]
#[case(
    "x-message-ttl",
    Value::I64(315_360_000_001),
    "{value_too_large,315360000001}"
)]
#[case("x-expires", Value::I64(315_360_000_001), "{value_too_large,315360000001}")]
#[case("x-expires", Value::I32(-1), "{value_negative,-1}")]
#[case("x-max-priority", Value::I32(256), "{max_value_exceeded,256}")]
#[case("x-overflow", Value::str("what"), "invalid_overflow")]
#[case("x-queue-type", Value::str("what"), "\"unsupported queue type 'what'\"")]
#[case(
    "x-dead-letter-routing-key",
    Value::str("k"),
    "routing_key_but_no_dlx_defined"
)]
#[case("x-max-length", Value::Bool(true), "\"expected integer, got bool\"")]
#[case("x-dead-letter-exchange", Value::I32(1), "{unacceptable_type,signedint}")]
#[case("x-overflow", Value::Bool(true), "{unacceptable_type,bool}")]
#[case("x-queue-version", Value::I32(1), "\"unsupported queue version '1'\"")]
#[case("x-queue-version", Value::I32(-2), "{value_negative,-2}")]
#[case("x-queue-version", Value::str("2"), "\"expected integer, got longstr\"")]
#[case("x-queue-leader-locator", Value::str("moon"), "invalid_queue_locator_arg")]
#[case("x-queue-leader-locator", Value::I32(1), "{unacceptable_type,signedint}")]
#[case("x-queue-type", Value::I32(1), "{unacceptable_type,signedint}")]
fn an_invalid_value_is_refused_in_rabbitmqs_words(
    #[case] name: &str,
    #[case] value: Value,
    #[case] problem: &str,
) {
    let error = checked(name, value).unwrap_err();
    assert_eq!(
        error.text,
        format!("PRECONDITION_FAILED - invalid arg '{name}' for {QUEUE}: {problem}")
    );
    assert_eq!(error.scope, Scope::Channel);
}

#[rstest]
#[case("x-dead-letter-strategy", Value::str("often"), "invalid_dlx_strategy")]
#[case("x-quorum-initial-group-size", Value::I32(0), "{value_zero,0}")]
#[case("x-quorum-initial-group-size", Value::I32(-1), "{value_negative,-1}")]
#[case(
    "x-quorum-initial-group-size",
    Value::str("3"),
    "\"expected integer, got longstr\""
)]
#[case("x-max-in-memory-length", Value::I32(-1), "{value_negative,-1}")]
#[case("x-max-in-memory-bytes", Value::I32(-1), "{value_negative,-1}")]
#[case("x-queue-leader-locator", Value::str("moon"), "invalid_queue_locator_arg")]
fn an_invalid_value_of_a_quorum_queues_argument_is_refused_in_rabbitmqs_words(
    #[case] name: &str,
    #[case] value: Value,
    #[case] problem: &str,
) {
    let arguments = [(name, value)].into_iter().collect();
    let error = check(&QUEUE, QueueKind::Quorum, &arguments).unwrap_err();
    assert_eq!(
        error.text,
        format!("PRECONDITION_FAILED - invalid arg '{name}' for {QUEUE}: {problem}")
    );
}

#[rstest]
#[case(&[], QueueKind::Classic)]
#[case(&[("x-queue-type", "")], QueueKind::Classic)]
#[case(&[("x-queue-type", "undefined")], QueueKind::Classic)]
#[case(&[("x-queue-type", "classic")], QueueKind::Classic)]
#[case(&[("x-queue-type", "quorum")], QueueKind::Quorum)]
fn who_names_no_kind_of_queue_gets_the_default(#[case] arguments: &[(&str, &str)], #[case] kind: QueueKind) {
    let arguments = arguments.iter().map(|(name, kind)| (*name, Value::str(kind)));
    assert_eq!(queue_kind(&QUEUE, &arguments.collect()), Ok(kind));
}

#[rstest]
#[case("x-delayed-retry-min", Value::I32(1))]
#[case("x-delayed-retry-type", Value::str("all"))]
fn an_argument_whose_feature_is_missing_is_refused_by_name(#[case] name: &str, #[case] value: Value) {
    let quorum = ("x-queue-type", Value::str("quorum"));
    let arguments: Arguments = [quorum, (name, value)].into_iter().collect();
    let error = check(&QUEUE, QueueKind::Quorum, &arguments).unwrap_err();
    assert_eq!(
        (error.scope, error.code),
        (Scope::Connection, ReplyCode::NotImplemented)
    );
    assert_eq!(error.text, format!("NOT_IMPLEMENTED - {name}"));
}

#[rstest]
#[case(QueueKind::Classic, "x-delivery-limit", Value::I32(3))]
#[case(QueueKind::Classic, "x-dead-letter-strategy", Value::str("at-most-once"))]
#[case(QueueKind::Classic, "x-consumer-timeout", Value::I32(3))]
#[case(QueueKind::Classic, "x-consumer-timeout", Value::str("never"))]
#[case(QueueKind::Classic, "x-max-age", Value::str("1D"))]
#[case(QueueKind::Classic, "x-max-age", Value::I32(1))]
#[case(QueueKind::Quorum, "x-queue-version", Value::I32(1))]
#[case(QueueKind::Quorum, "x-max-priority", Value::I32(3))]
fn an_argument_of_another_kind_of_queue_is_refused(
    #[case] kind: QueueKind,
    #[case] name: &str,
    #[case] value: Value,
) {
    let error = check(&QUEUE, kind, &[(name, value)].into_iter().collect()).unwrap_err();
    let kind = kind.as_str();
    assert_eq!(
        error.text,
        format!("PRECONDITION_FAILED - invalid arg '{name}' for {QUEUE} of queue type rabbit_{kind}_queue")
    );
}

#[rstest]
#[case(QueueKind::Quorum, "x-consumer-timeout", Value::I32(-1), ": {value_negative,-1}")]
#[case(
    QueueKind::Quorum,
    "x-consumer-timeout",
    Value::str("never"),
    ": \"expected integer, got longstr\""
)]
#[case(QueueKind::Classic, "x-consumer-timeout", Value::I32(-1), " of queue type rabbit_classic_queue")]
#[case(
    QueueKind::Quorum,
    "x-stream-offset",
    Value::I32(1),
    " of queue type rabbit_quorum_queue"
)]
#[case(
    QueueKind::Classic,
    "x-priority",
    Value::str("high"),
    ": \"expected integer, got longstr\""
)]
fn a_consumers_invalid_argument_is_refused_in_rabbitmqs_words(
    #[case] kind: QueueKind,
    #[case] name: &str,
    #[case] value: Value,
    #[case] problem: &str,
) {
    let error = check_consumer(&QUEUE, kind, &[(name, value)].into_iter().collect()).unwrap_err();
    let expected = format!("PRECONDITION_FAILED - invalid arg '{name}' for {QUEUE}{problem}");
    assert_eq!((error.scope, error.text), (Scope::Channel, expected));
}

#[rstest]
#[case("x-overflow", Value::str("reject-publish-dlx"))]
#[case("x-dead-letter-exchange", Value::str(""))]
#[case("x-unknown", Value::I32(1))]
#[case("x-queue-type", Value::str("quorum"))]
#[case("x-queue-mode", Value::str("lazy"))]
#[case("x-queue-version", Value::I32(2))]
#[case("x-queue-leader-locator", Value::str("min-masters"))]
#[case("x-overflow", Value::str("drop-head"))]
#[case("x-single-active-consumer", Value::Bool(true))]
#[case("x-overflow", Value::str("reject-publish"))]
#[case("x-max-length", Value::I32(10))]
#[case("x-max-length-bytes", Value::I32(0))]
#[case("x-message-ttl", Value::I64(315_360_000_000))]
#[case("x-expires", Value::I64(315_360_000_000))]
#[case("x-max-priority", Value::U8(10))]
fn what_is_served_or_changes_nothing_is_accepted(#[case] name: &str, #[case] value: Value) {
    assert_eq!(checked(name, value), Ok(()));
}
