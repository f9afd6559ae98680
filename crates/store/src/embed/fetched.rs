//! The memory that the deliveries of one fetch share.
//!
//! Invariants:
//! - Messages whose records are shorter than [`SHARED_RECORD_BYTES_MIN`] are copied, one behind the other: that is cheaper than what
//!   sharing takes, and keeps nothing else in memory.
//! - Larger ones stay where they were read, in a block of the log that is in memory or in a reader's window, which lives as long as
//!   a delivery of the fetch. No more than [`SHARED_BYTES_MAX`] of such memory is kept by a store; what would be beyond is copied.

use super::Store;
use super::fetch::FetchReader;
use crate::attempts::Attempts;
use crate::disk::Disk;
use crate::error::ReadError;
use crate::format::message::Shape;
use crate::format::{disk_len, memory_len};
use crate::ids::{QueueId, Seq};
use crate::limits::{SHARED_BYTES_MAX, SHARED_RECORD_BYTES_MIN};
use crate::reader::StoredMessage;
use crate::shard::{Lease, Source, Sources};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much memory of blocks and windows the deliveries of a store keep. A block counts once for each fetch that shares it.
#[derive(Default)]
pub(super) struct SharedBytes(AtomicUsize);

impl SharedBytes {
    /// Whether so many more may be kept; then they count.
    fn take(&self, bytes: usize) -> bool {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        let fits = before + bytes <= SHARED_BYTES_MAX;
        if !fits {
            self.give(bytes);
        }
        fits
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    #[cfg(feature = "sim")]
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module's description.
pub(super) struct Fetched<D: Disk> {
    pub store: Store<D>,
    pub queue: QueueId,
    memory: Memory,
}

/// What messages are gathered in while they are read.
#[derive(Default)]
pub(super) struct Memory {
    copied: Copied,
    shared: Vec<Source>,
    /// What counts of them.
    shared_bytes: usize,
}

/// What is copied: a single small message needs no allocation of its own.
enum Copied {
    Few { bytes: [u8; FEW_BYTES], len: usize },
    Many(Vec<u8>),
}

const FEW_BYTES: usize = 64;

impl Default for Copied {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Copied {
    fn with_capacity(capacity: usize) -> Self {
        if capacity <= FEW_BYTES {
            let bytes = [0; FEW_BYTES];
            return Self::Few { bytes, len: 0 };
        }
        Self::Many(Vec::with_capacity(capacity))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Few { bytes, len } => &bytes[..*len],
            Self::Many(bytes) => bytes,
        }
    }

    /// Appends the parts of a message, and returns where they begin.
    fn extend(&mut self, properties: &[u8], body: &[u8]) -> usize {
        match self {
            Self::Many(bytes) => {
                let start = bytes.len();
                bytes.extend_from_slice(properties);
                bytes.extend_from_slice(body);
                start
            }
            Self::Few { bytes, len } => {
                let (start, middle) = (*len, *len + properties.len());
                let end = middle + body.len();
                if end <= FEW_BYTES {
                    bytes[start..middle].copy_from_slice(properties);
                    bytes[middle..end].copy_from_slice(body);
                    *len = end;
                } else {
                    // What was to be shared may have to be copied after all.
                    *self = Self::Many([&bytes[..start], properties, body].concat());
                }
                start
            }
        }
    }
}

/// Where the content of a message lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Copied,
    /// In the shared memory with this number.
    Shared(u32),
}

/// One message of a fetch. Its properties stand before its body.
#[derive(Clone, Copy)]
pub(super) struct Content {
    pub seq: Seq,
    pub timestamp_ms: u64,
    /// Where its properties begin.
    start: usize,
    properties_len: u32,
    body_len: u32,
    place: Place,
    pub redelivered: bool,
    pub attempts: Attempts,
}

impl Content {
    /// Of a message that was read; where it is to lie is still open.
    fn of(lease: &Lease, message: &StoredMessage<'_>) -> Self {
        Self {
            seq: lease.seq,
            timestamp_ms: message.timestamp_ms,
            start: 0,
            properties_len: disk_len(message.properties.len()),
            body_len: disk_len(message.body.len()),
            place: Place::Copied,
            redelivered: lease.redelivered,
            attempts: lease.attempts,
        }
    }
}

impl Memory {
    /// With room for the copies of what is to be read.
    pub(super) fn for_leases(leases: &[Lease]) -> Self {
        let smallest = Shape {
            references: 1,
            expires: false,
            properties: 0,
            body: 0,
        };
        let head = smallest.record_len();
        let small = leases.iter().map(|lease| memory_len(lease.len));
        let small = small.filter(|len| *len < SHARED_RECORD_BYTES_MIN);
        Self {
            copied: Copied::with_capacity(small.map(|len| len.saturating_sub(head)).sum()),
            ..Self::default()
        }
    }

