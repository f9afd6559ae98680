//! The three patterns of a permission, wherever they stand: in a list of their own, or in the user.
//!
//! Invariant: what is read can be stored.

use super::error::DefinitionsError;
use super::item::Item;
use crate::auth::{Pattern, Permission};

pub(super) fn permission(
    item: &Item<'_>,
    user: String,
    vhost: String,
) -> Result<Permission, DefinitionsError> {
    let pattern = |key| Pattern::new(item.text(key)?).map_err(|error| item.error(key, error));
    Ok(Permission {
        user,
        vhost,
        configure: pattern("configure")?,
        write: pattern("write")?,
        read: pattern("read")?,
    })
}
