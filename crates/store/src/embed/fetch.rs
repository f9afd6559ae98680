//! Taking messages off a queue: leased under the lock, read without it.
//!
//! Invariants:
//! - Whatever was leased is either in a delivery that is returned, or back in its queue, or damaged and reported.
//! - A fetch that waits was registered under the lock under which there was nothing.

use super::delivery::{Content, Delivery, Fetched};
use super::error::FetchError;
use super::hub::{Hub, WaiterId, Wish};
use super::{Queue, Store};
use crate::disk::{Disk, RealDisk};
use crate::format::memory_len;
use crate::format::record::AckReason;
use crate::ids::QueueId;
use crate::limits::FETCH_BYTES_MAX;
use crate::reader::StoredMessage;
use crate::shard::{Lease, LeaseOutcome, Sources};
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
            let (mut leases, mut sources) = (Vec::new(), Sources::default());
            let (before, waiter) = (this.waiter.take(), &mut this.waiter);
            let mut forgotten = None;
            let outcome = store.lease(
                id,
                this.messages_max,
                &mut leases,
                &mut sources,
                |hub, is_done| {
                    forgotten = before.and_then(|before| hub.forget(wish, before));
                    if !is_done {
                        *waiter = Some(hub.register(wish, context.waker()));
                    }
                },
            );
            drop(forgotten);
            match outcome {
                Err(error) => return Poll::Ready(Err(error)),
                Ok(LeaseOutcome::Empty) => return Poll::Pending,
                Ok(LeaseOutcome::Pending(_)) => {
                    store.engine().commit(0);
                    return Poll::Pending;
                }
                Ok(LeaseOutcome::Some(_)) => {}
            }
            match store.read(id, &leases, &sources) {
                Ok(none) if none.is_empty() => {}
                done => return Poll::Ready(done),
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
            let (mut leases, mut sources) = (Vec::new(), Sources::default());
            let outcome = self.lease(queue, messages_max, &mut leases, &mut sources, |_, _| {})?;
            match outcome {
                LeaseOutcome::Empty => return Ok(Vec::new()),
                LeaseOutcome::Pending(block) => {
                    self.engine().wait_durable(block).map_err(FetchError::Poisoned)?;
                }
                LeaseOutcome::Some(_) => {
                    let deliveries = self.read(queue, &leases, &sources)?;
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
        leases: &mut Vec<Lease>,
        sources: &mut Sources,
        then: impl FnOnce(&mut Hub, bool),
    ) -> Result<LeaseOutcome, FetchError> {
        let mut guard = self.engine().lock();
        let (shard, hub) = guard.parts();
        shard.set_time(self.now());
        let outcome = shard.lease(queue, messages_max, FETCH_BYTES_MAX, leases, sources);
        then(
            hub,
            !matches!(outcome, Ok(LeaseOutcome::Empty | LeaseOutcome::Pending(_))),
        );
        outcome.map_err(|error| FetchError::refused(queue, error))
    }

    /// Reads what was leased. What cannot be read is reported by the fetch that finds nothing before it.
    fn read(
        &self,
        queue: QueueId,
        leases: &[Lease],
        sources: &Sources,
    ) -> Result<Vec<Delivery<D>>, FetchError> {
        let mut reader = self.take_reader();
        let mut bytes = Vec::with_capacity(leases.iter().map(|lease| memory_len(lease.len)).sum());
        let mut contents = Vec::with_capacity(leases.len());
        let mut failed = None;
        for (at, lease) in leases.iter().enumerate() {
            match reader.message(queue, lease, sources) {
                Ok(message) => contents.push(content(&mut bytes, lease, &message)),
                Err(error) => {
                    failed = FetchError::unread(queue, lease.seq, error).map(|error| (at, error));
                    if failed.is_some() {
                        break;
                    }
                }
            }
        }
        self.give_reader(reader);
        let fetched = Arc::new(Fetched {
            store: self.clone(),
            queue,
            bytes,
        });
        let deliveries: Vec<_> = contents
            .into_iter()
            .map(|content| Delivery {
                fetched: Arc::clone(&fetched),
                content,
                is_open: true,
            })
            .collect();
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
        if let Err(error) = self.requeue(queue, lease.seq, 1) {
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

fn content(bytes: &mut Vec<u8>, lease: &Lease, message: &StoredMessage<'_>) -> Content {
    let start = bytes.len();
    bytes.extend_from_slice(message.properties);
    let middle = bytes.len();
    bytes.extend_from_slice(message.body);
    Content {
        seq: lease.seq,
        redelivered: lease.redelivered,
        timestamp_ms: message.timestamp_ms,
        properties: start..middle,
        body: middle..bytes.len(),
    }
}
