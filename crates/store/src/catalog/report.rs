//! What opening a catalog found.

/// What opening a catalog found. Part of the recovery report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CatalogReport {
    /// There was no file; an empty one was started.
    pub created: bool,
    /// There was none although the store had one: all definitions are gone. So the queues that the journal knows
    /// ([`RecoveryReport::queues`](crate::RecoveryReport::queues)) are there without any.
    pub missing: bool,
    /// Intact frames.
    pub frames: u64,
    /// Live entries.
    pub entries: usize,
    /// An interrupted last write that was cut.
    pub torn: Option<TornTail>,
    /// Damage with intact frames behind it.
    pub damaged: Vec<DamagedRange>,
}

impl CatalogReport {
    /// Whether every byte was as written.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.missing && self.torn.is_none() && self.damaged.is_empty()
    }
}

/// The remains of a write that a crash interrupted; it was never reported as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where it began in `catalog.log`.
    pub offset: u64,
    /// Its bytes, up to the last one that is not zero.
    pub len: u64,
}

/// Bytes that were changed after they had been written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// Where the damage begins in `catalog.log`.
    pub offset: u64,
    /// Bytes up to the next intact frame.
    pub len: u64,
    /// How many batches of changes are missing, by their sequence numbers.
    pub lost_frames: u64,
    /// The file that keeps the damaged bytes.
    pub kept_in: String,
}
