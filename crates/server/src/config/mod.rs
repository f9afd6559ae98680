//! What an operator can set: a TOML file, `--set key=value`, flags and three environment variables.
//!
//! Invariants:
//! - An unknown key is an error that names file, line and key; nothing is ignored in silence.
//! - Flags win over `--set`, `--set` wins over the file, the file over the environment and the defaults.
//!
//! Elsewhere: flags are parsed by the binary, bounds stand in `limits`.

mod error;
mod file;
mod settings;
mod store;
#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use file::{ClientCertificates, ConfigFile, LogFormat, LoginFrom, Mechanism};
pub use settings::{DefaultUser, Listen, Need, Settings, TlsSettings};
pub use store::{Damage, StoreKeys, WriteMode};
