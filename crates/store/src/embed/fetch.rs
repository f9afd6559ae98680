//! Taking messages off a queue: leased under the lock, read without it.
//!
//! Invariants:
//! - Whatever was leased is either in a delivery that is returned, or back in its queue, or damaged and reported.
//! - A fetch that waits was registered under the lock under which there was nothing.

use super::delivery::Delivery;
use super::error::FetchError;
use super::fetched::{Content, Fetched, Memory};
use super::hub::{Hub, WaiterId, Wish};
use super::{Queue, Store};
use crate::attempts::Return;
use crate::disk::{Disk, RealDisk};
use crate::error::ReadError;
use crate::format::memory_len;
use crate::format::record::AckReason;
use crate::ids::QueueId;
use crate::limits::{FETCH_BYTES_MAX, FETCH_NOTES_MAX};
use crate::reader::{self, Reader, StoredMessage};
use crate::shard::{COLD, Lease, LeaseOutcome, Source, Sources};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A fetch that waits until there is something, made by [`Queue::fetch_async`]. Needs no particular executor. Dropped
/// before it is done, it has taken nothing.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Fetch<D: Disk = RealDisk> {
    queue: Queue<D>,
    messages_max: u32,
    waiter: Option<WaiterId>,
}

impl<D: Disk> Fetch<D> {
    pub(super) fn new(queue: &Queue<D>, messages_max: u32) -> Self {
        Self {
            queue: queue.clone(),
            messages_max,
            waiter: None,
        }
    }

    fn wish(&self) -> Wish {
        Wish::Messages(self.queue.id())
    }
}

impl<D: Disk> Future for Fetch<D> {
    type Output = Result<Vec<Delivery<D>>, FetchError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (id, wish) = (this.queue.id(), this.wish());
        let store = this.queue.store().clone();
        if this.messages_max == 0 {
            return Poll::Ready(Ok(Vec::new()));
        }
        loop {
            let mut notes = Notebook::open();
            let (before, waiter) = (this.waiter.take(), &mut this.waiter);
            let mut forgotten = None;
            let outcome = store.lease(id, this.messages_max, notes.notes(), |hub, is_done| {
                forgotten = before.and_then(|before| hub.forget(wish, before));
                if !is_done {
                    *waiter = Some(hub.register(wish, context.waker()));
                }
            });
            drop(forgotten);
            match outcome {
                Err(error) => return Poll::Ready(Err(error.named(this.queue.name()))),
                Ok(LeaseOutcome::Empty) => return Poll::Pending,
                Ok(LeaseOutcome::Pending(_)) => {
                    store.engine().commit(0);
                    return Poll::Pending;
                }
                Ok(LeaseOutcome::Some(_)) => {}
            }
            match store.read(id, notes.notes()) {
                Ok(none) if none.is_empty() => {}
                done => return Poll::Ready(done.map_err(|error| error.named(this.queue.name()))),
            }
        }
    }
}

impl<D: Disk> Drop for Fetch<D> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            let mut guard = self.queue.store().engine().lock();
            let forgotten = guard.parts().1.forget(self.wish(), waiter);
            drop(guard);
            drop(forgotten);
        }
    }
}

impl<D: Disk> Store<D> {
    /// What is ready now, and what is accepted already as soon as it is durable.
    pub(super) fn fetch(&self, queue: QueueId, messages_max: u32) -> Result<Vec<Delivery<D>>, FetchError> {
        if messages_max == 0 {
            return Ok(Vec::new());
        }
        loop {
            let mut notes = Notebook::open();
            let outcome = self.lease(queue, messages_max, notes.notes(), |_, _| {})?;
            match outcome {
                LeaseOutcome::Empty => return Ok(Vec::new()),
                LeaseOutcome::Pending(block) => {
                    self.engine().wait_durable(block).map_err(FetchError::Poisoned)?;
                }
                LeaseOutcome::Some(_) => {
                    let deliveries = self.read(queue, notes.notes())?;
                    if !deliveries.is_empty() {
                        return Ok(deliveries);
                    }
                }
            }
        }
    }

    /// Leases, and lets `then` act on the hub under the same lock; it is told whether the wait is over.
    fn lease(
        &self,
        queue: QueueId,
        messages_max: u32,
        notes: &mut Notes,
        then: impl FnOnce(&mut Hub, bool),
    ) -> Result<LeaseOutcome, FetchError> {
        let mut guard = self.engine().lock();
        let (shard, hub) = guard.parts();
        if shard.has_expiring(queue) {
            shard.set_time(self.now());
        }
        let Notes { leases, sources, .. } = notes;
        let waiting = shard.waiting_lazily();
        let outcome = shard.lease(queue, messages_max, FETCH_BYTES_MAX, leases, sources);
        // What expired on the way is to be written, too; acknowledgements ride with it, and rely on somebody having said so.
        let is_first = shard.waiting_lazily().is_some_and(|block| waiting != Some(block));
        then(
            hub,
            !matches!(outcome, Ok(LeaseOutcome::Empty | LeaseOutcome::Pending(_))),
        );
        drop(guard);
        if is_first {
            self.engine().commit(0);
        }
        outcome.map_err(|error| FetchError::refused(queue, error))
    }

