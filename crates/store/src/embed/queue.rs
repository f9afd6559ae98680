//! A named queue, as its users hold it.

use super::names::Named;
use super::{
    Browse, CommitError, Delivery, Fetch, FetchError, From, History, QueueError, QueueOptions, Store, park,
};
use crate::disk::{Disk, RealDisk};
use crate::ids::QueueId;
use crate::queue::Counts;
use std::sync::Arc;
use std::time::Duration;

/// A queue of a store: cheap to clone, to be shared by threads. Keeps the store open.
pub struct Queue<D: Disk = RealDisk> {
    store: Store<D>,
    named: Arc<Named>,
}

impl<D: Disk> Queue<D> {
    pub(super) fn new(store: &Store<D>, named: &Arc<Named>) -> Self {
        Self {
            store: store.clone(),
            named: Arc::clone(named),
        }
    }

    pub(super) const fn store(&self) -> &Store<D> {
        &self.store
    }

    /// What messages are published to. Stays the same over restarts; a queue made again after a delete has another.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.named.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.named.name
    }

    /// What it was made with.
    #[must_use]
    pub fn options(&self) -> QueueOptions {
        self.named.options
    }

    /// Takes up to `messages_max` messages that are ready, oldest first; none if nothing is. What is accepted and not yet
    /// durable is waited for, but never delivered before.
    ///
    /// # Errors
    /// When the first message cannot be read, the queue was deleted, or the store is poisoned or closed.
    pub fn fetch(&self, messages_max: u32) -> Result<Vec<Delivery<D>>, FetchError> {
        let fetched = self.store.fetch(self.id(), messages_max);
        fetched.map_err(|error| error.named(self.name()))
    }

    /// The same, but waits for the first message, and no longer than `timeout`; then there are none. Who has messages is to be known after a crash, and
    /// saying it may take a write: with no time at all there may be none although some are ready. [`Queue::fetch`] waits for that.
    ///
    /// # Errors
    /// As [`Queue::fetch`], and when one of these happens during the wait.
    pub fn fetch_timeout(
        &self,
        messages_max: u32,
        timeout: Duration,
    ) -> Result<Vec<Delivery<D>>, FetchError> {
        park::wait(self.fetch_async(messages_max), timeout).unwrap_or(Ok(Vec::new()))
    }

    /// The same as a future that waits for the first message. Messages that are not in memory any more are read where the
    /// future is polled; a runtime that must not wait for a disk polls it on a thread of its own.
    pub fn fetch_async(&self, messages_max: u32) -> Fetch<D> {
        Fetch::new(self, messages_max)
    }

    /// Messages in it: ready, leased, and accepted. One that was acknowledged counts as leased until that is durable, some
    /// milliseconds later; one that is transient no longer. 0 once it was deleted.
    #[must_use]
    pub fn len(&self) -> u64 {
        let held = self.counts();
        held.ready + held.leased
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many messages are ready, and how many leased: see [`Queue::len`] for those that were just acknowledged.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut guard = self.store.engine().lock();
        guard.shard().counts(self.id()).unwrap_or_default()
    }

    /// All durable messages that are not acknowledged, from the first one, without taking any.
    pub fn browse(&self) -> Browse<D> {
        self.replay(From::Start)
    }

    /// All durable messages that are not acknowledged, from `from` on, without taking any: those that consumers hold are
    /// among them. Messages are read as the iterator goes; what is published or acknowledged meanwhile may be seen or not.
    pub fn replay(&self, from: From) -> Browse<D> {
        Browse::new(self, from)
    }

    /// All durable messages from `from` on that the store still has, without taking any: those that are not acknowledged, and of
    /// the others those whose segments were not recycled yet. [`EntryState`](super::EntryState) tells which are which.
    ///
    /// Reads the journal from its oldest segment on, so that the first messages may take a while to be found. What is
    /// published or acknowledged meanwhile may be seen or not, and an entry's state is that of the moment at which it was
    /// looked up.
    pub fn history(&self, from: From) -> History<D> {
        History::new(self, from)
    }

    /// Ends the life of all messages that are ready; those that consumers hold stay. Returns how many there were. Durable on
    /// return.
    ///
    /// # Errors
    /// When the queue was deleted, or the store is poisoned or closed.
    pub fn purge(&self) -> Result<u64, CommitError> {
        let engine = self.store.engine();
        let purged = engine.lock().shard().purge(self.id(), self.store.now());
        let (count, block) = purged.map_err(|error| self.store.with_name(error.into()))?;
        engine.commit(0);
        engine.wait_durable(block).map_err(CommitError::Poisoned)?;
        Ok(count)
    }

    /// Deletes the queue and all that is in it, also what consumers hold. Durable on return. The name is free again.
    ///
    /// # Errors
    /// When it was deleted already, the definition could not be written, or the store is poisoned or closed.
    pub fn delete(&self) -> Result<(), QueueError> {
        self.store.delete_queue(&self.named)
    }
}

impl<D: Disk> Clone for Queue<D> {
    fn clone(&self) -> Self {
        Self::new(&self.store, &self.named)
    }
}

impl<D: Disk> std::fmt::Debug for Queue<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("name", &self.named.name)
            .field("id", &self.named.id)
            .finish_non_exhaustive()
    }
}
