//! Slabs that are one too many.
//!
//! Invariants:
//! - Two slabs' worth of pages stay free beside the one that goes.
//! - What is in its way is moved to lower slabs only, so that an end comes of it; what cannot be moved is not waited for.

use super::{Disk, PageError, PageNumber, Pages, Slab, index, number};
use std::io;
use std::sync::Arc;

/// Pages of so many slabs stay free when one is given up: it is not to be made again at once.
const SLABS_SPARE: usize = 2;
/// So many pages are moved at once out of a slab that is to be given up.
const PAGES_MOVED_AT_ONCE: usize = 64;

/// A slab that was given up. The map goes before anything else is done with the file.
pub(crate) struct VacantSlab<D: Disk> {
    pub number: usize,
    pub file: Arc<D::File>,
    pub map: D::Map,
}

impl<D: Disk> Pages<D> {
    /// Whether so many pages are for another slab's worth beside those that are kept free.
    fn is_slab_too_many(&self, pages: usize) -> bool {
        pages >= (1 + SLABS_SPARE) * self.pages_per_slab()
    }

    fn has_slab_too_many(&self) -> bool {
        self.is_slab_too_many(self.free.count())
    }

    /// Whether the last slab is not needed, and none of its pages is in use.
    pub(crate) fn has_vacant_slab(&self) -> bool {
        self.has_slab_too_many() && self.free.has_vacant_slab()
    }

    /// Takes the last slab out, if it is vacant. No other is made until [`Pages::slab_has_gone`].
    pub(crate) fn give_up_slab(&mut self) -> Option<VacantSlab<D>> {
        if !self.has_vacant_slab() {
            return None;
        }
        let Slab { file, map, .. } = self.slabs.pop()?;
        self.free.remove_slab();
        let number = self.slabs.len();
        let pages_left = number * self.pages_per_slab();
        self.states.truncate(pages_left);
        // Whether they were handed out in this generation is forgotten with them: a slab that comes in its place says it anew.
        self.fresh.retain(|page| index(*page) < pages_left);
        (self.has_slab_going, self.is_stuck) = (true, false);
        Some(VacantSlab { number, file, map })
    }

    /// The file of the slab that was given up has no name any more, or keeps it.
    pub(crate) const fn slab_has_gone(&mut self) {
        self.has_slab_going = false;
    }

    /// Whether the next checkpoints bring the end of a slab that is one too many nearer: they set free what an older one refers to, and pages are
    /// moved after each.
    pub(crate) fn shrinks_by_checkpoints(&self) -> bool {
        let unused = self.free.count() + self.retired.len();
        self.is_slab_too_many(unused)
            && !self.has_vacant_slab()
            && !(self.is_stuck && self.retired.is_empty())
    }

    /// Moves some of these pages, which are in use, out of the last slab if there is one too many. One that is damaged stays, for whoever needs it
    /// to find.
    pub(crate) fn vacate_slab<'a>(
        &mut self,
        used: impl Iterator<Item = &'a mut PageNumber>,
    ) -> io::Result<()> {
        if !self.has_slab_too_many() {
            return Ok(());
        }
        let first = number((self.slabs.len() - 1) * self.pages_per_slab());
        let mut moved = 0;
        for page in used.filter(|page| **page >= first) {
            match self.move_page(page) {
                Ok(()) => moved += 1,
                Err(PageError::Damaged(_)) => {}
                Err(PageError::Io(error)) => return Err(error),
            }
            if moved == PAGES_MOVED_AT_ONCE {
                break;
            }
        }
        self.is_stuck = moved == 0;
        Ok(())
    }
}
