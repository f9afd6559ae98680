//! Whether a declaration asks for what exists, and RabbitMQ's words when it does not.

use std::fmt;

use logpond_routing::{Arguments, Value};

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

/// Compares one argument.
pub(crate) fn same_argument(
    name: &str,
    resource: &impl fmt::Display,
    received: &Arguments,
    current: &Arguments,
) -> Answer<()> {
    match (received.get(name), current.get(name)) {
        (None, None) => Ok(()),
        (Some(received), Some(current)) if is_same(received, current) => Ok(()),
        (Some(received), Some(current)) if class(received) == class(current) => Err(inequivalent(
            name,
            resource,
            &format_args!("'{}'", Shown(received)),
            &format_args!("'{}'", Shown(current)),
        )),
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

/// Integers of any width are of one class.
fn class(value: &Value) -> &'static str {
    if value.as_integer().is_some() {
        "integer"
    } else {
        value.type_name()
    }
}

fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_integer(), b.as_integer()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

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

/// A value as RabbitMQ prints it in texts.
pub(crate) struct Shown<'a>(pub &'a Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Bool(value) => value.fmt(formatter),
            Value::F32(value) => value.fmt(formatter),
            Value::F64(value) => value.fmt(formatter),
            Value::Str(bytes) | Value::Bytes(bytes) => String::from_utf8_lossy(bytes).fmt(formatter),
            Value::Timestamp(value) => value.fmt(formatter),
            Value::Void => formatter.write_str("undefined"),
            other => match other.as_integer() {
                Some(number) => number.fmt(formatter),
                None => write!(formatter, "{other:?}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use logpond_routing::{Arguments, Value};

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

    #[test]
    fn integers_of_different_width_are_the_same() {
        let (narrow, wide) = (arguments(Value::U8(5)), arguments(Value::I64(5)));
        assert_eq!(same_argument("x-max-length", &"q", &narrow, &wide), Ok(()));
    }
}
