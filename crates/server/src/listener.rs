//! Listening sockets.
//!
//! Invariants:
//! - Addresses are taken before the data directory is touched, and nobody is heard before it is open.
//! - A connection above the limit is closed at once; a failing `accept` never ends the listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;

use crate::config::{Listen, Need};
use crate::connection::{Arrival, serve};
use crate::peer::PeerAddress;
use crate::server::Shared;
use crate::stop::{Phase, Stop};
use crate::tls::Certificates;

/// Pause after an `accept` that failed for want of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that the kernel completes before we have accepted them.
const BACKLOG: u32 = 1024;

/// An address that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// An address that is ours and where nobody is heard yet: whoever connects is refused.
pub(crate) struct Reserved {
    address: SocketAddr,
    need: Need,
    socket: TcpSocket,
}

impl Reserved {
    fn new(&Listen { address, need }: &Listen) -> Result<Self, ListenError> {
        let bound = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // Connections of the process before us may still be ending.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok(socket)
        };
        match bound() {
            Ok(socket) => Ok(Self {
                address,
                need,
                socket,
            }),
            Err(source) => Err(ListenError { address, source }),
        }
    }

    fn listen(self) -> Result<TcpListener, ListenError> {
        let address = self.address;
        self.socket
            .listen(BACKLOG)
            .map_err(|source| ListenError { address, source })
    }
}

/// Takes all addresses; one that is optional and missing is noted.
pub(crate) fn reserve(addresses: &[Listen]) -> Result<Vec<Reserved>, ListenError> {
    let wanted = addresses
        .iter()
        .map(|listen| (listen.need, Reserved::new(listen)));
    all_needed(wanted)
}

/// From now on clients are heard. Somebody else may have taken an address that he had reserved as we did.
pub(crate) fn listen(reserved: Vec<Reserved>) -> Result<Vec<TcpListener>, ListenError> {
    all_needed(
        reserved
            .into_iter()
            .map(|reserved| (reserved.need, reserved.listen())),
    )
}

fn all_needed<T>(
    wanted: impl Iterator<Item = (Need, Result<T, ListenError>)>,
) -> Result<Vec<T>, ListenError> {
    let mut had = Vec::new();
    for (need, result) in wanted {
        match result {
            Ok(one) => had.push(one),
            Err(ListenError { address, source }) if need == Need::Optional && !had.is_empty() => {
                tracing::info!(%address, error = %source, "not listening there");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(had)
}

/// How a listener's connections are served.
#[derive(Clone)]
pub(crate) enum Security {
    /// As they come.
    Plain,
    /// Encrypted, with the certificates of the moment.
    Tls(Arc<Certificates>),
}

/// Accepts until the server stops. `alive` is held by each connection as long as it lasts.
pub(crate) async fn accept(
    listener: TcpListener,
    security: Security,
    shared: Arc<Shared>,
    stop: Stop,
    alive: mpsc::Sender<()>,
) {
    let mut until = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = until.reached(Phase::Draining) => return,
        };
        match accepted {
            Ok((socket, address)) => {
                let tls = match &security {
                    Security::Plain => None,
                    Security::Tls(certificates) => Some(certificates.current()),
                };
                let peer = PeerAddress::new(address);
                admit(Arrival { socket, peer, tls }, &shared, &stop, &alive);
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(arrival: Arrival, shared: &Arc<Shared>, stop: &Stop, alive: &mpsc::Sender<()>) {
    // One sender is the server's own, and one each listener's.
    if alive.strong_count()
        > shared
            .settings
            .connections_max
            .saturating_add(shared.settings.listeners_max())
    {
        tracing::warn!(client = %arrival.peer, limit = shared.settings.connections_max, "too many connections");
        return;
    }
    let (shared, stop, alive) = (Arc::clone(shared), stop.clone(), alive.clone());
    tokio::spawn(async move {
        serve(shared, arrival, stop).await;
        drop(alive);
    });
}
