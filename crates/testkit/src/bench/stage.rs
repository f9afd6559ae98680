//! Where a turn takes place: one peer, started fresh, on a folder that is removed afterwards.

use super::peer::Peer;
use super::server::Server;
use crate::footprint::drop_page_cache;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A peer at work. Dropping it kills the peer and removes its data.
pub struct Stage<'p> {
    peer: &'p dyn Peer,
    folder: PathBuf,
    server: Option<Server>,
}

/// How a peer comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM.
    Stopped,
    /// SIGKILL.
    Killed,
}

/// A restart that was made.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    /// How long the end took.
    pub ended_in: Duration,
    /// Whether the kernel forgot what it cached, which needs root.
    pub cache_dropped: bool,
    /// When it was executed again.
    pub executed: Instant,
}

impl<'p> Stage<'p> {
    /// Starts a peer on an empty folder below `work`.
    pub fn set(peer: &'p dyn Peer, work: &Path) -> anyhow::Result<Self> {
        let folder = work.join(peer.name());
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let mut stage = Self {
            peer,
            folder,
            server: None,
        };
        stage.start()?;
        Ok(stage)
    }

    fn start(&mut self) -> anyhow::Result<()> {
        self.server = Some(
            self.peer
                .start(&self.folder)
                .with_context(|| format!("{} does not start", self.peer.name()))?,
        );
        Ok(())
    }

    /// Its process.
    pub fn server(&self) -> anyhow::Result<&Server> {
        self.server.as_ref().context("the broker is not running")
    }

    /// Bytes of all its files.
    pub fn disk_bytes(&self) -> anyhow::Result<u64> {
        crate::footprint::disk_bytes(&self.folder)
    }

    /// Ends it, drops the page cache if that is allowed, and starts it again.
    pub fn restart(&mut self, ending: Ending) -> anyhow::Result<Restart> {
        let asked = Instant::now();
        let server = self.server.take().context("the broker is not running")?;
        match ending {
            Ending::Stopped => server.stop()?,
            Ending::Killed => server.kill(),
        }
        let ended_in = asked.elapsed();
        let cache_dropped = drop_page_cache().is_ok();
        self.start()?;
        Ok(Restart {
            ended_in,
            cache_dropped,
            executed: self.server()?.executed(),
        })
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        drop(self.server.take());
        // The next turn starts on an empty folder anyway.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
