//! Messages and acknowledgements that become durable together.
//!
//! Elsewhere: the form in which messages wait in it (`encoded`), and what becomes of them (`commit`).

use super::{Delivery, Message};
use crate::disk::{Disk, RealDisk};
use crate::encoded::EncodedMessages;
use crate::ids::QueueId;

/// What is to become durable as a whole or not at all: messages for any queues, acknowledgements of deliveries from any
/// queues. Dropped without a commit it leaves no trace, and its deliveries go back to their queues.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use logpond_store::{Batch, Message, Options, QueueOptions, Store};
/// # let dir = tempfile::tempdir()?;
/// # let (store, _) = Store::open(dir.path(), Options::tiny())?;
/// let orders = store.queue("orders", QueueOptions::default())?;
/// let audit = store.queue("audit", QueueOptions::default())?;
/// let mut batch = Batch::new();
/// batch.publish(&[orders.id(), audit.id()], Message::new("stored once, in both queues"));
/// batch.publish(&[orders.id()], Message::new("and one for the orders"));
/// store.commit(batch)?;
/// assert_eq!((orders.len(), audit.len()), (2, 1));
/// # Ok(())
/// # }
/// ```
pub struct Batch<D: Disk = RealDisk> {
    pub(super) messages: EncodedMessages,
    pub(super) acks: Vec<Delivery<D>>,
}

impl<D: Disk> Batch<D> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            messages: EncodedMessages::new(),
            acks: Vec::new(),
        }
    }

    /// Adds a message for these queues; its bytes are copied. A queue that is named twice gets it once; with no queue at
    /// all there is nothing to publish.
    pub fn publish(&mut self, queues: &[QueueId], message: Message<'_>) {
        if !queues.is_empty() {
            self.messages.push(queues, &message.unplaced());
        }
    }

    /// Adds the acknowledgement of a delivery: it is done if, and only if, the rest of the batch is.
    pub fn ack(&mut self, delivery: Delivery<D>) {
        self.acks.push(delivery);
    }

    /// Messages and acknowledgements in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.count() + self.acks.len()
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<D: Disk> Default for Batch<D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: Disk> std::fmt::Debug for Batch<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("messages", &self.messages.count())
            .field("bytes", &self.messages.bytes().len())
            .field("acks", &self.acks.len())
            .finish_non_exhaustive()
    }
}
