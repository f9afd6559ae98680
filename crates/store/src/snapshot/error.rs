//! Why a snapshot was not taken, or its manifest cannot be read.

use crate::disk::is_full;
use crate::error::PoisonCause;
use std::io;

/// Why there is no snapshot. The store goes on as if none had been asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The directory is not empty. Choose another one, or remove it.
    #[error(
        "the directory holds '{found}', and a snapshot is taken into an empty one: choose another, or remove it"
    )]
    NotEmpty {
        /// Something that stands there.
        found: String,
    },
    /// A write or sync failed earlier, or the store was closed. Open it again first.
    #[error("no snapshot is taken of a store that takes nothing any more: {0}")]
    Poisoned(PoisonCause),
    /// There is no room for it: make some, or take it elsewhere. On the store's own file system it needs little more than a
    /// segment; elsewhere as much as the store.
    #[error("there is no room for {file} of the snapshot ({leftovers}): {source}")]
    NoRoom {
        /// The file, relative to the snapshot.
        file: String,
        /// What is left of the attempt.
        leftovers: Leftovers,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The disk said no.
    #[error("{what} {file} for the snapshot ({leftovers}): {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file, relative to the store or the snapshot.
        file: String,
        /// What is left of the attempt.
        leftovers: Leftovers,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl SnapshotError {
    pub(crate) fn io(
        what: &'static str,
        file: impl Into<String>,
        leftovers: Leftovers,
    ) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| {
            if is_full(&source) {
                return Self::NoRoom {
                    file,
                    leftovers,
                    source,
                };
            }
            Self::Io {
                what,
                file,
                leftovers,
                source,
            }
        }
    }
}

/// What is left of a snapshot that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leftovers {
    /// Nothing but empty directories.
    None,
    /// Files, marked as unfinished: nobody opens them. Remove the directory.
    Marked,
    /// All of it, but a power loss may bring the mark back that says that it is unfinished. Remove the directory.
    Whole,
}

impl std::fmt::Display for Leftovers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "nothing is left of it",
            Self::Marked => "what is left is marked as unfinished: remove the directory",
            Self::Whole => "a power loss may mark it as unfinished: remove the directory",
        })
    }
}

/// Why the manifest of a snapshot cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestProblem {
    /// There is none: the directory is no snapshot.
    #[error("there is no {0}: the directory is no snapshot")]
    Missing(&'static str),
    /// Its lines are not those that were written, or another version's.
    #[error("line {line} of the manifest is not what was written")]
    Damaged {
        /// The first line that is wrong, counted from 1.
        line: usize,
    },
    /// The disk said no.
    #[error("reading {file}: {source}")]
    Io {
        /// The file, relative to the snapshot.
        file: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}
