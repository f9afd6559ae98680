//! Taking a snapshot of a store that goes on.
//!
//! Invariants:
//! - The catalog's lock is taken before the shard's, so that no definition is in the one and not in the other but as a crash
//!   at that moment could leave them.
//! - Neither is held for a disk access.
//!
//! Elsewhere: what is taken and how it is written (`snapshot`).

use super::Engine;
use crate::disk::Disk;
use crate::error::{AppendError, PoisonCause};
use crate::follower::Follower;
use crate::meta::{Meta, Shutdown};
use crate::snapshot::{self, SnapshotError, SnapshotManifest, SnapshotMoment};

impl<D: Disk, F: Follower<D>> Engine<D, F> {
    /// Takes a snapshot into the empty directory `target`: a data directory with everything that is durable now, confirmed
    /// publishes above all. Durable on return. The store goes on meanwhile: sealed segments get a second name, what is
    /// still written is copied, and all is read once for the manifest.
    ///
    /// # Errors
    /// When the directory is not empty, there is no room, the disk refuses, or the store takes nothing any more. The store is
    /// as it was in each case, and the error says what is left of the attempt.
    pub fn snapshot(&self, target: &D) -> Result<SnapshotManifest, SnapshotError> {
        let inner = &self.inner;
        let moment = self.moment().map_err(SnapshotError::Poisoned)?;
        snapshot::write(&inner.disk, target, moment)
    }

    fn moment(&self) -> Result<SnapshotMoment<D>, PoisonCause> {
        let inner = &self.inner;
        let meta = inner.meta.lock().expect("no holder of this lock panics").meta();
        let taken_ms = inner.disk.now().wall_ms;
        let catalog = self.catalog();
        let locked = inner.lock();
        let segments = locked.shard.snapshot_parts().map_err(|error| match error {
            AppendError::Poisoned(cause) => cause,
            other => PoisonCause::new("taking a snapshot", "", std::io::Error::other(other)),
        })?;
        let end = locked.shard.end();
        drop(locked);
        // A change of the catalog waits until here, so this is what stood in it when the journal was looked at.
        let live = catalog.live();
        drop(catalog);
        let meta = Meta {
            shutdown: Shutdown::Unclean,
            ..meta
        };
        Ok(SnapshotMoment {
            meta,
            live,
            end,
            taken_ms,
            segments,
        })
    }
}
