//! Reading a queue without taking anything off it.
//!
//! Invariants:
//! - The lock is held for one stretch of entries at a time, and for no disk access.
//! - Nothing of the queue's state changes, whatever is read and however the iterator ends.

use super::{FetchError, Queue};
use crate::attempts::Attempts;
use crate::disk::{Disk, RealDisk};
use crate::error::ReadError;
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
    /// Nobody any more: it was acknowledged, expired, dropped or purged, and its segment is still there. Only
    /// [`Queue::history`] shows these.
    Acknowledged,
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
    /// How often it came back: see [`Delivery::attempts`](super::Delivery::attempts).
    pub attempts: Attempts,
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
        peeked.map_err(|error| FetchError::refused(id, error).named(self.queue.name()))?;
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
        let error = match reader.message(id, lease, &sources) {
            Ok(message) if message.timestamp_ms < self.time_min_ms => return None,
            Ok(message) => {
                return Some(Ok(Entry {
                    seq: lease.seq,
                    state,
                    redelivered: lease.redelivered,
                    attempts: lease.attempts,
                    timestamp_ms: message.timestamp_ms,
                    properties: message.properties.to_vec(),
                    body: message.body.to_vec(),
                }));
            }
            Err(error) => error,
        };
        if matches!(error, ReadError::Gone) && self.was_moved(lease) {
            // What follows was probably moved along with it.
            self.stretch.clear();
            self.next = lease.seq;
            return None;
        }
        let error = FetchError::unread(id, lease.seq, error)?;
        Some(Err(error.named(self.queue.name())))
    }

    /// Whether the message still lives, at another place: its segment was evacuated since this looked.
    fn was_moved(&self, lease: &Lease) -> bool {
        let mut found = Vec::new();
        let mut guard = self.queue.store().engine().lock();
        let peeked = guard.shard().peek(self.queue.id(), lease.seq, 1, &mut found);
        let is_elsewhere = |now: &Lease| now.seq == lease.seq && now.lsn != lease.lsn;
        peeked.is_ok() && found.first().is_some_and(is_elsewhere)
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

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests {
    use crate::disk::sim::SimDisk;
    use crate::{Batch, Message, Options, QueueOptions, Store};

    #[test]
    fn a_browse_finds_what_was_moved_to_another_segment_since_it_looked() {
        let disk = SimDisk::new(3);
        let (store, _) = Store::open_on(disk.clone(), Options::tiny()).unwrap();
        let kept = store.queue("kept", QueueOptions::default()).unwrap();
        let passing = store.queue("passing", QueueOptions::default()).unwrap();
        for number in 0..200_u8 {
            let mut batch = Batch::new();
            batch.publish(&[kept.id()], Message::new(&[number]));
            for _ in 0..10 {
                batch.publish(&[passing.id()], Message::new(&[7; 4000]));
            }
            store.commit(batch).unwrap();
        }
        let mut browse = kept.browse();
        assert_eq!(browse.next().unwrap().unwrap().body, [0]);

        let before = store.stats().counters;
        passing.purge().unwrap();
        for _ in 0..10_000 {
            disk.advance(500);
            store.engine().step();
            // The chores follow what is written.
            store.commit(Batch::new()).unwrap();
        }
        let after = store.stats().counters;
        assert!(after.evacuations > before.evacuations, "{after:?}");
        assert!(
            after.segments_recycled > before.segments_recycled + 10,
            "{after:?}"
        );

        let rest: Vec<_> = browse.map(|entry| entry.unwrap().body[0]).collect();
        assert_eq!(rest, (1..200).collect::<Vec<_>>());
    }
}
