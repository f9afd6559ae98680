//! Logpond itself, as it was built.

use crate::bench::machine::first_line;
use crate::bench::peer::{Peer, Protocol};
use crate::bench::server::{Server, command, free_address};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The broker of this repository.
pub struct Logpond {
    binary: PathBuf,
    version: String,
}

impl Logpond {
    /// A binary, with the commit of the tree that is measured from.
    pub fn find(binary: &Path) -> anyhow::Result<Self> {
        let version = first_line(Command::new(binary).arg("--version"))?;
        let mut git = Command::new("git");
        let commit = first_line(git.args(["describe", "--always", "--dirty", "--abbrev=12"]));
        let commit = commit.unwrap_or_else(|_| "an unknown commit".into());
        Ok(Self {
            binary: binary.to_owned(),
            version: format!("{version}, {commit}, release build"),
        })
    }
}

impl Peer for Logpond {
    fn name(&self) -> &'static str {
        "logpond"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn confirm_means(&self) -> &'static str {
        "written and synced (O_DIRECT and RWF_DSYNC), one sync for all that waits"
    }

    fn remarks(&self) -> &'static str {
        "Default settings. Transient messages are kept in memory, and in files that no start reads when there are many."
    }

    fn start(&self, folder: &Path) -> anyhow::Result<Server> {
        let address = free_address()?;
        let mut command = command(&self.binary);
        command.arg("serve").arg("--data").arg(folder.join("data"));
        command.args(["--listen", &address.to_string()]);
        Server::start(&mut command, Vec::new(), address, folder.join("log"))
    }

    fn protocol(&self) -> Protocol<'_> {
        Protocol::Amqp(&[])
    }
}
