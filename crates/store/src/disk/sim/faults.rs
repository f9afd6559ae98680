//! Which calls of a simulated disk go wrong, and how often.

/// Chances of faults, each in parts of 65536 per call. All zero: nothing goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// A read, the opening of a file or the listing of a directory fails with EIO.
    pub read_error: u32,
    /// A write, synced or not, fails with EIO; some of its sectors may have arrived.
    pub write_error: u32,
    /// A sync fails with EIO; what was dirty counts as clean afterwards, and some of it is dropped for good.
    pub sync_error: u32,
    /// A file cannot be created, renamed or removed, or a directory not synced: EIO, and nothing has changed.
    pub name_error: u32,
    /// A call that needs space fails with ENOSPC, although there is some.
    pub no_space: u32,
    /// A write arrives in two parts, between which a crash may fall. The seam hides it from the caller.
    pub short_write: u32,
    /// A call is interrupted and made again. The seam hides it from the caller.
    pub interrupted: u32,
    /// A write goes to another place of the file, and reports success.
    pub misdirected_write: u32,
    /// A read returns what a page held before its last change.
    pub stale_read: u32,
    /// A call takes long: the clocks move on by up to a second.
    pub slow: u32,
}
