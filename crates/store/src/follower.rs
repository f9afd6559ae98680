//! State of the store's user that lives under the shard's lock: told of each durable block at once.

use crate::disk::Disk;
use crate::error::PoisonCause;
use crate::shard::{Applied, Shard};
use std::task::Waker;

/// What is told when a block was applied, and may act on it under the same lock.
pub trait Follower<D: Disk>: Send + Sized + 'static {
    /// A block was synced and applied. May lease, acknowledge, publish: all of it rides in the next block. What came with the block
    /// is leased even if its time is over already: whoever waited for it has it.
    fn applied(&mut self, shard: &mut Shard<D>, applied: &Applied<'_>);

    /// There are dead letters to take ([`Shard::take_dead_letters`]). Told whenever the lock is released, until there are none:
    /// whoever takes them reads without the lock, so this only wakes it.
    fn has_dead_letters(&mut self, _shard: &mut Shard<D>) {}

    /// A write or sync failed: nothing is confirmed any more, and nothing is taken.
    fn poisoned(&mut self, cause: &PoisonCause);

    /// Who is to be woken once the lock is released. Called after each of the above.
    fn take_wakers(&mut self) -> Vec<Waker>;

    /// Gets the emptied list back, so that it need not be allocated again.
    fn return_wakers(&mut self, empty: Vec<Waker>);
}

/// For a store whose user needs no such state.
impl<D: Disk> Follower<D> for () {
    fn applied(&mut self, _shard: &mut Shard<D>, _applied: &Applied<'_>) {}

    fn poisoned(&mut self, _cause: &PoisonCause) {}

    fn take_wakers(&mut self) -> Vec<Waker> {
        Vec::new()
    }

    fn return_wakers(&mut self, _empty: Vec<Waker>) {}
}
