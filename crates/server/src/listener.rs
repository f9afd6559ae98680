//! Listening sockets.
//!
//! Invariants:
//! - A connection above the limit is closed at once; a failing `accept` never ends the listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::config::{Listen, Need};
use crate::connection::{Arrival, serve};
use crate::peer::PeerAddress;
use crate::server::Shared;
use crate::stop::{Phase, Stop};
use crate::tls::Certificates;

/// Pause after an `accept` that failed for want of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Opens all addresses; one that is optional and missing is noted.
pub(crate) async fn bind(addresses: &[Listen]) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for Listen { address, need } in addresses {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            Err(error) if *need == Need::Optional && !listeners.is_empty() => {
                tracing::info!(%address, %error, "not listening there");
            }
            Err(source) => {
                return Err(ListenError {
                    address: *address,
                    source,
                });
            }
        }
    }
    Ok(listeners)
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
