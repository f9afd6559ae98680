//! What routing refuses to grow beyond.

/// Words of a topic pattern. An AMQP routing key has at most 256 (255 dots), so AMQP never meets this;
/// the matcher descends one call per word, and this bounds its stack.
pub const PATTERN_WORDS_MAX: usize = 1024;

const _: () = assert!(
    PATTERN_WORDS_MAX > 256,
    "every AMQP routing key is a legal pattern"
);
