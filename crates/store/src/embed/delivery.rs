//! A message in the hands of a consumer.
//!
//! Invariant: an open delivery holds the lease of its entry, alone; whoever closes it has acknowledged or requeued it.
//!
//! Elsewhere: the memory that the deliveries of one fetch share (`fetched`).

use super::CommitError;
use super::fetched::{Content, Fetched};
use crate::attempts::{Attempts, Return};
use crate::disk::{Disk, RealDisk};
use crate::ids::{QueueId, Seq};
use std::sync::Arc;

/// A message that was fetched and is nobody else's until it is settled: [`ack`](Self::ack) ends its life, and
/// [`requeue`](Self::requeue), or just dropping it, puts it back to its place in the queue, marked as redelivered, and counted.
///
/// The messages of one fetch share their memory: it is freed with the last of them. Large ones may lie in a block of the log that
/// is in memory anyway, and keep it there.
#[must_use = "a delivery that is dropped goes back to its queue"]
pub struct Delivery<D: Disk = RealDisk> {
    pub(super) fetched: Arc<Fetched<D>>,
    pub(super) content: Content,
    pub(super) is_open: bool,
}

impl<D: Disk> Delivery<D> {
    /// The body, as published.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.fetched.body(&self.content)
    }

    /// The properties, as published.
    #[must_use]
    pub fn properties(&self) -> &[u8] {
        self.fetched.properties(&self.content)
    }

    /// Its place in its queue, counted from 0 in the order of publication and never reused.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.content.seq
    }

    /// The queue that it came from.
    #[must_use]
    pub fn queue(&self) -> QueueId {
        self.fetched.queue
    }

    /// Wall clock of its publication, milliseconds since the Unix epoch.
    #[must_use]
    pub const fn timestamp_ms(&self) -> u64 {
        self.content.timestamp_ms
    }

    /// Whether somebody may have had it before: a consumer that put it back, or one before a crash.
    #[must_use]
    pub const fn is_redelivered(&self) -> bool {
        self.content.redelivered
    }

    /// How often it came back before, and how often of these by being dropped. Survives a restart, and a crash some milliseconds
    /// later. A delivery that ended with its process is not counted, and counts of more than 16,384 runs of messages are not kept, so
    /// there may have been more: see [`is_redelivered`](Self::is_redelivered).
    #[must_use]
    pub const fn attempts(&self) -> Attempts {
        self.content.attempts
    }

    /// The message is done. Returns at once; the acknowledgement is durable a few milliseconds later, and a crash before
    /// that delivers the message again. To know when, put it into a batch: [`Batch::ack`](super::Batch::ack).
    ///
    /// # Errors
    /// When its queue was deleted, or the store is poisoned or closed.
    pub fn ack(mut self) -> Result<(), CommitError> {
        let store = &self.fetched.store;
        store.acknowledge(self.fetched.queue, self.content.seq, 1)?;
        self.is_open = false;
        Ok(())
    }

    /// The message goes back to its place in the queue and can be fetched again, by anyone, at once.
    ///
    /// # Errors
    /// When its queue was deleted, or the store is poisoned or closed.
    pub fn requeue(mut self) -> Result<(), CommitError> {
        self.put_back(Return::Released)
    }

    fn put_back(&mut self, how: Return) -> Result<(), CommitError> {
        self.is_open = false;
        self.fetched
            .store
            .requeue(self.fetched.queue, self.content.seq, 1, how)
    }
}

impl<D: Disk> Drop for Delivery<D> {
    fn drop(&mut self) {
        if self.is_open
            && let Err(error) = self.put_back(Return::Failed)
        {
            // Nothing is lost: what was leased from a store that ended comes back when it is opened.
            tracing::debug!(%error, seq = %self.content.seq, "a delivery could not be put back");
        }
    }
}

impl<D: Disk> std::fmt::Debug for Delivery<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("queue", &self.queue())
            .field("seq", &self.seq())
            .field("redelivered", &self.is_redelivered())
            .field("attempts", &self.attempts())
            .field("body_bytes", &self.body().len())
            .finish_non_exhaustive()
    }
}
