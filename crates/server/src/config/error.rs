//! Why a configuration was refused, in words that lead to the line to change.

/// A configuration that we do not start with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Unreadable {
        /// The file as it was named.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key that does not exist.
    #[error("{origin}:{line}: unknown key `{key}`{hint}")]
    UnknownKey {
        /// The file, or the flag that carried the text.
        origin: String,
        /// Line in it, from 1.
        line: usize,
        /// The key.
        key: String,
        /// Which keys would have been accepted there, or nothing.
        hint: String,
    },
    /// Not TOML, or a value of the wrong type or range.
    #[error("{origin}:{line}: {message}")]
    Invalid {
        /// The file, or the flag that carried the text.
        origin: String,
        /// Line in it, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A value that is well formed but cannot be used.
    #[error("`{key}`: {message}")]
    Value {
        /// The setting.
        key: String,
        /// What is wrong with it.
        message: String,
    },
}
