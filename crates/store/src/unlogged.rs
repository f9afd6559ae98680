//! The entries of a queue that the log never held: transient ones, in blocks that were not written.
//!
//! A start finds no trace of them, and takes a gap in the log for damage. So before the next entry that is logged, in the same
//! block, the log says which seqs it skipped; a repeated state and a checkpoint count all of them as dead, as the next start will.
//!
//! Invariants:
//! - What is skipped is exactly what no record holds: nothing persistent is ever among it.
//! - `skipped` and the entries from `logged_end` on are all that is visible and was never logged.
//! - Something unlogged lives only in a running store; what replay and rebuild read is never alive and unlogged.

use crate::builder::Fate;
use crate::index::page::Entry;
use crate::queue::Run;
use roaring::RoaringTreemap;
use std::ops::Range;

#[derive(Default)]
pub(crate) struct Unlogged {
    /// Entries below were logged, or the log says that it skipped them. Moves when blocks are applied.
    pub logged_end: u64,
    /// At or above the floor: what the log says that it skipped, in a running store in which some of it may live.
    skipped: RoaringTreemap,
    /// Visible entries that live and were never logged, the bytes of their bodies, and those that expire one day.
    pub live: u64,
    pub bytes: u64,
    pub expiring: u64,
    /// Accepted entries from here on, up to the block that the newest one is in, are not logged.
    from: u64,
    /// Whether anything transient was accepted, or is to be skipped: without it nothing needs to be looked at.
    is_watched: bool,
}

impl Unlogged {
    /// For a queue that a start found: what lies between the end of what is logged and the next seq is to be skipped.
    pub(crate) fn begin(&mut self, next_seq: u64) {
        self.from = self.logged_end;
        self.is_watched = self.logged_end < next_seq;
    }

    /// A record of the log says something of the entry before `end`.
    pub(crate) fn log(&mut self, end: u64) {
        self.logged_end = self.logged_end.max(end);
    }

    /// An entry became visible.
    pub(crate) fn enter(&mut self, entry: &Entry) {
        if entry.lsn.is_unlogged() {
            self.live += 1;
            self.bytes += entry.body_bytes();
            self.expiring += u64::from(entry.expires_ms != 0);
        }
    }

    /// Entries of a block that was not written became visible.
    pub(crate) const fn enter_run(&mut self, run: &Run) {
        self.live += run.entries;
        self.bytes += run.bytes;
        self.expiring += run.expiring;
    }

    /// A visible entry died.
    pub(crate) fn leave(&mut self, entry: &Entry) {
        if entry.lsn.is_unlogged() {
            self.live = self.live.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(entry.body_bytes());
            self.expiring = self.expiring.saturating_sub(u64::from(entry.expires_ms != 0));
        }
    }

    /// The log says that it skipped these entries, of which some live. Those that do not are dead already.
    pub(crate) fn skip(&mut self, entries: Range<u64>, floor: u64) {
        self.skipped
            .insert_range(entries.start.max(floor)..entries.end.max(floor));
    }

    /// Everything below is dead.
    pub(crate) fn forget_below(&mut self, floor: u64) {
        if !self.skipped.is_empty() {
            self.skipped.remove_range(..floor);
        }
    }

    /// What is dead for the next start: `acked`, and all that is visible and was never logged.
    pub(crate) fn dead_with(&self, acked: &RoaringTreemap, floor: u64, visible_end: u64) -> RoaringTreemap {
        let mut dead = acked | &self.skipped;
        dead.insert_range(self.logged_end.max(floor)..visible_end.max(floor));
        dead
    }

    /// Whether [`Unlogged::skip_before`] may have something to say when an entry is accepted.
    pub(crate) const fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// Something transient is accepted.
    pub(crate) const fn watch(&mut self) {
        self.is_watched = true;
    }

    /// The queue's first entry in a block is accepted, with the next seq: what the log has to say if the block is written.
    /// `fate` is that of the block with the entry before, as long as that block is not applied.
    pub(crate) fn skip_before(&mut self, next_seq: u64, fate: Option<Fate>) -> Option<Range<u64>> {
        self.from = match fate {
            Some(Fate::Logged) => next_seq,
            Some(Fate::Unlogged) => self.from,
            None => self.from.max(self.logged_end),
        };
        (self.from < next_seq).then_some(self.from..next_seq)
    }
}
