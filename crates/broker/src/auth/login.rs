//! A proven login, and why one is refused.

use std::sync::Arc;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// From this machine.
    Loopback,
    /// From elsewhere.
    Remote,
}

/// Why a login was refused. For the log: the client hears the same of all of them, so that it cannot find out
/// which users exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No such user, a user without a password, or another password.
    #[error("wrong user name or password")]
    Wrong,
    /// The user may only come from this machine.
    #[error("user can only connect via localhost")]
    LoopbackOnly,
}

/// A user whose password was right, or whom somebody vouched for. Only [`Accounts`](super::Accounts) makes one.
#[derive(Clone, Debug)]
pub struct Login {
    user: Arc<str>,
    tags: Arc<[String]>,
}

impl Login {
    pub(super) const fn new(user: Arc<str>, tags: Arc<[String]>) -> Self {
        Self { user, tags }
    }

    /// The user's name.
    pub const fn user(&self) -> &Arc<str> {
        &self.user
    }

    /// The user's tags at login.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether messages may carry another `user-id` than this user's.
    pub fn may_impersonate(&self) -> bool {
        self.tags.iter().any(|tag| tag == super::IMPERSONATOR)
    }
}
