//! The exchanges that every virtual host has from the start.

use crate::{ExchangeKind, ExchangeSpec, Name};

/// Where the default virtual host's log messages would be published; other virtual hosts do not have it.
pub const LOG_EXCHANGE: &str = "amq.rabbitmq.log";

/// Name and declaration of each.
pub fn predeclared() -> impl Iterator<Item = (Name, ExchangeSpec)> {
    let open = |kind| ExchangeSpec::durable(kind);
    let internal = |kind| ExchangeSpec {
        internal: true,
        ..ExchangeSpec::durable(kind)
    };
    let all = [
        ("", open(ExchangeKind::Direct)),
        ("amq.direct", open(ExchangeKind::Direct)),
        ("amq.fanout", open(ExchangeKind::Fanout)),
        ("amq.topic", open(ExchangeKind::Topic)),
        ("amq.headers", open(ExchangeKind::Headers)),
        ("amq.match", open(ExchangeKind::Headers)),
        ("amq.rabbitmq.trace", internal(ExchangeKind::Topic)),
    ];
    all.into_iter().map(|(name, spec)| (Name::from(name), spec))
}

/// What [`LOG_EXCHANGE`] is declared as.
#[must_use]
pub fn log_exchange() -> ExchangeSpec {
    ExchangeSpec {
        internal: true,
        ..ExchangeSpec::durable(ExchangeKind::Topic)
    }
}
