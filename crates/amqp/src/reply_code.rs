//! Reply codes of `close` and `return`.

/// A reply code; its number and name are the specification's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(u16);

macro_rules! reply_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal,)+) => {
        impl ReplyCode {
            $($(#[doc = $doc])+ pub const $name: Self = Self($number);)+

            /// The name that RabbitMQ puts before a reply text, such as `NOT_FOUND`.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)+
                    _ => None,
                }
            }
        }
    };
}

reply_codes! {
    /// Everything went well.
    REPLY_SUCCESS = 200,
    /// The content is larger than the server takes.
    CONTENT_TOO_LARGE = 311,
    /// A mandatory message reached no queue.
    NO_ROUTE = 312,
    /// An immediate message found no consumer.
    NO_CONSUMERS = 313,
    /// An operator closed the connection, or the server stops.
    CONNECTION_FORCED = 320,
    /// No such virtual host.
    INVALID_PATH = 402,
    /// Not permitted.
    ACCESS_REFUSED = 403,
    /// No such entity.
    NOT_FOUND = 404,
    /// Another connection or consumer holds it alone.
    RESOURCE_LOCKED = 405,
    /// What was asked contradicts what exists.
    PRECONDITION_FAILED = 406,
    /// The peer sent a frame that could not be read.
    FRAME_ERROR = 501,
    /// A method's fields could not be read.
    SYNTAX_ERROR = 502,
    /// The method makes no sense here.
    COMMAND_INVALID = 503,
    /// The channel is not open, or the method belongs to another channel.
    CHANNEL_ERROR = 504,
    /// A frame came where another kind was due.
    UNEXPECTED_FRAME = 505,
    /// The server lacks the means.
    RESOURCE_ERROR = 506,
    /// Not permitted to anybody.
    NOT_ALLOWED = 530,
    /// The server does not do this.
    NOT_IMPLEMENTED = 540,
    /// The server failed.
    INTERNAL_ERROR = 541,
}

impl ReplyCode {
    /// Wraps a number that may not be in the specification.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number on the wire.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether the specification ends the whole connection with it; the others end one channel.
    //= amqp-0-9-1 constants/class (hard-error, soft-error)
    pub const fn ends_connection(self) -> bool {
        matches!(self.0, 320 | 402 | 501..=599)
    }
}

impl std::fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => self.0.fmt(f),
        }
    }
}
