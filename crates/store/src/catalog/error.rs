//! Why the catalog did not do what was asked.

use std::io;

use crate::frame::FrameError;

/// Why a catalog could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogOpenError {
    /// Something else stands under that name. Move it away, or choose another directory.
    #[error("{path} is no catalog of Logpond: move it away, or choose another data directory")]
    Foreign {
        /// The file.
        path: String,
    },
    /// It belongs to another store. Put the right file back, or move this one away.
    #[error(
        "{path} belongs to store {found:032x}, but this data directory to {expected:032x}: put the right file back"
    )]
    OtherStore {
        /// The file.
        path: String,
        /// The store that the file names.
        found: u128,
        /// The store that META names.
        expected: u128,
    },
    /// Written by another version. Start it with that version.
    #[error("{path} at byte {offset}: {source}")]
    OtherVersion {
        /// The file.
        path: String,
        /// Where the frame begins.
        offset: u64,
        /// Which version it is.
        source: FrameError,
    },
    /// The disk said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a change did not become durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The change cannot be encoded. Nothing was written.
    #[error(transparent)]
    Encode(#[from] FrameError),
    /// Nothing was written. Try again once there is room.
    #[error("no room for {needed} bytes of definitions: {source}")]
    DiskFull {
        /// Bytes wanted.
        needed: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The disk said no; whether the change is durable shows when the catalog is reopened.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier write failed. Reopen to recover.
    #[error("an earlier write of the definitions failed; nothing is written until a restart")]
    Poisoned,
    /// The store was closed, and somebody else may have its directory. Open it again.
    #[error("the store was closed: open it again")]
    Closed,
}