    /// Takes the message of a lease out of what `reader` finds.
    pub(super) fn gather<D: Disk>(
        &mut self,
        queue: QueueId,
        lease: &Lease,
        reader: &mut FetchReader<'_, D>,
        sources: &Sources,
    ) -> Result<Content, ReadError> {
        let message = reader.message(queue, lease, sources)?;
        let content = Content::of(lease, &message);
        if memory_len(lease.len) < SHARED_RECORD_BYTES_MIN {
            return Ok(self.copy(content, &message));
        }
        if let Some(source) = reader.source(lease, sources)
            && let Some(at) = source.offset(lease.lsn)
            && self.holds(&source, reader.store())
        {
            // A record ends with the properties and the body.
            let end = at + memory_len(lease.len);
            let tail = memory_len(content.properties_len) + memory_len(content.body_len);
            return Ok(Content {
                start: end - tail,
                place: Place::Shared(disk_len(self.shared.len() - 1)),
                ..content
            });
        }
        let message = reader.message(queue, lease, sources)?;
        Ok(self.copy(content, &message))
    }

    fn copy(&mut self, content: Content, message: &StoredMessage<'_>) -> Content {
        let start = self.copied.extend(message.properties, message.body);
        Content { start, ..content }
    }

    /// Sees that `source` is the newest of what is shared; not when that would be too much.
    fn holds<D: Disk>(&mut self, source: &Source, store: &Store<D>) -> bool {
        if self.shared.last().is_some_and(|last| last.is(source)) {
            return true;
        }
        let bytes = source.memory();
        let may = store.shared_bytes().take(bytes);
        if may {
            self.shared_bytes += bytes;
            self.shared.push(source.clone());
        }
        may
    }
}

impl<D: Disk> Fetched<D> {
    /// From here on nothing is added.
    pub(super) fn new(store: &Store<D>, queue: QueueId, memory: Memory) -> Self {
        Self {
            store: store.clone(),
            queue,
            memory,
        }
    }

    pub(super) fn properties(&self, content: &Content) -> &[u8] {
        &self.memory_of(content)[content.start..][..memory_len(content.properties_len)]
    }

    pub(super) fn body(&self, content: &Content) -> &[u8] {
        let start = content.start + memory_len(content.properties_len);
        &self.memory_of(content)[start..][..memory_len(content.body_len)]
    }

    fn memory_of(&self, content: &Content) -> &[u8] {
        match content.place {
            Place::Copied => self.memory.copied.bytes(),
            Place::Shared(number) => self.memory.shared[memory_len(number)].bytes(),
        }
    }
}

impl<D: Disk> Drop for Fetched<D> {
    fn drop(&mut self) {
        if self.memory.shared_bytes > 0 {
            self.store.shared_bytes().give(self.memory.shared_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_its_bound_nothing_more_is_shared_until_something_is_given_back() {
        let shared = SharedBytes::default();
        assert!(shared.take(SHARED_BYTES_MAX - 1));
        assert!(!shared.take(2));
        assert!(shared.take(1));
        shared.give(2);
        assert!(shared.take(2));
    }

    #[test]
    fn copies_begin_where_the_one_before_ends_however_many_there_are() {
        for capacity in [0, FEW_BYTES, FEW_BYTES + 1] {
            let mut copied = Copied::with_capacity(capacity);
            let starts: Vec<_> = (0..10)
                .map(|byte| copied.extend(&[byte; 3], &[byte; 7]))
                .collect();
            assert_eq!(starts, (0..10).map(|copy| copy * 10).collect::<Vec<_>>());
            let expected: Vec<_> = (0..10).flat_map(|byte| [byte; 10]).collect();
            assert_eq!(copied.bytes(), expected);
        }
    }
}