    /// Reads what was leased. What cannot be read is reported by the fetch that finds nothing before it.
    fn read(&self, queue: QueueId, notes: &mut Notes) -> Result<Vec<Delivery<D>>, FetchError> {
        let Notes {
            leases,
            sources,
            contents,
        } = notes;
        let mut reader = FetchReader::new(self);
        let mut memory = Memory::for_leases(leases);
        let mut failed = None;
        for (at, lease) in leases.iter().enumerate() {
            match memory.gather(queue, lease, &mut reader, sources) {
                Ok(content) => contents.push(content),
                Err(error) => {
                    failed = FetchError::unread(queue, lease.seq, error).map(|error| (at, error));
                    if failed.is_some() {
                        break;
                    }
                }
            }
        }
        drop(reader);
        let fetched = Arc::new(Fetched::new(self, queue, memory));
        let mut deliveries = Vec::with_capacity(contents.len());
        let last = contents.pop();
        deliveries.extend(contents.drain(..).map(|content| Delivery {
            fetched: Arc::clone(&fetched),
            content,
            is_open: true,
        }));
        deliveries.extend(last.map(|content| Delivery {
            fetched,
            content,
            is_open: true,
        }));
        let Some((at, error)) = failed else {
            return Ok(deliveries);
        };
        let is_lost = deliveries.is_empty() && matches!(error, FetchError::Damaged { .. });
        let back = if is_lost { at + 1 } else { at };
        for lease in &leases[back..] {
            self.put_back(queue, lease);
        }
        if !deliveries.is_empty() {
            return Ok(deliveries);
        }
        if is_lost {
            self.set_aside(queue, &leases[at]);
        }
        Err(error)
    }

    fn put_back(&self, queue: QueueId, lease: &Lease) {
        if let Err(error) = self.requeue(queue, lease.seq, 1, Return::Unseen) {
            // Nothing is lost: what was leased from a store that ended comes back when it is opened.
            tracing::debug!(%error, seq = %lease.seq, "a message could not be put back");
        }
    }

    /// Takes a message that cannot be read any more off its queue, which would else never move on.
    fn set_aside(&self, queue: QueueId, lease: &Lease) {
        let (now, reason) = (self.now(), AckReason::Dropped);
        let dropped = self
            .engine()
            .lock()
            .shard()
            .acknowledge(queue, lease.seq, 1, reason, now);
        if let Err(error) = dropped {
            tracing::debug!(%error, seq = %lease.seq, "a damaged message could not be taken off its queue");
        }
        self.engine().commit(0);
    }
}

/// What a fetch notes while it runs.
#[derive(Default)]
struct Notes {
    leases: Vec<Lease>,
    sources: Sources,
    contents: Vec<Content>,
}

thread_local! {
    /// Those of the last fetch on this thread, to be used again.
    static NOTES: Cell<Option<Box<Notes>>> = Cell::default();
}

/// The notes of a fetch that runs; the next one of the thread gets them, unless they take much memory.
struct Notebook(Option<Box<Notes>>);

impl Notebook {
    fn open() -> Self {
        Self(NOTES.try_with(Cell::take).unwrap_or_default())
    }

    fn notes(&mut self) -> &mut Notes {
        self.0.get_or_insert_default()
    }
}

impl Drop for Notebook {
    fn drop(&mut self) {
        let Some(mut notes) = self.0.take() else {
            return;
        };
        notes.leases.clear();
        notes.sources.clear();
        notes.contents.clear();
        if notes.leases.capacity() <= FETCH_NOTES_MAX {
            // A thread that ends needs none.
            let _ended = NOTES.try_with(|kept| kept.set(Some(notes)));
        }
    }
}

/// Reads what is in memory, and takes one of the store's readers when something is not.
pub(super) struct FetchReader<'a, D: Disk> {
    store: &'a Store<D>,
    reader: Option<Reader<D>>,
}

impl<'a, D: Disk> FetchReader<'a, D> {
    const fn new(store: &'a Store<D>) -> Self {
        Self { store, reader: None }
    }

    pub(super) const fn store(&self) -> &'a Store<D> {
        self.store
    }

    pub(super) fn message<'b>(
        &'b mut self,
        queue: QueueId,
        lease: &Lease,
        sources: &'b Sources,
    ) -> Result<StoredMessage<'b>, ReadError> {
        if lease.source != COLD {
            return reader::warm(queue, lease, sources);
        }
        let store = self.store;
        let reader = self.reader.get_or_insert_with(|| store.take_reader());
        reader.message(queue, lease, sources)
    }

    /// The memory in which the message lies that was read last, by this lease.
    pub(super) fn source(&self, lease: &Lease, sources: &Sources) -> Option<Source> {
        if lease.source == COLD {
            return self.reader.as_ref().map(Reader::source);
        }
        sources.blocks.get(memory_len(lease.source)).cloned()
    }
}

impl<D: Disk> Drop for FetchReader<'_, D> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.store.give_reader(reader);
        }
    }
}
