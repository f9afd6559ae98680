//! Whether a declaration asks for what exists, and RabbitMQ's words when it does not.

use std::fmt;

use logpond_routing::{Arguments, Term, Value};

use crate::errors::{AmqpError, Answer, precondition_failed};

/// Compares one field of the declaration.
pub(crate) fn same_field<T: PartialEq + fmt::Display>(
    name: &str,
    resource: &impl fmt::Display,
    received: &T,
    current: &T,
) -> Answer<()> {
    if received == current {
        return Ok(());
    }
    Err(inequivalent(
        name,
        resource,
        &format_args!("'{received}'"),
        &format_args!("'{current}'"),
    ))
}

/// Compares one argument. Of two that are there the values count, whatever their types.
pub(crate) fn same_argument(
    name: &str,
    resource: &impl fmt::Display,
    received: &Arguments,
    current: &Arguments,
) -> Answer<()> {
    match (received.get(name), current.get(name)) {
        (None, None) => Ok(()),
        (Some(received), Some(current)) if is_same(received, current) => Ok(()),
        (Some(received), Some(current)) => {
            Err(inequivalent(name, resource, &Quoted(received), &Quoted(current)))
        }
        (received, current) => Err(inequivalent(name, resource, &Typed(received), &Typed(current))),
    }
}

fn inequivalent(
    name: &str,
    resource: &impl fmt::Display,
    received: &impl fmt::Display,
    current: &impl fmt::Display,
) -> AmqpError {
    precondition_failed(format_args!(
        "inequivalent arg '{name}' for {resource}: received {received} but current is {current}"
    ))
}

/// Whether two values are the same to RabbitMQ, which keeps their types beside them.
fn is_same(a: &Value, b: &Value) -> bool {
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return a == b;
    }
    match (a, b) {
        (Value::Str(a) | Value::Bytes(a), Value::Str(b) | Value::Bytes(b)) => a == b,
        (Value::F32(narrow), Value::F64(wide)) | (Value::F64(wide), Value::F32(narrow)) => {
            f64::from(*narrow).to_bits() == wide.to_bits()
        }
        _ => a == b,
    }
}

/// Integers of any width and timestamps are the same numbers.
fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Timestamp(seconds) => Some(i128::from(*seconds)),
        _ => value.as_integer().map(i128::from),
    }
}

/// A value of which the other side has one as well.
struct Quoted<'a>(&'a Value);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Void => formatter.write_str("none"),
            value => write!(formatter, "'{}'", Shown(value)),
        }
    }
}

/// A value, or the lack of one, where the other side has it otherwise.
struct Typed<'a>(Option<&'a Value>);

impl fmt::Display for Typed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => formatter.write_str("none"),
            Some(value) => write!(
                formatter,
                "the value '{}' of type '{}'",
                Shown(value),
                value.type_name()
            ),
        }
    }
}

/// A value as RabbitMQ prints it in texts: a string as it is, everything else as a term.
pub(crate) struct Shown<'a>(pub &'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Str(bytes) | Value::Bytes(bytes) => String::from_utf8_lossy(bytes).fmt(formatter),
            other => Term(other).fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use logpond_routing::{Arguments, Value};
    use rstest::rstest;

    use super::{same_argument, same_field};

    fn arguments(value: Value) -> Arguments {
        [("x-max-length", value)].into_iter().collect()
    }

    #[test]
    fn the_text_names_argument_value_type_and_what_is_there() {
        let error = same_argument(
            "x-max-length",
            &"queue 'q' in vhost '/'",
            &arguments(Value::I32(1)),
            &Arguments::new(),
        )
        .unwrap_err();
        assert_eq!(
            error.text,
            "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': \
             received the value '1' of type 'signedint' but current is none"
        );
        let error = same_field("durable", &"queue 'q' in vhost '/'", &false, &true).unwrap_err();
        assert_eq!(
            error.text,
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': \
             received 'false' but current is 'true'"
        );
    }

    #[rstest]
    #[case(Value::U8(5), Value::I64(5))]
    #[case(Value::Timestamp(5), Value::I32(5))]
    #[case(Value::str("x"), Value::Bytes(Box::from(*b"x")))]
    #[case(Value::F32(0.5), Value::F64(0.5))]
    #[case(Value::Void, Value::Void)]
    fn values_are_compared_without_their_types(#[case] received: Value, #[case] current: Value) {
        let (received, current) = (arguments(received), arguments(current));
        assert_eq!(same_argument("x-max-length", &"q", &received, &current), Ok(()));
    }

    #[rstest]
    #[case(Value::I32(1), Value::U8(2), "received '1' but current is '2'")]
    #[case(Value::str("1"), Value::I32(1), "received '1' but current is '1'")]
    #[case(Value::Bool(true), Value::str("yes"), "received 'true' but current is 'yes'")]
    #[case(Value::Void, Value::I32(1), "received none but current is '1'")]
    #[case(
        Value::F64(5.0),
        Value::F32(0.1),
        "received '5.0' but current is '0.10000000149011612'"
    )]
    #[case(
        Value::Array(vec![Value::I32(1), Value::str("a")]),
        Value::Table([("a", Value::I32(1))].into_iter().collect()),
        "received '[{signedint,1},{longstr,<<\"a\">>}]' but current is '[{<<\"a\">>,signedint,1}]'"
    )]
    fn of_two_values_the_text_names_no_types(
        #[case] received: Value,
        #[case] current: Value,
        #[case] text: &str,
    ) {
        let (received, current) = (arguments(received), arguments(current));
        let error = same_argument("x-max-length", &"q", &received, &current).unwrap_err();
        assert_eq!(
            error.text,
            format!("PRECONDITION_FAILED - inequivalent arg 'x-max-length' for q: {text}")
        );
    }
}
