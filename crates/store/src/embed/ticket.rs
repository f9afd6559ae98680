//! What a commit that does not wait gives back.

use super::hub::{WaiterId, Wish};
use super::{CommitError, Store};
use crate::disk::{Disk, RealDisk};
use crate::ids::{BlockNumber, Durable};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// An accepted batch on its way to the disk. Wait for it with [`wait`](Self::wait) or `.await`, or drop it: the batch
/// becomes durable all the same, unless a crash comes first.
#[must_use = "an accepted batch is durable only after its ticket was waited for"]
pub struct Ticket<D: Disk = RealDisk> {
    store: Store<D>,
    block: BlockNumber,
    waiter: Option<WaiterId>,
}

impl<D: Disk> Ticket<D> {
    pub(super) fn new(store: &Store<D>, block: BlockNumber) -> Self {
        Self {
            store: store.clone(),
            block,
            waiter: None,
        }
    }

    /// Whether the batch is durable now.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        let mut guard = self.store.engine().lock();
        guard.shard().durable().covers(self.block)
    }

    /// Waits until the batch is durable.
    ///
    /// # Errors
    /// When a write or sync failed, or the store was closed, before that.
    pub fn wait(self) -> Result<Durable, CommitError> {
        let engine = self.store.engine();
        engine.wait_durable(self.block).map_err(CommitError::Poisoned)
    }
}

impl<D: Disk> Future for Ticket<D> {
    type Output = Result<Durable, CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut guard = this.store.engine().lock();
        let (shard, hub) = guard.parts();
        let wish = Wish::Durable(this.block);
        let forgotten = this.waiter.take().and_then(|waiter| hub.forget(wish, waiter));
        let outcome = if shard.durable().covers(this.block) {
            Poll::Ready(Ok(shard.durable()))
        } else if let Some(cause) = shard.poisoned() {
            Poll::Ready(Err(CommitError::Poisoned(cause.clone())))
        } else {
            this.waiter = Some(hub.register(wish, context.waker()));
            if shard.building() == this.block {
                // Acknowledgements would wait for company.
                shard.hurry();
            }
            Poll::Pending
        };
        drop(guard);
        drop(forgotten);
        if outcome.is_pending() {
            this.store.engine().commit(0);
        }
        outcome
    }
}

impl<D: Disk> Drop for Ticket<D> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            let mut guard = self.store.engine().lock();
            let forgotten = guard.parts().1.forget(Wish::Durable(self.block), waiter);
            drop(guard);
            drop(forgotten);
        }
    }
}

impl<D: Disk> std::fmt::Debug for Ticket<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("block", &self.block)
            .finish_non_exhaustive()
    }
}
