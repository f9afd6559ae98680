//! Messages in the form in which the log takes them: encoded once, outside of every lock, by whoever brings them.
//!
//! Invariants:
//! - The bytes are message records, one behind the other, each 8-aligned with a padding of zeros. What only the log can give
//!   (ordinal, message id, time, places in the queues, checksums) is zero in them.
//! - A record names each queue once.
//! - No allocation per message.
//!
//! Elsewhere: what the log gives them (`shard::encoded`).

use crate::format::record::{self, MessageRecord, Persistence, UnplacedMessage};
use crate::ids::QueueId;

/// Messages that wait to be published together. What is too large for a record stands in it all the same, with lengths that
/// say so: whoever takes it looks at the bytes first.
#[derive(Default)]
pub(crate) struct EncodedMessages {
    bytes: Vec<u8>,
    count: usize,
    /// The queues, one behind the other; none twice in a row.
    queues: Vec<QueueId>,
    /// The most queues that one message names.
    references_max: usize,
    /// Whether something in it is transient, or expires.
    is_mixed: bool,
    /// The queues of the message that is being added.
    named: Vec<QueueId>,
}

impl EncodedMessages {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            count: 0,
            queues: Vec::new(),
            references_max: 0,
            is_mixed: false,
            named: Vec::new(),
        }
    }

    /// Adds a message for these queues; for one that is named twice, once.
    pub(crate) fn push(&mut self, queues: &[QueueId], message: &UnplacedMessage<'_>) {
        self.is_mixed |= message.persistence == Persistence::Transient || message.life_ms.is_some();
        if let [queue] = queues {
            self.note(*queue);
            self.references_max = self.references_max.max(1);
            record::encode_message(&mut self.bytes, queues, message);
        } else {
            self.named.clear();
            self.named.extend_from_slice(queues);
            self.named.sort_unstable();
            self.named.dedup();
            let named = std::mem::take(&mut self.named);
            named.iter().for_each(|queue| self.note(*queue));
            self.references_max = self.references_max.max(named.len());
            record::encode_message(&mut self.bytes, &named, message);
            self.named = named;
        }
        self.count += 1;
    }

    fn note(&mut self, queue: QueueId) {
        if self.queues.last() != Some(&queue) {
            self.queues.push(queue);
        }
    }

    /// Messages.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// All records.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Each queue that is named, at least once.
    pub(crate) fn queues(&self) -> &[QueueId] {
        &self.queues
    }

    /// The most queues that one message names.
    pub(crate) const fn references_max(&self) -> usize {
        self.references_max
    }

    /// Whether all are persistent, and none expires.
    pub(crate) const fn are_plain(&self) -> bool {
        !self.is_mixed
    }

    /// The messages one by one, each with the milliseconds that it lives; nothing else of what the log gives means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MessageRecord<'_>, Option<u64>)> {
        record::messages(&self.bytes).map(|message| (message, record::life_ms(&message)))
    }
}
