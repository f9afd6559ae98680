//! What is published: a body, properties beside it, and what a queue goes by.

use super::options::whole_ms;
use std::time::Duration;

/// A message to be published. Borrows its bytes until a [`Batch`](super::Batch) has copied them.
///
/// ```
/// use logpond_store::Message;
/// let message = Message::new("a body of any bytes").with_properties(&[1, 2, 3]);
/// assert_eq!(message.body(), b"a body of any bytes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    properties: &'a [u8],
    body: &'a [u8],
    priority: u8,
    expires_in_ms: Option<u64>,
}

impl<'a> Message<'a> {
    /// A message with this body and no properties.
    #[must_use]
    pub fn new<B: AsRef<[u8]> + ?Sized>(body: &'a B) -> Self {
        Self {
            properties: &[],
            body: body.as_ref(),
            priority: 0,
            expires_in_ms: None,
        }
    }

    /// The same with properties: bytes that travel beside the body and mean nothing to the store.
    #[must_use]
    pub fn with_properties<P: AsRef<[u8]> + ?Sized>(self, properties: &'a P) -> Self {
        Self {
            properties: properties.as_ref(),
            ..self
        }
    }

    /// The same with a priority, which counts in queues that were made with
    /// [`QueueOptions::with_priority_max`](super::QueueOptions::with_priority_max): the highest is fetched first.
    #[must_use]
    pub const fn with_priority(self, priority: u8) -> Self {
        Self { priority, ..self }
    }

    /// The same, but nobody gets it when so much time has passed since it was committed, in whole milliseconds. A queue in
    /// which messages live shorter ([`QueueOptions::with_time_to_live`](super::QueueOptions::with_time_to_live)) goes by
    /// its own time.
    #[must_use]
    pub fn expires_in(self, time: Duration) -> Self {
        self.with_life_ms(Some(whole_ms(time)))
    }

    pub(super) const fn with_life_ms(self, expires_in_ms: Option<u64>) -> Self {
        Self {
            expires_in_ms,
            ..self
        }
    }

    /// Its priority; 0 unless it was given one.
    #[must_use]
    pub const fn priority(&self) -> u8 {
        self.priority
    }

    /// Milliseconds that it lives, if it does not live for ever.
    #[must_use]
    pub const fn expires_in_ms(&self) -> Option<u64> {
        self.expires_in_ms
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The properties.
    #[must_use]
    pub const fn properties(&self) -> &'a [u8] {
        self.properties
    }
}
