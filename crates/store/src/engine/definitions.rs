//! The catalog of an open store, lent to one caller at a time.
//!
//! Invariant: a write of the catalog that failed ends the store, for nobody knows what a disk holds that refused one. Until then whoever
//! waits for the catalog may be told that it failed, and nothing else.

use super::Inner;
use crate::catalog::Catalog;
use crate::disk::Disk;
use crate::follower::Follower;
use std::ops::{Deref, DerefMut};
use std::sync::MutexGuard;

/// See the module. Nobody else reads or changes the catalog before it is dropped. Not to be asked for while the shard is locked.
pub struct Definitions<'a, D: Disk, F: Follower<D>> {
    inner: &'a Inner<D, F>,
    /// There until it is dropped.
    catalog: Option<MutexGuard<'a, Catalog<D>>>,
}

impl<'a, D: Disk, F: Follower<D>> Definitions<'a, D, F> {
    pub(super) fn lend(inner: &'a Inner<D, F>) -> Self {
        let catalog = inner.catalog.lock().expect("no holder of this lock panics");
        Self {
            inner,
            catalog: Some(catalog),
        }
    }
}

impl<D: Disk, F: Follower<D>> Deref for Definitions<'_, D, F> {
    type Target = Catalog<D>;

    fn deref(&self) -> &Catalog<D> {
        self.catalog.as_ref().expect("it was not dropped")
    }
}

impl<D: Disk, F: Follower<D>> DerefMut for Definitions<'_, D, F> {
    fn deref_mut(&mut self) -> &mut Catalog<D> {
        self.catalog.as_mut().expect("it was not dropped")
    }
}

impl<D: Disk, F: Follower<D>> Drop for Definitions<'_, D, F> {
    fn drop(&mut self) {
        // Free before anybody is woken.
        let failure = self.catalog.take().and_then(|mut catalog| catalog.take_failure());
        if let Some(cause) = failure {
            let mut locked = self.inner.lock();
            locked.shard.poison(&cause);
            self.inner.wake_journal(&mut locked, self.inner.disk.now());
            self.inner.release(locked);
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests {
    use crate::AppendError;
    use crate::disk::sim::SimDisk;
    use crate::engine::Engine;
    use crate::engine::stepped::{durable_queue, message_for};
    use crate::options::Options;

    #[test]
    fn a_store_whose_definitions_could_not_be_written_takes_nothing_more() {
        let disk = SimDisk::new(1);
        let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
        let orders = durable_queue(&engine);
        engine.catalog().put(b"made", &1_u8).unwrap();
        disk.fail_at(1);
        engine.catalog().put(b"missed", &2_u8).unwrap_err();
        let refused = engine.lock().shard().publish(&message_for(&[orders], &[b"x"]));
        assert!(
            matches!(&refused, Err(AppendError::Poisoned(cause)) if cause.file == "catalog.log"),
            "{refused:?}"
        );
    }

    #[test]
    fn a_store_goes_on_when_the_disk_had_no_room_for_its_definitions() {
        let disk = SimDisk::new(1);
        let (engine, _) = Engine::open(disk.clone(), Options::tiny(), ()).unwrap();
        let orders = durable_queue(&engine);
        disk.full_at(1);
        engine.catalog().put(b"missed", &vec![2_u8; 1 << 20]).unwrap_err();
        engine.catalog().put(b"made", &1_u8).unwrap();
        let published = engine.lock().shard().publish(&message_for(&[orders], &[b"x"]));
        engine.wait_durable(published.unwrap()).unwrap();
    }
}
