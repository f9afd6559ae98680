//! What the catalog keeps of users and permissions.
//!
//! Invariants: the first byte of a key says of what kind the entry is (`entries` has the other kinds); fields
//! are only ever added behind those that exist.

use serde::{Deserialize, Serialize};

use super::{PasswordHash, Pattern, TopicPermission};

/// First byte of a user's key.
pub(super) const USER: u8 = b'u';
/// First byte of a permission's key.
pub(super) const PERMISSION: u8 = b'p';

/// First byte of the key of a user's limits.
pub(super) const USER_LIMITS: u8 = b'm';
/// First byte of a topic permission's key.
pub(super) const TOPIC_PERMISSION: u8 = b't';

/// The tag of users who may publish with another `user-id` than their own.
pub const IMPERSONATOR: &str = "impersonator";

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name.
    pub name: String,
    /// Without one nobody can log in as this user with a password.
    pub password: Option<PasswordHash>,
    /// What the management interface and `user-id` go by.
    pub tags: Vec<String>,
}

/// How much a user may have at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLimits {
    /// The user.
    pub user: String,
    /// Connections; `None` for any number.
    pub max_connections: Option<u64>,
    /// Channels of all connections together; `None` for any number.
    pub max_channels: Option<u64>,
}

/// What a user may do in a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// The user.
    pub user: String,
    /// The virtual host.
    pub vhost: String,
    /// What may be declared and deleted.
    pub configure: Pattern,
    /// What may be published and bound to.
    pub write: Pattern,
    /// What may be consumed and bound from.
    pub read: Pattern,
}

impl Permission {
    /// The permission to do everything.
    pub fn everything(user: &str, vhost: &str) -> Self {
        let all = Pattern::everything;
        Self {
            user: user.to_owned(),
            vhost: vhost.to_owned(),
            configure: all(),
            write: all(),
            read: all(),
        }
    }
}

pub(super) fn user_key(name: &str) -> Vec<u8> {
    let mut key = vec![USER];
    key.extend_from_slice(name.as_bytes());
    key
}

pub(super) fn user_limits_key(user: &str) -> Vec<u8> {
    let mut key = vec![USER_LIMITS];
    key.extend_from_slice(user.as_bytes());
    key
}

pub(super) fn topic_permission_key(permission: &TopicPermission) -> Vec<u8> {
    let mut key = vec![TOPIC_PERMISSION];
    for part in [&permission.user, &permission.vhost, &permission.exchange] {
        key.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        key.extend_from_slice(part.as_bytes());
    }
    key
}

pub(super) fn permission_key(user: &str, vhost: &str) -> Vec<u8> {
    let mut key = vec![PERMISSION];
    // The length keeps ("a", "bc") and ("ab", "c") apart.
    key.extend(u32::try_from(user.len()).unwrap_or(u32::MAX).to_le_bytes());
    key.extend_from_slice(user.as_bytes());
    key.extend_from_slice(vhost.as_bytes());
    key
}
