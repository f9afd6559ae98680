//! The index, given back to the file system a slab at a time once a backlog has gone.
//!
//! Invariants:
//! - Only the last slab goes, and only when neither the running store nor a retained checkpoint needs one of its pages.
//! - Its map is gone before its file is shortened: a page without a block behind it would kill the process.
//! - After each checkpoint a few pages that stand in the way are moved, and the checkpoints that follow set their places free.

use super::Shard;
use crate::disk::{Disk, Now, is_full};
use crate::engine::final_error;
use crate::error::PoisonCause;
use crate::index::pages::shrink::VacantSlab;
use crate::index::pages::{INDEX_DIR, slab_path};
use crate::removal;
use crate::state::State;
use std::io;
use std::sync::Arc;

/// Remove a slab of the index.
pub(crate) struct Shrink<D: Disk>(VacantSlab<D>);

impl<D: Disk> Shrink<D> {
    /// Removes the file, piece by piece until somebody `is_waiting`.
    pub(crate) fn perform(self, disk: &D, is_waiting: impl FnMut() -> bool) -> io::Result<()> {
        let VacantSlab { number, file, map } = self.0;
        drop(map);
        let path = slab_path(number);
        match disk.remove(&path) {
            // There are file systems that need room to remove something. The index takes it into use again when it grows.
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, path, "giving up a slab of the index");
                return Ok(());
            }
            removed => removed?,
        }
        disk.sync_dir(INDEX_DIR).map_err(final_error)?;
        if let Some(file) = Arc::into_inner(file) {
            removal::give_back(&file, is_waiting);
        }
        Ok(())
    }
}

impl<D: Disk> Shard<D> {
    /// Gives up the last slab, if the index has no use for it.
    pub(super) fn shrink_job(&mut self, now: Now) -> Option<Shrink<D>> {
        let pages = &mut self.state.pages;
        if !pages.has_vacant_slab() {
            return None;
        }
        let bytes = pages.slab_bytes();
        let is_granted = self.chores.is_full || self.chores.removal.grant(1, bytes, now) > 0;
        is_granted.then(|| pages.give_up_slab()).flatten().map(Shrink)
    }

    /// Moves pages that keep the last slab from being given up.
    pub(super) fn vacate_slab(&mut self) {
        let State { queues, pages, .. } = &mut self.state;
        let used = queues
            .iter_mut()
            .flat_map(|queue| queue.pages.iter_mut().flatten());
        if let Err(error) = pages.vacate_slab(used) {
            self.poison(&PoisonCause::new("writing the index", INDEX_DIR, error));
        }
    }
}
