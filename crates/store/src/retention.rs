//! How long the acknowledged messages of a queue can still be read.

/// How much of what was acknowledged in a queue is kept. What goes beyond either bound goes first; without a bound all is kept
/// for ever. Whole segments are kept, so that there may be more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Retention {
    /// Milliseconds after its publication that a message is kept; `None` is no bound.
    pub age_ms: Option<u64>,
    /// Bytes of the newest messages' records that are kept at least, if there are so many; `None` is no bound.
    pub bytes: Option<u64>,
}
