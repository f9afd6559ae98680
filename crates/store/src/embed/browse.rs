//! Reading a queue without taking anything off it.
//!
//! Invariants:
//! - The lock is held for one stretch of entries at a time, and for no disk access.
//! - Nothing of the queue's state changes, whatever is read and however the iterator ends.

use super::{FetchError, Queue};
use crate::disk::{Disk, RealDisk};
use crate::ids::Seq;
use crate::limits::BROWSE_ENTRIES_MAX;
use crate::reader::Reader;
use crate::shard::{Lease, Sources};
use std::collections::VecDeque;

/// Where a replay begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the oldest message that is not acknowledged.
    Start,
    /// At this message, or the first one behind it.
    Seq(Seq),
    /// With messages published at this time or later: wall clock, milliseconds since the Unix epoch. Messages before are
    /// read and passed over.
    Time(u64),
}

/// Who has a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// Nobody: it can be fetched.
    Ready,
    /// A consumer that has not settled it.
    Leased,
}

/// A message that was read without being taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place in its queue.
    pub seq: Seq,
    /// Who had it when it was read.
    pub state: EntryState,
    /// Whether its next delivery may not be its first.
    pub redelivered: bool,
    /// Wall clock of its publication, milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// The properties, as published.
    pub properties: Vec<u8>,
    /// The body, as published.
    pub body: Vec<u8>,
}

/// An iterator over the messages of a queue, made by [`Queue::replay`] and [`Queue::browse`]. A message that cannot be read
/// is one error, and the iterator goes on behind it; when the queue itself is gone, it ends.
#[must_use = "an iterator does nothing unless it is asked"]
pub struct Browse<D: Disk = RealDisk> {
    queue: Queue<D>,
    stretch: VecDeque<(Lease, EntryState)>,
    next: Seq,
    time_min_ms: u64,
    is_done: bool,
    reader: Option<Reader<D>>,
}

impl<D: Disk> Browse<D> {
    pub(super) fn new(queue: &Queue<D>, from: From) -> Self {
        let (next, time_min_ms) = match from {
            From::Start => (Seq::new(0), 0),
            From::Seq(seq) => (seq, 0),
            From::Time(ms) => (Seq::new(0), ms),
        };
        Self {
            queue: queue.clone(),
            stretch: VecDeque::new(),
            next,
            time_min_ms,
            is_done: false,
            reader: Some(queue.store().take_reader()),
        }
    }

    /// Notes the next entries and who has them.
    fn look(&mut self) -> Result<(), FetchError> {
        let id = self.queue.id();
        let mut found = Vec::new();
        let mut guard = self.queue.store().engine().lock();
        let shard = guard.shard();
        let peeked = shard.peek(id, self.next, BROWSE_ENTRIES_MAX, &mut found);
        peeked.map_err(|error| FetchError::refused(id, error))?;
        for lease in found {
            let state = if shard.is_leased(id, lease.seq) {
                EntryState::Leased
            } else {
                EntryState::Ready
            };
            self.next = lease.seq.next();
            self.stretch.push_back((lease, state));
        }
        Ok(())
    }

    /// The message, unless it is gone by now or older than asked for.
    fn read(&mut self, lease: &Lease, state: EntryState) -> Option<Result<Entry, FetchError>> {
        let (id, sources) = (self.queue.id(), Sources::default());
        let reader = self.reader.as_mut()?;
        match reader.message(id, lease, &sources) {
            Ok(message) if message.timestamp_ms < self.time_min_ms => None,
            Ok(message) => Some(Ok(Entry {
                seq: lease.seq,
                state,
                redelivered: lease.redelivered,
                timestamp_ms: message.timestamp_ms,
                properties: message.properties.to_vec(),
                body: message.body.to_vec(),
            })),
            Err(error) => FetchError::unread(id, lease.seq, error).map(Err),
        }
    }
}

impl<D: Disk> Iterator for Browse<D> {
    type Item = Result<Entry, FetchError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_done {
            while let Some((lease, state)) = self.stretch.pop_front() {
                if let Some(read) = self.read(&lease, state) {
                    return Some(read);
                }
            }
            let looked = self.look();
            self.is_done = self.stretch.is_empty();
            if let Err(error) = looked {
                return Some(Err(error));
            }
        }
        None
    }
}

impl<D: Disk> Drop for Browse<D> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.queue.store().give_reader(reader);
        }
    }
}
