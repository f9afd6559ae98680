//! A full disk: what is kept back for it, and who may still work.
//!
//! Invariants:
//! - The disk counts as full from the first chore that found no room on it until the next segment is prepared, the reserve is
//!   whole again and the index has free pages. Meanwhile [`Shard::has_room`] says no: nobody is to publish.
//! - Acknowledgements, deletes, checkpoints and evacuation go on: they are what makes room. Segments to come are made of the
//!   reserve; when anything else finds no room, a segment of the reserve is given back to the disk for it.
//! - The index gets its next slab before the last one is used up, and takes no message that might need a page of one that is
//!   not there yet: applying a block does not meet the full disk.
//! - What is published never waits for a segment of the reserve: no more is taken than what the log has at hand beside it. What
//!   was taken stands before the acknowledgements that are to make room, and could not be passed by.
//! - Of what is kept back one segment is left, prepared or spare: the next start needs it.
//! - Whoever was told that there is no room is told by a block when there is: one that is on its way anyway, or one of its own.
//!
//! The reserve is spare segments. It is made once the log has rolled: a store of a few messages keeps nothing back.

use super::Shard;
use super::housekeeping::RETRY_MS;
use crate::disk::{Disk, DiskFile, FileKind, Now, is_full};
use crate::engine::final_error;
use crate::ids::SegmentNumber;
use crate::removal;
use crate::segments::{JOURNAL_DIR, spare_path};
use std::io;

/// Make a spare segment.
pub(crate) struct Reserve {
    number: SegmentNumber,
    bytes: u64,
}

/// Give a spare segment back to the disk.
pub(crate) struct Release {
    number: SegmentNumber,
}

/// Make a slab for the index.
pub(crate) struct Grow {
    pub slab: usize,
    pub bytes: u64,
}

/// For whom there is room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Room {
    None,
    /// For copies of dead letters.
    ToMove,
    ToPublish,
}

/// What a chore that failed would have needed room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// A segment of the journal: the reserve consists of them.
    Segment,
    /// Memory, by way of the spill: nothing is lost when that fails.
    Memory,
    /// A checkpoint, for which dead segments wait.
    Checkpoint,
    /// Anything else.
    Other,
}

impl Reserve {
    pub(crate) fn perform<D: Disk>(&self, disk: &D) -> io::Result<SegmentNumber> {
        let path = spare_path(self.number);
        let made = disk
            .create(&path, FileKind::Journal)
            .and_then(|file| file.allocate(self.bytes));
        if let Err(error) = made {
            // What there is of it is in the way of others. Should it stay, the next start finds it among the spares.
            let _ = disk.remove(&path);
            return Err(error);
        }
        disk.sync_dir(JOURNAL_DIR).map_err(final_error)?;
        Ok(self.number)
    }
}

impl Release {
    pub(super) const fn of(number: SegmentNumber) -> Self {
        Self { number }
    }

    /// Removes the file, piece by piece until somebody `is_waiting`.
    pub(crate) fn perform<D: Disk>(&self, disk: &D, is_waiting: impl FnMut() -> bool) -> io::Result<()> {
        let path = spare_path(self.number);
        // Only for the pieces: it goes without, too.
        let file = disk.open(&path, FileKind::Journal).ok();
        match disk.remove(&path) {
            // There are file systems that need room to remove something. The next start finds it among the spares.
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, path, "giving up a spare segment");
                return Ok(());
            }
            removed => removed?,
        }
        disk.sync_dir(JOURNAL_DIR).map_err(final_error)?;
        if let Some(file) = file {
            removal::give_back(&file, is_waiting);
        }
        Ok(())
    }
}

