//! RabbitMQ as the distribution packages it, with its default settings.
//!
//! Invariant: the node, its log, its cookie and the port mapper belong to the folder, and to nobody else's RabbitMQ.

use crate::bench::peer::{Peer, Protocol};
use crate::bench::server::{Companion, Server, command, free_address};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Below it Debian's package has one folder for the version.
const INSTALLED: &str = "/usr/lib/rabbitmq/lib";
const FOLDER_PREFIX: &str = "rabbitmq_server-";

/// RabbitMQ with queues of one type.
pub struct RabbitMq {
    scripts: PathBuf,
    version: String,
    queue_type: QueueType,
}

/// What is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueType {
    /// The default.
    Classic,
    /// Replicated by Raft, here with one member.
    Quorum,
}

impl RabbitMq {
    /// The installed package.
    pub fn find(queue_type: QueueType) -> anyhow::Result<Self> {
        let entries = std::fs::read_dir(INSTALLED).context("the package rabbitmq-server is not installed")?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(version) = name.strip_prefix(FOLDER_PREFIX) {
                return Ok(Self {
                    scripts: entry.path().join("sbin"),
                    version: format!("RabbitMQ {version}, {}", package()),
                    queue_type,
                });
            }
        }
        anyhow::bail!("{INSTALLED} holds no RabbitMQ")
    }
}

/// What the packages are called, as far as the package manager says it.
fn package() -> String {
    let shown = [
        "--show",
        "--showformat=${Package} ${Version}  ",
        "rabbitmq-server",
        "erlang-base",
    ];
    let said = crate::bench::machine::first_line(Command::new("dpkg-query").args(shown));
    said.map_or_else(
        |_| "not packaged by Debian".into(),
        |line| line.replace("  ", ", "),
    )
}

impl Peer for RabbitMq {
    fn name(&self) -> &'static str {
        match self.queue_type {
            QueueType::Classic => "rabbitmq-classic",
            QueueType::Quorum => "rabbitmq-quorum",
        }
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn confirm_means(&self) -> &'static str {
        match self.queue_type {
            QueueType::Classic => "written to the page cache, not synced",
            QueueType::Quorum => "written and synced to the write-ahead log, one sync for all that waits",
        }
    }

    fn remarks(&self) -> &'static str {
        match self.queue_type {
            QueueType::Classic => "Default settings, no plugins. Its confirms promise less than Logpond's.",
            QueueType::Quorum => {
                "Default settings, no plugins, one member. Transient messages are stored as persistent ones are."
            }
        }
    }

    fn start(&self, folder: &Path) -> anyhow::Result<Server> {
        let address = free_address()?;
        let mapper_port = free_address()?.port().to_string();
        let log = folder.join("log");
        let mut mapper = command("epmd");
        mapper.args(["-address", "127.0.0.1", "-port", &mapper_port]);
        let mapper = Companion::start(&mut mapper, &log)?;
        let plugins = folder.join("enabled_plugins");
        std::fs::write(&plugins, "[].\n")?;
        let mut command = command(self.scripts.join("rabbitmq-server"));
        command
            .env("HOME", folder)
            // The script then becomes the virtual machine instead of watching over it.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("ERL_EPMD_PORT", &mapper_port)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            // The mapper is its own, so the name need not be.
            .env("RABBITMQ_NODENAME", "bench@localhost")
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", address.port().to_string())
            .env("RABBITMQ_DIST_PORT", free_address()?.port().to_string())
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-kernel inet_dist_use_interface {127,0,0,1}",
            )
            .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", folder.join("logs"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", folder.join("advanced"))
            .env("RABBITMQ_CONF_ENV_FILE", folder.join("no-environment"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
            .env("RABBITMQ_PID_FILE", folder.join("pid"));
        Server::start(&mut command, vec![mapper], address, log)
    }

    fn protocol(&self) -> Protocol<'_> {
        Protocol::Amqp(match self.queue_type {
            QueueType::Classic => &[("x-queue-type", "classic")],
            QueueType::Quorum => &[("x-queue-type", "quorum")],
        })
    }
}
