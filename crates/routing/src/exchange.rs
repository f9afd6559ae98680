//! An exchange: what was declared, and (privately) how it matches.

use serde::{Deserialize, Serialize};

use crate::{Arguments, Name};

/// How an exchange chooses. Further kinds are added here together with their matcher; a kind that is not
/// here cannot be declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExchangeKind {
    /// The routing key equals the binding key.
    Direct,
    /// Always.
    Fanout,
    /// The binding key is a pattern of words.
    Topic,
    /// The binding's arguments are matched with the message's headers.
    Headers,
}

impl ExchangeKind {
    /// The kind of this name; `None` is for the caller to refuse.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"direct" => Self::Direct,
            b"fanout" => Self::Fanout,
            b"topic" => Self::Topic,
            b"headers" => Self::Headers,
            _ => return None,
        })
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }
}

/// What a client declares about an exchange, apart from its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeSpec {
    /// How it chooses.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Is deleted when its last binding as a source goes.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// As declared.
    pub arguments: Arguments,
    /// Takes what this exchange routes nowhere. The caller reads it from `alternate-exchange` or a policy.
    pub alternate: Option<Name>,
}

impl ExchangeSpec {
    /// A durable exchange of this kind without anything special.
    #[must_use]
    pub const fn durable(kind: ExchangeKind) -> Self {
        Self {
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: Arguments::new(),
            alternate: None,
        }
    }
}

/// An exchange of a snapshot.
#[derive(Clone, Debug)]
pub struct Exchange {
    name: Name,
    spec: ExchangeSpec,
}

impl Exchange {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// What was declared.
    #[must_use]
    pub const fn spec(&self) -> &ExchangeSpec {
        &self.spec
    }
}
