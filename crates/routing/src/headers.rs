//! How the arguments of a binding are matched with the headers of a message.
//!
//! `x-match` says whether all or any of the arguments must match, and whether those whose name begins with
//! `x-` count (`all-with-x`, `any-with-x`); `x-match` itself never does. Without it: all. So no argument at
//! all matches every message, and `any` of nothing matches none.
//!
//! Values match by content, not by wire type: integers of all widths with each other, floats of both
//! widths, strings with byte arrays. An integer is no float, and "1" is not 1. A void argument asks only
//! whether the header is there. Inside arrays and tables types count.
//!
//! One difference to RabbitMQ 4.3: there a timestamp argument never matches, since the message's is
//! converted to milliseconds and the binding's is not. Here equal timestamps match.

use crate::{Arguments, BindError, Term, Value};

const X_MATCH: &str = "x-match";

/// What `x-match` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MatchRule {
    quantifier: Quantifier,
    x_headers: XHeaders,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    All,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum XHeaders {
    Ignored,
    Counted,
}

impl MatchRule {
    /// Reads the rule from a binding's arguments.
    pub(crate) fn of(arguments: &Arguments) -> Result<Self, BindError> {
        let rule = |quantifier, x_headers| {
            Ok(Self {
                quantifier,
                x_headers,
            })
        };
        match arguments.get(X_MATCH) {
            None => rule(Quantifier::All, XHeaders::Ignored),
            Some(Value::Str(text)) => match &**text {
                b"all" => rule(Quantifier::All, XHeaders::Ignored),
                b"any" => rule(Quantifier::Any, XHeaders::Ignored),
                b"all-with-x" => rule(Quantifier::All, XHeaders::Counted),
                b"any-with-x" => rule(Quantifier::Any, XHeaders::Counted),
                _ => Err(BindError::InvalidArgument(format!(
                    "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
                    Term(&Value::Str(text.clone())),
                ))),
            },
            Some(other) => Err(BindError::InvalidArgument(format!(
                "Invalid x-match field type {} (value {}); expected longstr",
                other.type_name(),
                Term(other),
            ))),
        }
    }

    /// Whether a message with these headers fits a binding with these arguments.
    pub(crate) fn matches(self, arguments: &Arguments, headers: &Arguments) -> bool {
        let counts = |name: &[u8]| match self.x_headers {
            XHeaders::Ignored => !name.starts_with(b"x-"),
            XHeaders::Counted => name != X_MATCH.as_bytes(),
        };
        let mut asked = arguments.iter().filter(|(name, _)| counts(name.as_bytes()));
        let met = |(name, wanted): (&crate::Name, &Value)| {
            headers.get(name).is_some_and(|have| meets(have, wanted))
        };
        match self.quantifier {
            Quantifier::All => asked.all(met),
            Quantifier::Any => asked.any(met),
        }
    }
}

fn meets(have: &Value, wanted: &Value) -> bool {
    match (have, wanted) {
        (_, Value::Void) => true,
        (Value::Str(a) | Value::Bytes(a), Value::Str(b) | Value::Bytes(b)) => a == b,
        _ => match (integer(have), integer(wanted), float(have), float(wanted)) {
            (Some(a), Some(b), ..) => a == b,
            (_, _, Some(a), Some(b)) => a.to_bits() == b.to_bits(),
            _ => have == wanted,
        },
    }
}

fn integer(value: &Value) -> Option<i64> {
    value.as_integer()
}

fn float(value: &Value) -> Option<f64> {
    match *value {
        Value::F32(n) => Some(n.into()),
        Value::F64(n) => Some(n),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
