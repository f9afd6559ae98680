//! Reading a queue with all that its segments still hold: what waits, what consumers have, and what was acknowledged.
//!
//! Two orders are merged: what lives, as the index knows it ([`Browse`]), and what the log still holds (`history`). An entry
//! that lives is taken from the index, which finds it also where the log is damaged; the log alone knows the others.
//!
//! Invariants:
//! - What lived when the index was asked is met there, and what was dead by then is met in the log: an entry that dies
//!   meanwhile is not passed over.
//! - Nothing of the queue's state changes.

use super::{Browse, Entry, EntryState, FetchError, From, Queue, QueueIdentity};
use crate::attempts::Attempts;
use crate::disk::{Disk, RealDisk};
use crate::history::{Past, Place, Unread};
use crate::ids::Seq;
use crate::reader::Reader;
use crate::shard::{COLD, Fate, Lease, Sources};
use std::sync::Arc;

/// An iterator over all messages of a queue that its segments still hold, made by [`Queue::history`]. A message that cannot be
/// read is one error, and the iterator goes on behind it; when the queue itself is gone, it ends. Acknowledged messages in a
/// damaged block are passed over: nothing tells any more that they were there.
///
/// While it is there, the segment that it has come to is not recycled.
#[must_use = "an iterator does nothing unless it is asked"]
pub struct History<D: Disk = RealDisk> {
    queue: Queue<D>,
    living: Browse<D>,
    /// What lives and comes next; `None` before it was asked for.
    head: Option<Option<Result<Entry, FetchError>>>,
    past: Past<D>,
    next: u64,
    time_min_ms: u64,
    is_done: bool,
    reader: Option<Reader<D>>,
}

impl<D: Disk> History<D> {
    pub(super) fn new(queue: &Queue<D>, from: From) -> Self {
        let (next, time_min_ms) = match from {
            From::Start => (0, 0),
            From::Seq(seq) => (seq.get(), 0),
            From::Time(ms) => (0, ms),
        };
        Self {
            queue: queue.clone(),
            living: Browse::new(queue, from),
            head: None,
            past: Past::new(queue.store().engine(), queue.id()),
            next,
            time_min_ms,
            is_done: false,
            reader: Some(queue.store().take_reader()),
        }
    }

    /// The entry at a place, unless it is gone, older than asked for, or vanished with its process.
    fn read(&mut self, place: &Place) -> Option<Result<Entry, FetchError>> {
        let id = self.queue.id();
        let fate = self.queue.store().engine().lock().shard().fate(id, place);
        let state = match fate {
            Some(Fate::Dead) => EntryState::Acknowledged,
            Some(Fate::Leased) => EntryState::Leased,
            Some(Fate::Ready) => EntryState::Ready,
            Some(Fate::Vanished) => return None,
            None => {
                self.is_done = true;
                return Some(Err(FetchError::UnknownQueue(self.identity())));
            }
        };
        let (lease, sources) = (lease_of(place), Sources::default());
        match self.reader.as_mut()?.message(id, &lease, &sources) {
            Ok(message) if message.timestamp_ms < self.time_min_ms => None,
            Ok(message) => Some(Ok(Entry {
                seq: lease.seq,
                state,
                redelivered: false,
                attempts: Attempts::default(),
                timestamp_ms: message.timestamp_ms,
                properties: message.properties.to_vec(),
                body: message.body.to_vec(),
            })),
            Err(error) => {
                let error = FetchError::unread(id, lease.seq, error)?;
                Some(Err(error.named(self.queue.name())))
            }
        }
    }

    /// What lives and comes next. It is asked before the log is: see the module's invariants.
    fn living(&mut self) -> &mut Option<Result<Entry, FetchError>> {
        let living = &mut self.living;
        self.head.get_or_insert_with(|| living.next())
    }

    fn identity(&self) -> QueueIdentity {
        QueueIdentity::new(self.queue.id(), self.queue.name())
    }

    fn unread(&self, unread: Unread) -> FetchError {
        FetchError::Io {
            queue: self.identity(),
            seq: Seq::new(self.next),
            segment: unread.segment,
            offset: unread.offset,
            source: Arc::new(unread.source),
        }
    }
}

/// A place as readers know it.
const fn lease_of(place: &Place) -> Lease {
    Lease {
        seq: Seq::new(place.seq),
        lsn: place.lsn,
        len: place.len,
        redelivered: false,
        attempts: Attempts {
            returned: 0,
            failed: 0,
        },
        source: COLD,
    }
}

impl<D: Disk> Iterator for History<D> {
    type Item = Result<Entry, FetchError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_done {
            let living = match self.living() {
                Some(Ok(entry)) => Some(entry.seq.get()),
                Some(Err(_)) => {
                    self.is_done = matches!(self.head, Some(Some(Err(FetchError::UnknownQueue(_)))));
                    return self.head.take().flatten();
                }
                None => None,
            };
            let place = match self.past.peek(self.queue.store().engine(), self.next) {
                Ok(place) => place,
                Err(unread) => return Some(Err(self.unread(unread))),
            };
            match place {
                Some(place) if living.is_none_or(|living| place.seq < living) => {
                    self.next = place.seq + 1;
                    if let Some(read) = self.read(&place) {
                        return Some(read);
                    }
                }
                _ => {
                    let Some(seq) = living else {
                        self.is_done = true;
                        break;
                    };
                    self.next = seq + 1;
                    return self.head.take().flatten();
                }
            }
        }
        None
    }
}

impl<D: Disk> Drop for History<D> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.queue.store().give_reader(reader);
        }
    }
}

impl<D: Disk> std::fmt::Debug for History<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History")
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
