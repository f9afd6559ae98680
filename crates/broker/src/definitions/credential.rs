//! How the item of a user gives the password.
//!
//! Invariant: what is read can be stored.

use super::content::Credential;
use super::error::DefinitionsError;
use super::item::Item;
use crate::auth::{HashAlgorithm, PasswordHash};

/// What RabbitMQ hashed with before 3.6.
const MD5: &str = "rabbit_password_hashing_md5";

/// Whether there is a password that cannot be taken over.
pub(super) fn is_unsupported(item: &Item<'_>) -> Result<bool, DefinitionsError> {
    let is_hashed = item
        .optional_text("password_hash")?
        .is_some_and(|hash| !hash.is_empty());
    Ok(is_hashed && item.optional_text("hashing_algorithm")? == Some(MD5))
}

/// How a user logs in with a password. One that cannot be taken over is none.
pub(super) fn credential(item: &Item<'_>) -> Result<Credential, DefinitionsError> {
    if let Some(hash) = item.optional_text("password_hash")? {
        // This is how documents say that nobody can log in with a password.
        if hash.is_empty() || is_unsupported(item)? {
            return Ok(Credential::None);
        }
        let algorithm = match item.optional_text("hashing_algorithm")? {
            // What RabbitMQ has hashed with since 3.6, where this field came.
            None => HashAlgorithm::Sha256,
            Some(name) => {
                HashAlgorithm::parse(name).map_err(|error| item.error("hashing_algorithm", error))?
            }
        };
        let hash = PasswordHash::from_base64(algorithm, hash);
        return hash
            .map(Credential::Hash)
            .map_err(|error| item.error("password_hash", error));
    }
    let Some(password) = item.optional_text("password")? else {
        return Ok(Credential::None);
    };
    // Only to complain here, where the place is known.
    PasswordHash::new(password.as_bytes(), [0; 4]).map_err(|error| item.error("password", error))?;
    Ok(Credential::Plain(password.to_owned()))
}
