//! The ready entries of a queue whose head is not its oldest one.
//!
//! Invariant: not written to disk. The index tells of each entry where it belongs.
//!
//! Elsewhere: by priority (`levels`), by time (`due`).

use crate::due::Due;
use crate::index::page::Entry;
use crate::levels::Levels;
use roaring::RoaringTreemap;

pub(crate) enum Order {
    /// The highest priority first.
    Levels(Levels),
    /// What expires first, first.
    Due(Due),
}

impl Order {
    pub(crate) fn insert(&mut self, entry: &Entry, seq: u64) {
        match self {
            Self::Levels(levels) => levels.insert(entry.priority, seq),
            Self::Due(due) => due.insert(entry.expires_ms, seq),
        }
    }

    /// Whether it was there, as a message.
    pub(crate) fn remove(&mut self, entry: &Entry, seq: u64) -> bool {
        match self {
            Self::Levels(levels) => levels.remove(entry.priority, seq),
            Self::Due(due) => due.remove(entry.expires_ms, seq),
        }
    }

    /// Takes the head out, which may be no message: what was sorted by the run was not looked at, and tells no priority.
    pub(crate) fn remove_head(&mut self, entry: &Entry, head: u64) {
        if !self.remove(entry, head)
            && let Self::Levels(levels) = self
        {
            levels.remove_anywhere(head);
        }
    }

    pub(crate) fn head(&self) -> Option<u64> {
        match self {
            Self::Levels(levels) => levels.head(),
            Self::Due(due) => due.head(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Levels(levels) => levels.is_empty(),
            Self::Due(due) => due.is_empty(),
        }
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        match self {
            Self::Levels(levels) => levels.contains(seq),
            Self::Due(due) => due.contains(seq),
        }
    }

    /// Takes what is ready out of `entries`.
    pub(crate) fn remove_from(&self, entries: &mut RoaringTreemap) {
        match self {
            Self::Levels(levels) => levels.remove_from(entries),
            Self::Due(due) => due.remove_from(entries),
        }
    }

    /// Empties it, and says what was ready.
    pub(crate) fn take(&mut self) -> RoaringTreemap {
        match self {
            Self::Levels(levels) => levels.take(),
            Self::Due(due) => due.take(),
        }
    }
}
