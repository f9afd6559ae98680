//! Exchanges that put messages off (`x-delayed-message`): what they choose by then, and what is wrong with their arguments.

use crate::{Arguments, ExchangeKind, HashArgumentError, Value};

/// Names the kind of exchange that chooses when the time of a message has come.
const KIND: &str = "x-delayed-type";

/// The arguments of an exchange contradict themselves. The texts are those of RabbitMQ and its plugins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeArgumentError {
    /// What a hash exchange hashes.
    #[error(transparent)]
    Hash(#[from] HashArgumentError),
    /// An exchange that puts messages off does not say how it chooses.
    #[error("Invalid argument, 'x-delayed-type' must be an existing exchange type")]
    NoKind,
    /// An exchange that puts messages off does nothing else.
    #[error("Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'")]
    DelayedTwice,
    /// How it chooses is not known.
    #[error("unknown exchange type '{0}'")]
    UnknownKind(String),
}

/// How an exchange with these arguments chooses.
pub(crate) fn kind(arguments: &Arguments) -> Result<ExchangeKind, ExchangeArgumentError> {
    let name = arguments.get(KIND).and_then(Value::as_str_bytes);
    let name = name.ok_or(ExchangeArgumentError::NoKind)?;
    match ExchangeKind::parse(name) {
        Some(ExchangeKind::Delayed) => Err(ExchangeArgumentError::DelayedTwice),
        Some(kind) => Ok(kind),
        None => {
            let name = String::from_utf8_lossy(name).into_owned();
            Err(ExchangeArgumentError::UnknownKind(name))
        }
    }
}
