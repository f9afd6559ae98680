//! Why a document cannot be imported.

use super::limits::DOCUMENT_BYTES_MAX;

/// Nothing was imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionsError {
    /// More than [`DOCUMENT_BYTES_MAX`].
    #[error("the definitions have {len} bytes, at most {DOCUMENT_BYTES_MAX} are possible")]
    TooLong {
        /// Bytes of the document.
        len: usize,
    },
    /// The document is no JSON.
    #[error("the definitions are no JSON: {0}")]
    Json(String),
    /// Something in it cannot be.
    #[error("{path}: {problem}")]
    Item {
        /// Where it stands, as in `queues[3].arguments.x-max-length`.
        path: String,
        /// What is wrong.
        problem: String,
    },
}
