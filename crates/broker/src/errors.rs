//! Why a command was refused, in the words of AMQP 0-9-1: reply code, reply text, and what has to close.
//!
//! Invariants: a text always begins with the name of its code; its wording is RabbitMQ's, because clients match on it.

use std::fmt;

/// The reply codes that the broker uses (AMQP 0-9-1, section 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ReplyCode {
    /// A mandatory message reached no queue.
    NoRoute = 312,
    /// An operator closed the connection, or the broker is going away.
    ConnectionForced = 320,
    /// The user may not do this, or somebody uses the thing exclusively.
    AccessRefused = 403,
    /// There is no such queue or exchange.
    NotFound = 404,
    /// The queue belongs to another connection.
    ResourceLocked = 405,
    /// The request contradicts what exists.
    PreconditionFailed = 406,
    /// Bytes that mean nothing.
    SyntaxError = 502,
    /// The channel was not opened.
    ChannelError = 504,
    /// Not allowed in this state.
    NotAllowed = 530,
    /// A feature that the broker does not have.
    NotImplemented = 540,
    /// The storage failed.
    InternalError = 541,
}

impl ReplyCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::NoRoute => 312,
            Self::ConnectionForced => 320,
            Self::AccessRefused => 403,
            Self::NotFound => 404,
            Self::ResourceLocked => 405,
            Self::PreconditionFailed => 406,
            Self::SyntaxError => 502,
            Self::ChannelError => 504,
            Self::NotAllowed => 530,
            Self::NotImplemented => 540,
            Self::InternalError => 541,
        }
    }

    /// The name in the specification, with which each reply text begins.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoRoute => "NO_ROUTE",
            Self::ConnectionForced => "CONNECTION_FORCED",
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }
}

/// What has to close because of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The channel; the connection lives on.
    Channel,
    /// The whole connection.
    Connection,
}

/// A refused command: what closes, with which code and text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct AmqpError {
    /// What has to close.
    pub scope: Scope,
    /// The reply code.
    pub code: ReplyCode,
    /// The reply text, the name of the code included.
    pub text: String,
}

impl AmqpError {
    /// An error that closes the channel. `text` is without the name of the code.
    pub fn channel(code: ReplyCode, text: impl fmt::Display) -> Self {
        Self {
            scope: Scope::Channel,
            code,
            text: format!("{} - {text}", code.name()),
        }
    }

    /// An error that closes the connection. `text` is without the name of the code.
    pub fn connection(code: ReplyCode, text: impl fmt::Display) -> Self {
        Self {
            scope: Scope::Connection,
            code,
            text: format!("{} - {text}", code.name()),
        }
    }

    /// A feature that the broker does not have: closes the connection, as in RabbitMQ.
    pub fn not_implemented(feature: impl fmt::Display) -> Self {
        Self::connection(ReplyCode::NotImplemented, feature)
    }
}

/// What a request is answered with.
pub type Answer<T> = Result<T, AmqpError>;

/// The storage failed: the request's effect is unknown, so the connection ends.
pub(crate) fn storage_failed(cause: impl fmt::Display) -> AmqpError {
    AmqpError::connection(ReplyCode::InternalError, format_args!("storage: {cause}"))
}

/// 404 in RabbitMQ's words.
pub(crate) fn not_found(resource: impl fmt::Display) -> AmqpError {
    AmqpError::channel(ReplyCode::NotFound, format_args!("no {resource}"))
}

/// 406 with this text.
pub(crate) fn precondition_failed(text: impl fmt::Display) -> AmqpError {
    AmqpError::channel(ReplyCode::PreconditionFailed, text)
}

/// 403 with this text.
pub(crate) fn access_refused(text: impl fmt::Display) -> AmqpError {
    AmqpError::channel(ReplyCode::AccessRefused, text)
}
