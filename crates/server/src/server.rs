//! The running server: its broker, its listeners, and how it ends.
//!
//! Invariants:
//! - A clean stop gives connections `SHUTDOWN_TIMEOUT` at most; the store is closed, and marked clean, when they have ended or that time is up.
//! - Once the store is poisoned nothing is confirmed, and `run` returns within a second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use logpond_amqp::ReplyCode;
use logpond_broker::{BrokerOptions, Now, OpenError, StartReport};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::blocking::blocking;
use crate::buffers::Buffers;
use crate::config::Settings;
use crate::connection::Refusal;
use crate::definitions::{Definitions, DefinitionsError};
use crate::engine::{ServerBroker, ServerDisk};
use crate::limits::{DRAIN_TIME, SHUTDOWN_TIMEOUT, TURNS};
use crate::listener::{self, ListenError, Reserved, Security};
use crate::recovery_log;
use crate::signal::Signal;
use crate::stop::{Phase, Stopper};
use crate::tls::{Certificates, TlsError};
use crate::upkeep;

/// How often we look whether the disk answers, while anything is written.
const HEALTH_INTERVAL: Duration = Duration::from_millis(250);
/// Time that clients get to hear of a poisoned store.
const POISONED_FAREWELL: Duration = Duration::from_millis(500);

/// What all connections use.
pub(crate) struct Shared {
    pub broker: Arc<ServerBroker>,
    pub disk: ServerDisk,
    pub settings: Settings,
    pub buffers: Buffers,
    pub cluster_name: String,
    pub message_bytes_max: u64,
    /// Who holds one of these may change or look up queues, exchanges and bindings: such calls wait for each other and for the
    /// disk, each on a thread, of which there are few.
    pub turns: Arc<Semaphore>,
}

impl Shared {
    /// The clocks, as the disk reads them.
    pub fn now(&self) -> Now {
        use logpond_broker::Disk;
        self.disk.now()
    }

    /// What clients hear when the server ends.
    pub fn farewell(&self) -> Refusal {
        match self.broker.poisoned() {
            Some(cause) => Refusal::new(ReplyCode::INTERNAL_ERROR, format_args!("storage failed: {cause}")),
            None => Refusal::new(
                ReplyCode::CONNECTION_FORCED,
                "broker forced connection closure with reason 'shutdown'",
            ),
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The data directory could not be made.
    #[error("cannot use the data directory {path}: {source}")]
    Directory {
        /// The directory.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store's threads could not be started.
    #[error("cannot start the store's threads: {0}")]
    Threads(#[source] std::io::Error),
    /// An address could not be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Certificate or key could not be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The definitions could not be loaded.
    #[error(transparent)]
    Definitions(#[from] DefinitionsError),
}

/// Why a server that ran ended with an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The store failed; nothing was confirmed after that.
    #[error(
        "the store failed and nothing more is confirmed: {cause}; restart to recover from what is on the disk"
    )]
    Poisoned {
        /// What failed.
        cause: String,
    },
    /// The store could not be closed.
    #[error(transparent)]
    Close(#[from] OpenError),
}

/// A server that listens.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    stopper: Stopper,
    alive: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
    report: StartReport,
}

impl Server {
    /// Takes its addresses, opens the data directory, recovers it, loads definitions, and listens. What is wrong with an
    /// address, a certificate or the file of the definitions shows before there is a data directory.
    ///
    /// # Errors
    /// When one of these is not possible; nothing keeps running then.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let certificates = settings.tls.as_ref().map(Certificates::load).transpose()?;
        let certificates = certificates.map(Arc::new);
        let definitions = settings.definitions.as_deref();
        let definitions = definitions
            .map(|path| blocking(|| Definitions::read(path)))
            .transpose()?;
        let (plain, secure) = reserve(&settings)?;
        let disk = open_disk(&settings)?;
        let (broker, report) = blocking(|| ServerBroker::open(disk.clone(), options(&settings)))?;
        recovery_log::write(&report);
        broker.start().map_err(StartError::Threads)?;
        let shared = Arc::new(Shared {
            message_bytes_max: broker.message_bytes_max(),
            broker,
            disk,
            buffers: Buffers::default(),
            turns: Arc::new(Semaphore::new(TURNS)),
            cluster_name: cluster_name(),
            settings,
        });
        if let Some(definitions) = definitions {
            blocking(|| definitions.load(&shared.broker, shared.now()))?;
        }
        let (plain, secure) = (listener::listen(plain)?, listener::listen(secure)?);
        let (addresses, tls_addresses) = (bound(&plain), bound(&secure));
        let plain = plain.into_iter().map(|listener| (listener, Security::Plain));
        let encrypted = secure.into_iter().zip(certificates.iter().cycle());
        let encrypted =
            encrypted.map(|(listener, certificates)| (listener, Security::Tls(Arc::clone(certificates))));
        let stopper = Stopper::new();
        let (alive, ended) = mpsc::channel(1);
        tokio::spawn(upkeep::keep_up(Arc::clone(&shared), stopper.subscribe()));
        tokio::spawn(upkeep::move_dead_letters(
            Arc::clone(&shared),
            stopper.subscribe(),
        ));
        if let Some(certificates) = &certificates {
            tokio::spawn(upkeep::keep_certificates(
                Arc::clone(certificates),
                stopper.subscribe(),
            ));
        }
        for (listener, security) in plain.chain(encrypted) {
            tokio::spawn(listener::accept(
                listener,
                security,
                Arc::clone(&shared),
                stopper.subscribe(),
                alive.clone(),
            ));
        }
        Ok(Self {
            shared,
            addresses,
            tls_addresses,
            stopper,
            alive,
            ended,
            report,
        })
    }

    /// Where it listens, with the ports that the system chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it listens for encrypted connections.
    pub fn tls_addresses(&self) -> &[SocketAddr] {
        &self.tls_addresses
    }

    /// What was found in the data directory.
    pub fn report(&self) -> &StartReport {
        &self.report
    }

    /// Runs until `stop` is ready, then ends cleanly.
    ///
    /// # Errors
    /// When the store failed, while running or while closing.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), RunError> {
        tokio::select! {
            () = stop => {}
            cause = watch_store(&self.shared.broker) => return self.end_poisoned(cause).await,
        }
        self.end().await
    }

