//! Messages and acknowledgements that become durable together.
//!
//! Invariants:
//! - Item `i` begins where item `i - 1` ends, in `queues` as well as in `bytes`.
//! - No allocation per message: bytes and queue ids lie one behind the other.

use super::{Delivery, Message};
use crate::disk::{Disk, RealDisk};
use crate::format::record::Persistence;
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
    items: Vec<Item>,
    queues: Vec<QueueId>,
    bytes: Vec<u8>,
    pub(super) acks: Vec<Delivery<D>>,
}

struct Item {
    queues_end: usize,
    properties_end: usize,
    body_end: usize,
    priority: u8,
    expires_in_ms: Option<u64>,
    persistence: Persistence,
}

/// A message of a batch, with its queues.
pub(super) struct Publication<'a> {
    pub queues: &'a [QueueId],
    pub message: Message<'a>,
}

impl<D: Disk> Batch<D> {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            items: Vec::new(),
            queues: Vec::new(),
            bytes: Vec::new(),
            acks: Vec::new(),
        }
    }

    /// Adds a message for these queues; its bytes are copied. A queue that is named twice gets it once; with no queue at
    /// all there is nothing to publish.
    pub fn publish(&mut self, queues: &[QueueId], message: Message<'_>) {
        if queues.is_empty() {
            return;
        }
        let start = self.queues.len();
        self.queues.extend_from_slice(queues);
        if queues.len() > 1 {
            self.queues[start..].sort_unstable();
            let mut kept = start + 1;
            for at in start + 1..self.queues.len() {
                if self.queues[at] != self.queues[kept - 1] {
                    self.queues[kept] = self.queues[at];
                    kept += 1;
                }
            }
            self.queues.truncate(kept);
        }
        self.bytes.extend_from_slice(message.properties());
        let properties_end = self.bytes.len();
        self.bytes.extend_from_slice(message.body());
        self.items.push(Item {
            queues_end: self.queues.len(),
            properties_end,
            body_end: self.bytes.len(),
            priority: message.priority(),
            expires_in_ms: message.expires_in_ms(),
            persistence: message.persistence(),
        });
    }

    /// Adds the acknowledgement of a delivery: it is done if, and only if, the rest of the batch is.
    pub fn ack(&mut self, delivery: Delivery<D>) {
        self.acks.push(delivery);
    }

    /// Messages and acknowledgements in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len() + self.acks.len()
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages in it.
    pub(super) fn message_count(&self) -> usize {
        self.items.len()
    }

    pub(super) fn publications(&self) -> impl Iterator<Item = Publication<'_>> {
        let (mut queues_start, mut start) = (0, 0);
        self.items.iter().map(move |item| {
            let properties = &self.bytes[start..item.properties_end];
            let message = Message::new(&self.bytes[item.properties_end..item.body_end])
                .with_properties(properties)
                .with_priority(item.priority)
                .with_life_ms(item.expires_in_ms)
                .with_persistence(item.persistence);
            let queues = &self.queues[queues_start..item.queues_end];
            (queues_start, start) = (item.queues_end, item.body_end);
            Publication { queues, message }
        })
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
            .field("messages", &self.items.len())
            .field("bytes", &self.bytes.len())
            .field("acks", &self.acks.len())
            .finish_non_exhaustive()
    }
}
