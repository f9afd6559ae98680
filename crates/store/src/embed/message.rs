//! What is published: a body, properties beside it, and what a queue goes by.

use super::options::whole_ms;
use crate::format::message::{Persistence, UnplacedMessage};
use crate::priority::Priority;
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
    priority: Priority,
    expires_in_ms: Option<u64>,
    persistence: Persistence,
}

impl<'a> Message<'a> {
    /// A message with this body and no properties.
    #[must_use]
    pub fn new<B: AsRef<[u8]> + ?Sized>(body: &'a B) -> Self {
        Self {
            properties: &[],
            body: body.as_ref(),
            priority: Priority::NONE,
            expires_in_ms: None,
            persistence: Persistence::Persistent,
        }
    }

    /// The same, but gone after the next open, and in return not written to the disk when nothing beside it is.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use logpond_store::{Batch, Message, Options, QueueOptions, Store};
    /// # let dir = tempfile::tempdir()?;
    /// let (store, _) = Store::open(dir.path(), Options::tiny())?;
    /// let prices = store.queue("prices", QueueOptions::default())?;
    /// let mut batch = Batch::new();
    /// batch.publish(&[prices.id()], Message::new("12.50").transient());
    /// store.commit(batch)?; // waits for no disk
    /// assert_eq!(prices.len(), 1);
    /// store.close()?;
    ///
    /// let (store, _) = Store::open(dir.path(), Options::tiny())?;
    /// assert_eq!(store.find_queue("prices").map(|prices| prices.len()), Some(0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn transient(self) -> Self {
        Self {
            persistence: Persistence::Transient,
            ..self
        }
    }

    /// Whether it outlives the process.
    #[must_use]
    pub const fn persistence(&self) -> Persistence {
        self.persistence
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
        Self {
            priority: Priority::new(priority),
            ..self
        }
    }

    /// The same, but nobody gets it when so much time has passed since it was committed, in whole milliseconds. A queue in
    /// which messages live shorter ([`QueueOptions::with_time_to_live`](super::QueueOptions::with_time_to_live)) goes by
    /// its own time.
    #[must_use]
    pub fn expires_in(self, time: Duration) -> Self {
        Self {
            expires_in_ms: Some(whole_ms(time)),
            ..self
        }
    }

    /// Its priority; 0 unless it was given one.
    #[must_use]
    pub const fn priority(&self) -> u8 {
        match self.priority.get() {
            Some(priority) => priority,
            None => 0,
        }
    }

    /// Milliseconds that it lives, if it does not live for ever.
    #[must_use]
    pub const fn expires_in_ms(&self) -> Option<u64> {
        self.expires_in_ms
    }

    pub(super) const fn unplaced(&self) -> UnplacedMessage<'a> {
        UnplacedMessage {
            properties: self.properties,
            body: self.body,
            persistence: self.persistence,
            priority: self.priority,
            life_ms: self.expires_in_ms,
        }
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
