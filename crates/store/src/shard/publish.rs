//! Accepting one message: checked first, then written into the block that is being built.
//!
//! Invariants:
//! - A message that is refused has changed nothing, in no queue.
//! - It is taken or refused by its longest form, whatever its queues say of it.
//!
//! Elsewhere: many at once that were encoded before (`shard::encoded`), what goes together (`shard::transaction`).

use super::Shard;
use crate::builder;
use crate::disk::Disk;
use crate::error::AppendError;
use crate::format::message::{MessageParts, Origin, Persistence, Reference, Shape};
use crate::format::{byte_count, pad8};
use crate::ids::{BlockNumber, QueueId, Seq};
use crate::index::page::{self, ENTRIES};
use crate::limits::REFERENCES_MAX;
use crate::priority::Priority;
use crate::queue::QueueDurability;

/// A message as it is handed in. Slices are copied once, into the block.
#[derive(Clone, Copy, Debug)]
pub struct NewMessage<'a> {
    /// The queues that get an entry for it; none twice.
    pub queues: &'a [QueueId],
    /// Opaque to the store; the parts are joined.
    pub properties: &'a [&'a [u8]],
    /// The body; the parts are joined.
    pub body: &'a [&'a [u8]],
    /// Whether it outlives the process.
    pub persistence: Persistence,
    /// Kept with each entry, if there is one; counts in queues with priorities, see [`Shard::set_priorities`] and
    /// [`Shard::set_priorities_in_use`].
    pub priority: Priority,
    /// Wall clock, milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// When each entry expires, wall clock in milliseconds: see [`Shard::expire`]. A queue may have a shorter time for it:
    /// see [`Shard::set_time_to_live`].
    pub expires_ms: Option<u64>,
}

/// What a message takes.
struct MessageSize {
    /// Of its record, should it not expire.
    shape: Shape,
    /// Bytes that count against limits.
    counted: u64,
}

impl<D: Disk> Shard<D> {
    /// Accepts a message for its queues. It is durable, and can be leased, when the returned block is durable.
    ///
    /// # Errors
    /// When it can never be stored, a queue is missing, or one of them is full and refuses it
    /// ([`AppendError::QueueFull`]): nothing was changed then, in any queue. When the store is poisoned.
    pub fn publish(&mut self, message: &NewMessage<'_>) -> Result<BlockNumber, AppendError> {
        self.check_alive()?;
        let MessageSize { mut shape, counted } = self.checked_size(message)?;
        let (mut drops, mut skips) = (0, 0);
        // A transaction goes on in the same block, in which the log says once what it skipped.
        let held = self.tail.held_open();
        // What ends with all of its queues is as good as transient.
        let mut persistence = Persistence::Transient;
        for id in message.queues {
            let queue = self
                .state
                .queues
                .open(*id)
                .ok_or(AppendError::UnknownQueue(*id))?;
            if queue.refuses(counted) {
                return Err(AppendError::QueueFull(*id));
            }
            drops += usize::from(queue.limits.is_some());
            shape.expires |= queue
                .expires_ms(message.timestamp_ms, message.expires_ms)
                .is_some();
            if queue.durability == QueueDurability::Durable {
                persistence = message.persistence;
                skips += usize::from(queue.unlogged.is_watched() && held != Some(queue.newest_block));
            }
        }
        let len = shape.record_len();
        // What is dropped for the message is dropped in its block, and what the log skipped before it is said there.
        self.tail.make_room(len + builder::lists_len(drops + skips));
        self.tail.check_held(len)?;
        if skips > 0 && !self.tail.fits(len + builder::lists_len(skips)) {
            let (bytes, limit) = (byte_count(len), self.tail.block_bytes_max());
            return Err(AppendError::TooLarge { bytes, limit });
        }
        let block = self.tail.building_number();
        self.references.clear();
        let mut pages = 0;
        for id in message.queues {
            let queue = self
                .state
                .queues
                .open_mut(*id)
                .ok_or(AppendError::UnknownQueue(*id))?;
            let expires_ms = queue.expires_ms(message.timestamp_ms, message.expires_ms);
            self.references.push(Reference {
                queue: *id,
                seq: Seq::new(queue.next_seq),
                expires_ms: expires_ms.map_or(0, |at| at.max(1)),
            });
            // Of each queue a block may change the page that was begun before, and those that it begins.
            let is_first = queue.newest_block != block;
            pages += usize::from(is_first || queue.next_seq.is_multiple_of(ENTRIES));
            // What is in a queue that ends with the process is nobody's loss.
            if queue.durability == QueueDurability::Durable {
                if persistence == Persistence::Transient {
                    queue.unlogged.watch();
                }
                if is_first && queue.unlogged.is_watched() {
                    self.tail.skip_before(queue);
                }
            }
            queue.accept(counted);
            queue.newest_block = block;
        }
        let parts = MessageParts {
            origin: Origin::Published,
            persistence,
            priority: message.priority,
            message_id: self.state.next_message_id,
            timestamp_ms: message.timestamp_ms,
            properties: message.properties,
            body: message.body,
        };
        self.state.next_message_id += 1;
        let (building, pool) = self.tail.building();
        building.add_pages(pages);
        building.message(&shape, &parts, &self.references, pool);
        if drops > 0 {
            self.make_fit(message.queues)?;
        }
        Ok(block)
    }

    fn checked_size(&self, message: &NewMessage<'_>) -> Result<MessageSize, AppendError> {
        let sum = |parts: &[&[u8]]| parts.iter().map(|part| part.len()).sum::<usize>();
        let queues = message.queues.len();
        let (properties, body) = (sum(message.properties), sum(message.body));
        let shape = Shape {
            references: queues,
            expires: false,
            properties,
            body,
        };
        // In the longest form: whether it is taken does not hang on what its queues say.
        let longest = Shape {
            expires: true,
            ..shape
        };
        let bytes = byte_count(pad8(longest.record_len()));
        let limit = self.transaction_bytes_max();
        if bytes > limit || queues > REFERENCES_MAX {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        Ok(MessageSize {
            shape,
            counted: page::counted_bytes(properties, body),
        })
    }
}
