//! The broker: everything that outlives a connection.
//!
//! Invariants:
//! - Locks are taken in one order: administration, mover of dead letters, virtual hosts, catalog, shard, census; and nobody waits
//!   for the disk while holding the shard.
//! - Wakers are fired, and abandoned queues deleted, after the shard's lock was released.
//!
//! Elsewhere: declaring and deleting (`admin`), what happens at the start (`startup`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::Waker;
use std::time::Duration;

use logpond_store::disk::{Disk, Now};
use logpond_store::{BlockNumber, Engine, Guard, PoisonCause};

use crate::auth::{Accounts, AuthError, Login, Peer};
use crate::census::{Census, ConnectionLimits, Full};
use crate::command::Portion;
use crate::dead_letter::Mover;
use crate::errors::{Answer, storage_failed};
use crate::options::BrokerOptions;
use crate::session::Session;
use crate::startup::{self, OpenError, StartReport};
use crate::state::BrokerState;
use crate::topology::Vhost;

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
    /// The virtual host has as many connections as it may. To the client: 530.
    #[error(
        "NOT_ALLOWED - access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached"
    )]
    VhostFull {
        /// The virtual host.
        vhost: String,
        /// The user.
        user: String,
        /// How many it may have.
        limit: u64,
    },
    /// The user has as many connections as they may. To the client: 530.
    #[error("NOT_ALLOWED - connection refused for user '{user}': user connection limit ({limit}) is reached")]
    UserFull {
        /// The user.
        user: String,
        /// How many they may have.
        limit: u64,
    },
}

/// The broker: virtual hosts, exchanges and queues on one store.
pub struct Broker<D: Disk> {
    pub(crate) disk: D,
    pub(crate) store: Engine<D, BrokerState>,
    pub(crate) options: BrokerOptions,
    pub(crate) accounts: Accounts,
    pub(crate) census: Arc<Census>,
    pub(crate) vhosts: RwLock<BTreeMap<Arc<str>, Arc<Vhost>>>,
    administration: Mutex<()>,
    pub(crate) mover: Mutex<Mover<D>>,
}

impl<D: Disk> Broker<D> {
    /// Opens the data directory behind `disk` and recovers what it holds.
    ///
    /// # Errors
    /// When the store or its catalog cannot be opened.
    pub fn open(disk: D, options: BrokerOptions) -> Result<(Arc<Self>, StartReport), OpenError> {
        let started = startup::start(&disk, &options)?;
        let mover = Mover::new(started.store.reader());
        let broker = Self {
            mover: Mutex::new(mover),
            disk,
            store: started.store,
            options,
            accounts: started.accounts,
            census: Arc::default(),
            vhosts: RwLock::new(started.vhosts),
            administration: Mutex::new(()),
        };
        Ok((Arc::new(broker), started.report))
    }

