//! Why talking to a broker ended, one variant for each thing that the user can do about it.

use std::io;

use logpond_amqp::{ContentError, FrameError, MethodError, ReplyCode};

/// What the broker closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The whole connection.
    Connection,
    /// The channel.
    Channel,
}

/// Why talking to a broker ended.
#[derive(Debug)]
pub enum ClientError {
    /// Nobody answers there.
    Unreachable { address: String, source: io::Error },
    /// Somebody answers, but not in AMQP 0-9-1.
    NotAmqp { address: String },
    /// The broker does not let this user in.
    Refused { code: ReplyCode, text: String },
    /// The broker closed what we had opened, and says why.
    Closed {
        scope: Scope,
        code: ReplyCode,
        text: String,
    },
    /// The broker deleted or moved the queue under the consumer.
    Cancelled,
    /// The connection broke.
    Broken(io::Error),
    /// Nothing was heard for two heartbeats, or no answer came in time.
    Silent { seconds: u64 },
    /// The broker sent what cannot be read.
    Unreadable(Unreadable),
    /// The broker sent something that makes no sense at this point.
    Unexpected { method: String },
}

/// What could not be read.
#[derive(Debug)]
pub enum Unreadable {
    /// No frame.
    Frame(FrameError),
    /// No method.
    Method(MethodError),
    /// No content header.
    Content(ContentError),
}

impl ClientError {
    /// Whether the connection was never ready for use.
    pub fn is_connecting(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::NotAmqp { .. } | Self::Refused { .. }
        )
    }
}

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable { address, .. } => write!(f, "cannot connect to {address}"),
            Self::NotAmqp { address } => write!(f, "{address} does not speak AMQP 0-9-1"),
            Self::Refused { code, text } => {
                write!(f, "the broker refused the login: {}", reason(*code, text))
            }
            Self::Closed {
                scope: Scope::Connection,
                code,
                text,
            } => {
                write!(f, "the broker closed the connection: {}", reason(*code, text))
            }
            Self::Closed {
                scope: Scope::Channel,
                code,
                text,
            } => {
                write!(f, "the broker closed the channel: {}", reason(*code, text))
            }
            Self::Cancelled => {
                f.write_str("the broker cancelled the consumer: its queue is gone or has moved")
            }
            Self::Broken(_) => f.write_str("the connection broke"),
            Self::Silent { seconds } => write!(f, "the broker was silent for {seconds} seconds"),
            Self::Unreadable(Unreadable::Frame(error)) => {
                write!(f, "the broker sent a broken frame: {error}")
            }
            Self::Unreadable(Unreadable::Method(error)) => {
                write!(f, "the broker sent a broken method: {error}")
            }
            Self::Unreadable(Unreadable::Content(error)) => {
                write!(f, "the broker sent broken content: {error}")
            }
            Self::Unexpected { method } => write!(f, "the broker sent {method}, which makes no sense here"),
        }
    }
}

/// RabbitMQ's texts begin with the code's name; others do not.
fn reason(code: ReplyCode, text: &str) -> String {
    let named = code.name().is_some_and(|name| text.starts_with(name));
    if named {
        format!("{} {text}", code.get())
    } else {
        format!("{code} {text}")
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable { source, .. } | Self::Broken(source) => Some(source),
            _ => None,
        }
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<FrameError> for ClientError {
    fn from(error: FrameError) -> Self {
        Self::Unreadable(Unreadable::Frame(error))
    }
}

impl From<MethodError> for ClientError {
    fn from(error: MethodError) -> Self {
        Self::Unreadable(Unreadable::Method(error))
    }
}

impl From<ContentError> for ClientError {
    fn from(error: ContentError) -> Self {
        Self::Unreadable(Unreadable::Content(error))
    }
}
