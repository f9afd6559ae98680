//! An ordered map of typed arguments: of a queue, an exchange, a binding, or a message's headers.
//!
//! Invariant: keys are unique and ascending, so equality does not depend on the order in which a
//! client wrote them.

use serde::{Deserialize, Serialize};

use crate::{Name, Value};

/// Arguments by key, in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Arguments(Vec<(Name, Value)>);

impl Arguments {
    /// No arguments.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The arguments of a table: of a key that comes twice the first value counts, as where RabbitMQ looks one up.
    #[must_use]
    pub fn of_table<K: Into<Name>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Self {
        let pairs = pairs.into_iter().map(|(key, value)| (key.into(), value));
        Self::first_of_each(pairs.collect())
    }

    fn first_of_each(mut all: Vec<(Name, Value)>) -> Self {
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.dedup_by(|later, kept| later.0 == kept.0);
        Self(all)
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&Value> {
        self.position(key.as_ref()).ok().map(|at| &self.0[at].1)
    }

    /// Sets `key`; gives back the value that it replaced.
    pub fn insert(&mut self, key: impl Into<Name>, value: Value) -> Option<Value> {
        let key = key.into();
        match self.position(key.as_bytes()) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes `key` out.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> Option<Value> {
        self.position(key.as_ref()).ok().map(|at| self.0.remove(at).1)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, keys ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Name, &Value)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    fn position(&self, key: &[u8]) -> Result<usize, usize> {
        self.0.binary_search_by(|(have, _)| have.as_bytes().cmp(key))
    }
}

/// Of a key that comes twice the last value counts, as for the headers of a message that RabbitMQ routes by them.
impl<K: Into<Name>> FromIterator<(K, Value)> for Arguments {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(pairs: I) -> Self {
        let mut all: Vec<(Name, Value)> = pairs
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect();
        all.reverse();
        Self::first_of_each(all)
    }
}

impl IntoIterator for Arguments {
    type Item = (Name, Value);
    type IntoIter = std::vec::IntoIter<(Name, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_key_counts_and_order_does_not() {
        let written = Arguments::from_iter([("b", Value::Void), ("a", Value::I32(1)), ("a", Value::I32(2))]);
        let mut inserted = Arguments::new();
        assert_eq!(inserted.insert("a", Value::I32(2)), None);
        assert_eq!(inserted.insert("b", Value::I32(1)), None);
        assert_eq!(inserted.insert("b", Value::Void), Some(Value::I32(1)));
        assert_eq!(written, inserted);
        assert_eq!(
            written.iter().map(|(key, _)| key.to_text()).collect::<Vec<_>>(),
            ["a", "b"]
        );
    }

    #[test]
    fn of_equal_keys_in_a_table_the_first_counts() {
        let table = [("b", Value::Void), ("a", Value::I32(1)), ("a", Value::I32(2))];
        let once = Arguments::from_iter([("a", Value::I32(1)), ("b", Value::Void)]);
        assert_eq!(Arguments::of_table(table), once);
    }

    #[test]
    fn what_is_removed_is_gone() {
        let mut arguments = Arguments::from_iter([("a", Value::str("x"))]);
        assert_eq!(arguments.get("a").and_then(Value::as_str_bytes), Some(&b"x"[..]));
        assert_eq!(arguments.remove("a"), Some(Value::str("x")));
        assert_eq!((arguments.remove("a"), arguments.len()), (None, 0));
    }

    #[test]
    fn values_of_another_type_or_other_bits_are_other_values() {
        assert_ne!(Value::I32(1), Value::I64(1));
        assert_ne!(Value::F64(0.0), Value::F64(-0.0));
        assert_eq!(Value::F64(f64::NAN), Value::F64(f64::NAN));
        assert_ne!(Value::str("a"), Value::Bytes(Box::from(*b"a")));
    }
}
