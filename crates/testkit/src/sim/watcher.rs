//! The follower of the simulation: it knows what was confirmed.

use std::task::Waker;

use logpond_store::disk::Disk;
use logpond_store::{Applied, Follower, PoisonCause, Shard};

/// Remembers up to which block everything was confirmed, as a publisher would hear it.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    pub(super) confirmed: u64,
    pub(super) poisoned: Option<String>,
}

impl<D: Disk> Follower<D> for Watcher {
    fn applied(&mut self, _shard: &mut Shard<D>, applied: &Applied<'_>) {
        self.confirmed = self.confirmed.max(applied.durable.end().get());
    }

    fn poisoned(&mut self, cause: &PoisonCause) {
        self.poisoned = Some(cause.to_string());
    }

    fn take_wakers(&mut self) -> Vec<Waker> {
        Vec::new()
    }

    fn return_wakers(&mut self, _empty: Vec<Waker>) {}
}
