//! Users, passwords and permissions.

use std::sync::Arc;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// From this machine.
    Loopback,
    /// From elsewhere.
    Remote,
}

/// A user whose password was right.
#[derive(Clone, Debug)]
pub struct Login {
    user: Arc<str>,
}

impl Login {
    /// The user's name.
    pub fn user(&self) -> &Arc<str> {
        &self.user
    }
}
