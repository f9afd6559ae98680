//! Why a connection or a channel is closed by us: reply code, text, and the method that was at fault.

use logpond_amqp::{ChannelId, ContentError, FrameError, MethodError, MethodId, ReplyCode, ShortStr, method};
use logpond_broker::{AmqpError, Scope};

/// No method was at fault.
const NO_METHOD: MethodId = MethodId::new(0, 0);

/// What a `close` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub code: ReplyCode,
    /// With the name of the code in front, as RabbitMQ writes it.
    pub text: String,
    pub method: MethodId,
}

impl Refusal {
    /// `text` is without the name of the code.
    pub fn new(code: ReplyCode, text: impl std::fmt::Display) -> Self {
        let text = match code.name() {
            Some(name) => format!("{name} - {text}"),
            None => text.to_string(),
        };
        Self {
            code,
            text,
            method: NO_METHOD,
        }
    }

    /// The same, naming the method at fault.
    pub fn by(self, method: MethodId) -> Self {
        Self { method, ..self }
    }

    /// Appends `connection.close`.
    pub fn encode_connection_close(&self, out: &mut Vec<u8>) {
        method::connection::Close {
            reply_code: self.code.get(),
            reply_text: ShortStr::truncated(&self.text),
            class_id: self.method.class(),
            method_id: self.method.method(),
        }
        .encode(ChannelId::CONNECTION, out);
    }

    /// Appends `channel.close`.
    pub fn encode_channel_close(&self, channel: ChannelId, out: &mut Vec<u8>) {
        method::channel::Close {
            reply_code: self.code.get(),
            reply_text: ShortStr::truncated(&self.text),
            class_id: self.method.class(),
            method_id: self.method.method(),
        }
        .encode(channel, out);
    }
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        Self::new(error.reply_code(), error)
    }
}

impl From<MethodError> for Refusal {
    fn from(error: MethodError) -> Self {
        Self::new(error.reply_code(), error).by(error.method_id())
    }
}

impl From<ContentError> for Refusal {
    fn from(error: ContentError) -> Self {
        Self::new(error.reply_code(), error).by(method::basic::Publish::ID)
    }
}

/// What has to close, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// One channel.
    Channel(Refusal),
    /// Everything.
    Connection(Refusal),
}

impl Failure {
    /// The same, naming the method at fault.
    pub fn by(self, method: MethodId) -> Self {
        match self {
            Self::Channel(refusal) => Self::Channel(refusal.by(method)),
            Self::Connection(refusal) => Self::Connection(refusal.by(method)),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Connection(refusal)
    }
}

impl From<AmqpError> for Failure {
    fn from(error: AmqpError) -> Self {
        let refusal = Refusal {
            code: ReplyCode::new(error.code.number()),
            text: error.text,
            method: NO_METHOD,
        };
        match error.scope {
            Scope::Channel => Self::Channel(refusal),
            Scope::Connection => Self::Connection(refusal),
        }
    }
}
