//! Snapshots: a second data directory that holds what was durable at one moment, taken while the store goes on.
//!
//! Invariants:
//! - A snapshot is what a crash at its moment would have left, without the index: opening it is a recovery that rebuilds that.
//! - Sealed segments are linked, not copied; a file with two names is never written again by anybody (`spare`).
//! - Until it is whole a snapshot carries a mark, and no open, look or check takes a directory with that mark.
//! - Whatever fails, the store that it is taken of goes on unharmed.
//!
//! Elsewhere: which locks are held for how long (`engine::snapshot`), what an open does (`recovery`).

mod error;
mod manifest;
mod moment;
mod target;

pub use error::{Leftovers, ManifestProblem, SnapshotError};
pub use manifest::{Difference, HowTaken, SnapshotFile, SnapshotManifest};
pub(crate) use moment::SnapshotMoment;
pub(crate) use target::{check_finished, write};