impl<D: Disk> Shard<D> {
    /// Whether the store takes more messages. Ask once per batch, before publishing; when it says no, wait for the next
    /// applied block. On a full disk it says no until there is room again, and so it does while many dead letters are held.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let has_room = self.room() == Room::ToPublish;
        self.refused.set(self.refused.get() || !has_room);
        has_room
    }

    /// Whether the store takes copies of dead letters: as [`Shard::has_room`], however many are held, for moving them is what
    /// makes their number smaller.
    #[must_use]
    pub fn has_room_to_move(&self) -> bool {
        let has_room = self.room() >= Room::ToMove;
        self.refused_to_move.set(self.refused_to_move.get() || !has_room);
        has_room
    }

    fn room(&self) -> Room {
        let has_room = self.tail.has_room() && self.has_pages() && self.has_memory() && self.log_has_room();
        if self.chores.is_full || !has_room {
            Room::None
        } else if self.holders.are_full() {
            Room::ToMove
        } else {
            Room::ToPublish
        }
    }

    /// Whether what is accepted, and a block more, goes into the segments that are at hand beside the reserve.
    fn log_has_room(&self) -> bool {
        if self.options.reserve_segments == 0 {
            return true;
        }
        let wanted = self.tail.segments_wanted(self.options.block_bytes_soft);
        let spares = self.chores.spares.len().saturating_sub(self.reserve_len());
        wanted <= spares + usize::from(self.tail.has_next_segment())
    }

    /// Whether somebody was told since the last applied block that there is no room, and there is now.
    pub(crate) fn has_news_of_room(&self) -> bool {
        let (refused, refused_to_move) = (self.refused.get(), self.refused_to_move.get());
        (refused || refused_to_move)
            && match self.room() {
                Room::ToPublish => true,
                Room::ToMove => refused_to_move,
                Room::None => false,
            }
    }

    /// A block is applied: whoever waits for room asks again.
    pub(crate) fn forget_refusals(&self) {
        self.refused.set(false);
        self.refused_to_move.set(false);
    }

    /// Whether the index has pages for all that is accepted and for the next batch, on whatever disk.
    pub(super) fn has_pages(&self) -> bool {
        self.spare_pages() >= self.state.pages.kept()
    }

    /// Free pages of the index beside those that applying what is accepted may take.
    pub(crate) fn spare_pages(&self) -> usize {
        self.state.pages.free().saturating_sub(self.tail.promised_pages())
    }

    /// Spare segments that are kept back.
    pub(super) const fn reserve_len(&self) -> usize {
        if self.chores.rolls > 0 {
            self.options.reserve_segments
        } else {
            0
        }
    }

    pub(super) fn release_job(&mut self) -> Option<Release> {
        if !self.chores.needs_room {
            return None;
        }
        self.chores.needs_room = false;
        if !self.has_more_than_a_start_needs() {
            return None;
        }
        Some(Release::of(self.chores.spares.pop()?.number))
    }

    /// Whether a spare can be given away, and the next start still finds a file for its segment.
    fn has_more_than_a_start_needs(&self) -> bool {
        let kept = usize::from(self.options.reserve_segments > 0);
        self.chores.spares.len() + usize::from(self.tail.has_next_segment()) > kept
    }

    /// Whether the next chore is to make room for one that found none.
    pub(crate) fn is_to_release(&self) -> bool {
        self.chores.needs_room && !self.chores.spares.is_empty() && self.has_more_than_a_start_needs()
    }

    pub(super) fn reserve_job(&mut self, now: Now) -> Option<Reserve> {
        let is_whole = self.chores.spares.len() >= self.reserve_len();
        if is_whole || now.mono_ms < self.chores.retry_at_ms {
            return None;
        }
        let number = self.chores.next_segment;
        self.chores.next_segment = number.next();
        Some(Reserve {
            number,
            bytes: self.options.segment_bytes,
        })
    }

    fn wanted_slab(&self) -> Option<usize> {
        self.state.pages.wanted_slab(self.spare_pages())
    }

    /// Whether the index wants another slab, and the disk may have room for it.
    pub(crate) fn slab_is_due(&self) -> bool {
        !self.chores.is_full && self.wanted_slab().is_some()
    }

    pub(super) fn grow_job(&mut self, now: Now) -> Option<Grow> {
        // Once for each evacuation that needs it, and never at the cost of the last room on the disk.
        let lacks_pages = std::mem::take(&mut self.chores.lacks_pages) && !self.chores.is_full;
        let more = if lacks_pages {
            self.state.pages.wanted_slab(0)
        } else {
            None
        };
        let slab = self.wanted_slab().or(more)?;
        (now.mono_ms >= self.chores.retry_at_ms).then(|| Grow {
            slab,
            bytes: self.state.pages.slab_bytes(),
        })
    }

    /// A chore found no room.
    pub(super) fn note_full_disk(&mut self, need: Need, now: Now) {
        self.chores.retry_at_ms = now.mono_ms + RETRY_MS;
        self.chores.needs_room |= matches!(need, Need::Checkpoint | Need::Other);
        self.chores.is_full = true;
    }

    /// The disk is no longer full once what it had no room for is there.
    pub(super) fn note_room(&mut self) {
        let has_room = self.tail.has_next_segment()
            && self.chores.spares.len() >= self.reserve_len()
            && self.wanted_slab().is_none();
        self.chores.is_full &= !has_room;
    }
}
