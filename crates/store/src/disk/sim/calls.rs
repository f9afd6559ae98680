//! How often a simulated disk was asked for what.

/// Counts of calls, since the disk or the image it came from was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Calls {
    pub reads: u64,
    pub writes: u64,
    pub synced_writes: u64,
    pub syncs: u64,
    pub map_syncs: u64,
    pub dir_syncs: u64,
    pub creates: u64,
    pub opens: u64,
    pub renames: u64,
    pub removes: u64,
    pub allocations: u64,
    pub shortenings: u64,
    pub injected_faults: u64,
}

/// The calls that change something: each can be the one at which the machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Write,
    SyncedWrite,
    Sync,
    MapSync,
    DirSync,
    Create,
    Rename,
    Remove,
    Allocate,
    Shorten,
}

impl Calls {
    pub(super) fn count(&mut self, change: Change) {
        let counter = match change {
            Change::Write => &mut self.writes,
            Change::SyncedWrite => &mut self.synced_writes,
            Change::Sync => &mut self.syncs,
            Change::MapSync => &mut self.map_syncs,
            Change::DirSync => &mut self.dir_syncs,
            Change::Create => &mut self.creates,
            Change::Rename => &mut self.renames,
            Change::Remove => &mut self.removes,
            Change::Allocate => &mut self.allocations,
            Change::Shorten => &mut self.shortenings,
        };
        *counter += 1;
    }

    /// All calls: the scale of [`SimDisk::fail_at`](super::SimDisk::fail_at).
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.changes() + self.reads + self.opens
    }

    /// Calls that changed something: the scale of [`SimDisk::crash_at`](super::SimDisk::crash_at) and
    /// [`SimDisk::full_at`](super::SimDisk::full_at).
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.writes
            + self.synced_writes
            + self.syncs
            + self.map_syncs
            + self.dir_syncs
            + self.creates
            + self.renames
            + self.removes
            + self.allocations
            + self.shortenings
    }
}
