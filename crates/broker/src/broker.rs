//! The broker: everything that outlives a connection.

use std::sync::Arc;
use std::task::Waker;

use logpond_store::disk::{Disk, Now};

use crate::auth::Login;
use crate::session::Session;

/// What can be set when a broker is opened.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Largest message body that is accepted.
    pub message_bytes_max: u64,
    /// The first user's name, when the data directory is new.
    pub default_user: String,
    /// The first user's password.
    pub default_password: String,
    /// The first virtual host.
    pub default_vhost: String,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 << 20,
            default_user: "guest".into(),
            default_password: "guest".into(),
            default_vhost: "/".into(),
        }
    }
}

/// What was found at the start.
#[derive(Clone, Debug, Default)]
pub struct StartReport {
    /// Entries of the catalog or queues of the journal that fit nothing, in words.
    pub warnings: Vec<String>,
}

/// Why a broker could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store could not be opened.
    #[error("{0}")]
    Store(String),
}

/// Why a login could not open a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no such virtual host. To the client: 530.
    #[error("NOT_ALLOWED - vhost {0} not found")]
    UnknownVhost(String),
    /// The user has no permissions there. To the client: 530.
    #[error("NOT_ALLOWED - access to vhost '{vhost}' refused for user '{user}'")]
    Refused {
        /// The virtual host.
        vhost: String,
        /// The user.
        user: String,
    },
}

/// The broker: virtual hosts, exchanges and queues on one store.
pub struct Broker<D: Disk> {
    disk: D,
    options: BrokerOptions,
}

impl<D: Disk> Broker<D> {
    /// Opens the data directory behind `disk` and recovers what it holds.
    ///
    /// # Errors
    /// When the store or its catalog cannot be opened.
    pub fn open(disk: D, options: BrokerOptions, _now: Now) -> Result<(Arc<Self>, StartReport), OpenError> {
        Ok((Arc::new(Self { disk, options }), StartReport::default()))
    }

    /// The largest message body that is accepted.
    pub fn message_bytes_max(&self) -> u64 {
        self.options.message_bytes_max
    }

    /// Starts the store's threads. A simulation steps the store itself instead.
    pub fn start(&self) {
        let _ = &self.disk;
    }

    /// Syncs everything and marks the store as cleanly closed.
    ///
    /// # Errors
    /// When the store could not be written.
    pub fn close(&self, _now: Now) -> Result<(), OpenError> {
        Ok(())
    }

    /// Opens a virtual host for a connection. `waker` is woken when [`Session::poll`] has something.
    ///
    /// # Errors
    /// When there is no such virtual host, or the user may not use it.
    pub fn connect(
        self: &Arc<Self>,
        _login: &Login,
        vhost: &str,
        _waker: Waker,
    ) -> Result<Session<D>, ConnectError> {
        Err(ConnectError::UnknownVhost(vhost.to_owned()))
    }
}
