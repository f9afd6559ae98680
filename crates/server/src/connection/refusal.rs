//! Why a connection or a channel is closed by us: reply code, text, and the method that was at fault.

use std::borrow::Cow;

use logpond_amqp::limits::SHORT_STRING_BYTES_MAX;
use logpond_amqp::{ChannelId, ContentError, FrameError, MethodError, MethodId, ReplyCode, ShortStr, method};
use logpond_broker::{AmqpError, Scope};

/// No method was at fault.
const NO_METHOD: MethodId = MethodId::new(0, 0);

/// How a text ends that was cut.
const DOTS: &str = "...";

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
            reply_text: ShortStr::truncated(&self.reply_text()),
            class_id: self.method.class(),
            method_id: self.method.method(),
        }
        .encode(ChannelId::CONNECTION, out);
    }

    /// Appends `channel.close`.
    pub fn encode_channel_close(&self, channel: ChannelId, out: &mut Vec<u8>) {
        method::channel::Close {
            reply_code: self.code.get(),
            reply_text: ShortStr::truncated(&self.reply_text()),
            class_id: self.method.class(),
            method_id: self.method.method(),
        }
        .encode(channel, out);
    }

    /// The text, cut to what fits a short string: RabbitMQ lets it end with dots then.
    fn reply_text(&self) -> Cow<'_, str> {
        if self.text.len() <= SHORT_STRING_BYTES_MAX {
            return Cow::Borrowed(&self.text);
        }
        let end = self.text.floor_char_boundary(SHORT_STRING_BYTES_MAX - DOTS.len());
        Cow::Owned(format!("{}{DOTS}", &self.text[..end]))
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
    /// The same, naming the method at fault. None is when its frame is broken.
    pub fn by(self, method: MethodId) -> Self {
        match self {
            Self::Connection(refusal) if refusal.code == ReplyCode::FRAME_ERROR => Self::Connection(refusal),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_ends_with_three_dots() {
        let told = |len: usize| {
            let refusal = Refusal::new(ReplyCode::NOT_FOUND, "é".repeat(len));
            let mut out = Vec::new();
            refusal.encode_channel_close(ChannelId::CONNECTION, &mut out);
            // Frame header, method and code, then the text and its length, two numbers and the end.
            let text = out[13..out.len() - 5].strip_prefix(&[out[13]]).unwrap();
            String::from_utf8(text.to_vec()).unwrap()
        };
        assert_eq!(told(121), format!("NOT_FOUND - {}", "é".repeat(121)));
        assert_eq!(told(122), format!("NOT_FOUND - {}...", "é".repeat(120)));
    }
}
