//! Loading a definitions file at the start.

use std::path::Path;

use logpond_broker::Now;

use crate::engine::ServerBroker;

/// Why definitions were not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionsError {
    /// The file could not be read.
    #[error("cannot read the definitions {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The broker refused what is in it.
    #[error("cannot load the definitions {path}: {message}")]
    Refused {
        /// The file.
        path: String,
        /// What is wrong.
        message: String,
    },
}

/// Loads a file; what exists already stays.
pub(crate) fn load(broker: &ServerBroker, path: &Path, now: Now) -> Result<(), DefinitionsError> {
    let name = path.display().to_string();
    let json = std::fs::read(path).map_err(|source| DefinitionsError::Unreadable {
        path: name.clone(),
        source,
    })?;
    let imported = broker
        .import_definitions(&json, now)
        .map_err(|error| DefinitionsError::Refused {
            path: name.clone(),
            message: error.to_string(),
        })?;
    tracing::info!(file = %name, ?imported, "definitions loaded");
    Ok(())
}
