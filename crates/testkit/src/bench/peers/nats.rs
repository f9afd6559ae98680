//! NATS JetStream, built through Go's module proxy, with every message synced before it is acknowledged.
//!
//! Invariant: server and client are built from the module in `benches/peers/nats`, whose sums pin every dependency.

use super::Places;
use crate::bench::machine::first_line;
use crate::bench::peer::{Peer, Protocol};
use crate::bench::server::{Server, command, free_address};
use crate::bench::tool::Tool;
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const SERVER: &str = "github.com/nats-io/nats-server/v2";

/// A stream in files.
pub struct Nats {
    server: PathBuf,
    version: String,
    tool: Tool,
}

impl Nats {
    /// Builds server and client, if Go is there.
    pub fn find(places: &Places) -> anyhow::Result<Self> {
        let module = places.sources.join("nats");
        let built = places.built.join("nats");
        std::fs::create_dir_all(&built)?;
        let (server, load) = (built.join("nats-server"), built.join("nats-load"));
        for (package, binary) in [(SERVER, &server), (".", &load)] {
            let mut go = Command::new("go");
            go.current_dir(&module)
                .args(["build", "-o"])
                .arg(binary)
                .arg(package);
            // Not read-only, so that removing the target folder works.
            go.env("GOFLAGS", "-modcacherw")
                .env("GOPATH", built.join("path"))
                .env("GOCACHE", built.join("cache"));
            let status = go.status().context("Go is not installed")?;
            ensure!(status.success(), "go build {package} ended with {status}");
        }
        let version = first_line(Command::new(&server).arg("--version"))?;
        let go = first_line(Command::new("go").arg("version"))?;
        Ok(Self {
            version: format!("{version}, built with {go}"),
            server,
            tool: Tool {
                command: vec![load.into()],
            },
        })
    }
}

impl Peer for Nats {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn confirm_means(&self) -> &'static str {
        "written and synced (`sync_interval: always`), about one sync for each message"
    }

    fn remarks(&self) -> &'static str {
        "JetStream, one stream in files, published with nats.go's asynchronous publish. A drain reads the stream through a pull \
         consumer that acknowledges all up to every hundredth message; what is acknowledged stays in the stream."
    }

    fn start(&self, folder: &Path) -> anyhow::Result<Server> {
        let address = free_address()?;
        let configuration = folder.join("nats.conf");
        let store = folder.join("store");
        std::fs::write(
            &configuration,
            format!(
                "listen: \"{address}\"\nserver_name: bench\njetstream {{\n  store_dir: {store:?}\n  sync_interval: always\n}}\n"
            ),
        )?;
        let mut command = command(&self.server);
        command.arg("--config").arg(configuration);
        Server::start(&mut command, Vec::new(), address, folder.join("log"))
    }

    fn protocol(&self) -> Protocol<'_> {
        Protocol::Tool(&self.tool)
    }
}
