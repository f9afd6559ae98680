//! A server in a directory of its own.

use std::net::SocketAddr;

use logpond_server::config::{ConfigFile, Settings};
use logpond_server::{RunError, Server};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server; it ends with the test's runtime.
pub struct Served {
    pub address: SocketAddr,
    /// Where it listens for encrypted connections.
    pub tls_addresses: Vec<SocketAddr>,
    pub directory: TempDir,
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<(), RunError>>,
}

/// Settings for a server on a free port.
pub fn settings(directory: &TempDir, more: &str) -> Settings {
    let text = format!(
        "data = {:?}\nlisten = ['127.0.0.1:0']\n{more}\n",
        directory.path().join("data")
    );
    let text = format!("{text}\n[store]\nsegment_bytes = 8388608\n");
    Settings::from_file(ConfigFile::parse("test", &text).unwrap(), |_| None).unwrap()
}

impl Served {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// `more` is configuration.
    pub async fn start_with(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(settings(&directory, more)).await.unwrap();
        let address = server.addresses()[0];
        let tls_addresses = server.tls_addresses().to_vec();
        let (stop, stopped) = oneshot::channel();
        let run = tokio::spawn(server.run(async {
            // A test that ends drops the sender, and with it the server.
            let _ = stopped.await;
        }));
        Self {
            address,
            tls_addresses,
            directory,
            stop,
            run,
        }
    }

    /// Ends the server cleanly.
    pub async fn stop(self) -> (TempDir, Result<(), RunError>) {
        self.stop.send(()).unwrap();
        (self.directory, self.run.await.unwrap())
    }
}
