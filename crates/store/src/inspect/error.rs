//! Why a store could not be looked at.

use crate::error::OpenError;
use std::io;

/// Why a store could not be looked at. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// There is no store in this directory: no META, no segment, no catalog.
    #[error("there is no store here: neither META nor a segment nor a catalog tells whose directory it is")]
    NoStore,
    /// What was asked for does not exist. `what` says what that is, and where to look for what does.
    #[error("{what}")]
    Missing {
        /// The thing that is missing, in words.
        what: String,
    },
    /// A file belongs to another store or was written by another version; a start refuses it too.
    #[error(transparent)]
    Refused(#[from] OpenError),
    /// A running store changed its files between any two looks. Try again, or stop it.
    #[error(
        "the running store changed its files faster than they could be read, {tries} times; try again, or stop it"
    )]
    KeepsChanging {
        /// How often it was tried.
        tries: u32,
    },
    /// The disk said no.
    #[error("{what} {file}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file, relative to the data directory.
        file: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl InspectError {
    pub(crate) fn io(what: &'static str, file: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Io { what, file, source }
    }

    pub(super) fn missing(what: impl Into<String>) -> Self {
        Self::Missing { what: what.into() }
    }

    /// Whether a file is not there (any more).
    pub(super) fn is_not_found(&self) -> bool {
        let Self::Io { source, .. } = self else {
            return false;
        };
        source.kind() == io::ErrorKind::NotFound
    }
}
