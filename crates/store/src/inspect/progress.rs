//! How far a long look has come, for whoever waits for it.

/// What is being looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Segments, counted in bytes.
    Journal,
    /// Entries of the index against the log, counted in index pages.
    Index,
}

/// Told how far a long look has come. `()` listens to nothing.
pub trait Progress {
    /// `done` of `total` bytes or pages of this stage have been looked at.
    fn reached(&mut self, stage: Stage, done: u64, total: u64);
}

impl Progress for () {
    fn reached(&mut self, _stage: Stage, _done: u64, _total: u64) {}
}
