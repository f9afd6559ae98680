//! The definitions file of the start: read before anything is made, loaded once the broker is open.

use std::path::Path;

use logpond_broker::Now;

use crate::engine::ServerBroker;
use crate::limits::LEFT_OUT_LINES_MAX;

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

/// A file of definitions that was read.
pub(crate) struct Definitions {
    /// The file.
    name: String,
    json: Vec<u8>,
}

impl Definitions {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, DefinitionsError> {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(json) => Ok(Self { name, json }),
            Err(source) => Err(DefinitionsError::Unreadable { path: name, source }),
        }
    }

    /// Loads them; what exists already stays.
    pub(crate) fn load(self, broker: &ServerBroker, now: Now) -> Result<(), DefinitionsError> {
        let imported = broker.import_definitions(&self.json, now);
        let imported = imported.map_err(|error| DefinitionsError::Refused {
            path: self.name.clone(),
            message: error.to_string(),
        })?;
        warn_of(&self.name, &imported.left_out);
        if broker.accounts().directory().users().next().is_none() {
            tracing::warn!(file = %self.name, "nobody can log in: the definitions have no user, and there is no other");
        }
        tracing::info!(file = %self.name, ?imported, "definitions loaded");
        Ok(())
    }
}

/// Says what somebody may miss, as far as a log can hold it.
fn warn_of(file: &str, left_out: &[String]) {
    let (told, more) = left_out.split_at(left_out.len().min(LEFT_OUT_LINES_MAX));
    for item in told {
        tracing::warn!(%file, "not taken over from the definitions: {item}");
    }
    if !more.is_empty() {
        tracing::warn!(%file, "not taken over from the definitions: {} more", more.len());
    }
}