    /// Starts the store's threads. A simulation steps the store itself instead.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(&self) -> std::io::Result<()> {
        self.store.start()
    }

    /// The largest message body that is accepted.
    pub fn message_bytes_max(&self) -> u64 {
        self.options.message_bytes_max
    }

    /// Why the store failed, if it did: nothing is confirmed any more.
    pub fn poisoned(&self) -> Option<PoisonCause> {
        self.store.lock().parts().1.poisoned.clone()
    }

    /// For how long the disk has not answered a synced write, once that is too long: nothing is confirmed meanwhile.
    pub fn write_stall(&self) -> Option<Duration> {
        self.store.write_stall()
    }

    /// Has `waker` woken when the store has failed, and when something is written after [`Broker::rests`] was true; it must not call
    /// the broker.
    pub fn watch_store(&self, waker: Waker) {
        self.store.lock().parts().1.store_watch = Some(waker.clone());
        self.store.watch_writes(waker);
    }

    /// Whether nothing was written since this was asked last: then whoever looks at [`Broker::write_stall`] every so often may sleep
    /// until the next write wakes them.
    pub fn rests(&self) -> bool {
        self.store.rests()
    }

    /// Users and permissions.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// One unit of pending work, the store's or that of moving dead letters, for simulations; false if there was none.
    pub fn step(&self) -> bool {
        self.store.step() || self.move_dead_letters(self.disk.now())
    }

    /// Syncs everything and marks the store as cleanly closed.
    ///
    /// # Errors
    /// When the store could not be written.
    pub fn close(&self) -> Result<(), OpenError> {
        // What a client rejected is not to come back with the next start, if that can be helped.
        while self.move_dead_letters(self.disk.now()) {}
        self.store
            .close()
            .map_err(|cause| OpenError::Close(cause.to_string()))
    }

    /// Checks a password.
    ///
    /// # Errors
    /// When user and password do not fit, or the user may not come from there.
    pub fn authenticate(&self, user: &str, password: &[u8], peer: Peer) -> Result<Login, AuthError> {
        self.accounts.authenticate(user, password, peer)
    }

    /// The login of a user whom somebody else vouches for: a verified certificate, or the configuration.
    ///
    /// # Errors
    /// When there is no such user, or the user may not come from there.
    pub fn vouched(&self, user: &str, peer: Peer) -> Result<Login, AuthError> {
        self.accounts.vouched(user, peer)
    }

    /// Opens a virtual host for a connection. `waker` is woken when [`Session::poll`] has something.
    ///
    /// # Errors
    /// When there is no such virtual host, or the user may not use it.
    pub fn connect(
        self: &Arc<Self>,
        login: &Login,
        vhost: &str,
        waker: Waker,
    ) -> Result<Session<D>, ConnectError> {
        let found = self
            .vhost(vhost)
            .ok_or_else(|| ConnectError::UnknownVhost(vhost.to_owned()))?;
        let limits = ConnectionLimits {
            of_vhost: found.limits().max_connections,
            of_user: self.accounts.limits(login.user()).max_connections,
        };
        let admitted = self.census.admit(&found.name, login.user(), limits);
        let admission = admitted.map_err(|full| {
            let user = login.user().as_ref().to_owned();
            match full {
                Full::Vhost(limit) => ConnectError::VhostFull {
                    vhost: vhost.to_owned(),
                    user,
                    limit,
                },
                Full::User(limit) => ConnectError::UserFull { user, limit },
            }
        })?;
        if !self.accounts.may_enter(login.user(), vhost) {
            let (vhost, user) = (vhost.to_owned(), login.user().as_ref().to_owned());
            return Err(ConnectError::Refused { vhost, user });
        }
        Ok(Session::new(
            Arc::clone(self),
            found,
            login.clone(),
            admission,
            waker,
        ))
    }

    pub(crate) fn vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    /// One administrative change at a time.
    pub(crate) fn administer(&self) -> MutexGuard<'_, ()> {
        self.administration.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases the shard: fires wakers, has appended records committed, deletes abandoned queues.
    pub(crate) fn release(&self, guard: Guard<'_, D, BrokerState>, appended: usize, now: Now) {
        self.release_portion(guard, appended, Portion::Last, now);
    }

    /// The same, after this portion of what is to be appended.
    pub(crate) fn release_portion(
        &self,
        mut guard: Guard<'_, D, BrokerState>,
        appended: usize,
        portion: Portion,
        now: Now,
    ) {
        let (_, state) = guard.parts();
        let mut wakers = std::mem::take(&mut state.wakers);
        let abandoned = std::mem::take(&mut state.abandoned);
        drop(guard);
        for waker in wakers.drain(..) {
            waker.wake();
        }
        match portion {
            _ if appended == 0 => {}
            Portion::Last => self.store.commit(appended),
            Portion::MoreFollow => self.store.hand_over(),
        }
        for queue in abandoned {
            self.delete_abandoned(queue, now);
        }
    }

    /// Returns when `block` is durable.
    pub(crate) fn wait_durable(&self, block: BlockNumber) -> Answer<()> {
        self.store.wait_durable(block).map(|_| ()).map_err(storage_failed)
    }

    /// For tables of names, so that clients cannot construct collisions.
    pub(crate) fn seed(&self) -> u64 {
        startup::seed(&self.disk)
    }

    /// For a new password.
    pub(crate) fn salt(&self) -> [u8; 4] {
        startup::salt(&self.disk)
    }

    /// A name that nobody else has.
    pub(crate) fn unique_name(&self, prefix: &str) -> String {
        use base64::Engine;
        let random = self.disk.random().to_be_bytes();
        format!(
            "{prefix}{}",
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random)
        )
    }
}