    async fn end(self) -> Result<(), RunError> {
        let Self {
            shared,
            stopper,
            alive,
            mut ended,
            ..
        } = self;
        drop(alive);
        tracing::info!("stopping: no more connections, confirms go out");
        stopper.enter(Phase::Draining);
        if timeout(DRAIN_TIME, ended.recv()).await.is_err() {
            stopper.enter(Phase::Closing);
        }
        if timeout(SHUTDOWN_TIMEOUT - DRAIN_TIME, ended.recv())
            .await
            .is_err()
        {
            tracing::warn!("connections did not end in time");
        }
        blocking(|| shared.broker.close())?;
        tracing::info!("stopped cleanly");
        Ok(())
    }

    async fn end_poisoned(self, cause: String) -> Result<(), RunError> {
        let Self {
            stopper,
            alive,
            mut ended,
            ..
        } = self;
        drop(alive);
        tracing::error!(%cause, "the store failed: nothing more is confirmed");
        stopper.enter(Phase::Closing);
        let _ = timeout(POISONED_FAREWELL, ended.recv()).await;
        Err(RunError::Poisoned { cause })
    }
}

/// Reports a disk that does not answer, and its return; ready once the store has failed, with the cause.
async fn watch_store(broker: &ServerBroker) -> String {
    let signal = Arc::new(Signal::default());
    broker.watch_store(signal.waker());
    let mut stall = None;
    loop {
        let stalled = broker.write_stall();
        match (stall, stalled) {
            (None, Some(waited)) => {
                tracing::warn!(
                    ?waited,
                    "the disk does not answer a write: nothing is confirmed until it does"
                );
            }
            (Some(waited), None) => tracing::warn!(?waited, "the disk answers again"),
            _ => {}
        }
        stall = stalled;
        if let Some(cause) = broker.poisoned() {
            return cause.to_string();
        }
        if stall.is_none() && broker.rests() {
            signal.knocked().await;
        } else {
            // That it woke us is all that a write or a failure has to say.
            let _ = timeout(HEALTH_INTERVAL, signal.knocked()).await;
        }
    }
}

fn bound(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners
        .iter()
        .filter_map(|listener| listener.local_addr().ok())
        .collect()
}

/// Takes all addresses, those for encrypted connections last. Who finds them taken by the process that has the directory, too, is
/// told of that.
fn reserve(settings: &Settings) -> Result<(Vec<Reserved>, Vec<Reserved>), StartError> {
    let all = || {
        let plain = listener::reserve(&settings.listen)?;
        let secure = settings.tls.as_ref().map(|tls| listener::reserve(&tls.listen));
        Ok((plain, secure.transpose()?.unwrap_or_default()))
    };
    all().map_err(|taken: ListenError| held(settings).unwrap_or(StartError::Listen(taken)))
}

/// Whether another process has the data directory; makes nothing there.
fn held(settings: &Settings) -> Option<StartError> {
    use logpond_broker::Disk;
    let is_used = settings.data.join("LOCK").exists();
    let disk = is_used.then(|| open_disk(settings).ok()).flatten()?;
    let held = blocking(|| disk.lock()).err()?;
    Some(StartError::Open(OpenError::Store(held.into())))
}

fn open_disk(settings: &Settings) -> Result<ServerDisk, StartError> {
    let mode = settings.store.write_mode.map(Into::into).unwrap_or_default();
    ServerDisk::open(&settings.data, mode).map_err(|source| StartError::Directory {
        path: settings.data.display().to_string(),
        source,
    })
}

fn options(settings: &Settings) -> BrokerOptions {
    BrokerOptions {
        message_bytes_max: settings.message_bytes_max,
        consumer_timeout_ms: settings.consumer_timeout_ms,
        first_content: settings.first_content,
        default_user: settings.default_user.name.clone(),
        default_password: settings.default_user.password.clone(),
        default_vhost: settings.default_vhost.clone(),
        store: settings.store_options.clone(),
    }
}

fn cluster_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!("rabbit@{}", if host.is_empty() { "localhost" } else { host })
}
