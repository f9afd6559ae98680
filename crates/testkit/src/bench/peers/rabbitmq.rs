//! RabbitMQ as Debian packages it, with its default settings: as it is installed, or else unpacked in a folder of ours.
//!
//! Invariant: the node, its log, its cookie and the port mapper belong to the folder, and to nobody else's RabbitMQ.

use super::Places;
use crate::bench::peer::{Peer, Protocol};
use crate::bench::server::{Companion, Server, command, free_address};
use crate::debian;
use anyhow::Context;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "rabbitmq-server";
/// The package of the virtual machine.
const ERLANG: &str = "erlang-base";
/// Below it Debian's package has one folder for the version.
const LIBRARY: &str = "usr/lib/rabbitmq/lib";
const FOLDER_PREFIX: &str = "rabbitmq_server-";

/// RabbitMQ with queues of one type.
pub struct RabbitMq {
    scripts: PathBuf,
    /// The virtual machine, if it is not installed.
    erlang: Option<Erlang>,
    version: String,
    queue_type: QueueType,
}

/// A virtual machine in a folder of ours.
struct Erlang {
    root: PathBuf,
    /// Its programs of this release.
    programs: PathBuf,
    /// Where `erl` is found. The script of that name knows only where it was to be installed.
    starter: PathBuf,
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
    /// The installed package, or else one that is downloaded.
    pub fn find(places: &Places, queue_type: QueueType) -> anyhow::Result<Self> {
        let installed = Path::new("/").join(LIBRARY);
        if installed.is_dir() {
            let (scripts, version) = release(&installed)?;
            let version = format!("RabbitMQ {version}, {}", installed_packages());
            return Ok(Self {
                scripts,
                erlang: None,
                version,
                queue_type,
            });
        }
        let unpacked = debian::unpacked(&places.built.join("rabbitmq"), || debian::missing_for(PACKAGE))?;
        let (scripts, version) = release(&unpacked.root().join(LIBRARY))?;
        let package = unpacked.version(PACKAGE)?;
        // It may be installed without the other.
        let (erlang, erlang_package) = match unpacked.version(ERLANG) {
            Ok(version) => (Some(Erlang::below(&unpacked.root())?), version),
            Err(_) => (None, "as installed".to_owned()),
        };
        Ok(Self {
            scripts,
            erlang,
            version: format!("RabbitMQ {version}, {PACKAGE} {package}, {ERLANG} {erlang_package}"),
            queue_type,
        })
    }

    /// A program of the virtual machine, or one that starts some.
    fn command(&self, program: impl AsRef<OsStr>) -> anyhow::Result<Command> {
        let mut command = command(program);
        if let Some(erlang) = &self.erlang {
            let others = std::env::var_os("PATH").unwrap_or_default();
            let own = [erlang.starter.clone(), erlang.programs.clone()];
            let folders = own.into_iter().chain(std::env::split_paths(&others));
            command
                .env("PATH", std::env::join_paths(folders)?)
                .env("ROOTDIR", &erlang.root)
                .env("BINDIR", &erlang.programs)
                .env("EMU", "beam")
                .env("PROGNAME", "erl");
        }
        Ok(command)
    }
}

impl Erlang {
    /// The one that was unpacked below a folder.
    fn below(root: &Path) -> anyhow::Result<Self> {
        let erlang = root.join("usr/lib/erlang");
        let (release, _) = find(&erlang, "erts-")?;
        let (programs, starter) = (release.join("bin"), root.join("starter"));
        std::fs::create_dir_all(&starter)?;
        let link = starter.join("erl");
        if !link.exists() {
            std::os::unix::fs::symlink(programs.join("erlexec"), link)?;
        }
        Ok(Self {
            root: erlang,
            programs,
            starter,
        })
    }
}

/// The scripts of the one release in a folder, and its version.
fn release(library: &Path) -> anyhow::Result<(PathBuf, String)> {
    let (folder, version) = find(library, FOLDER_PREFIX)?;
    Ok((folder.join("sbin"), version))
}

/// The first entry of a folder whose name begins like that, and how it goes on.
fn find(folder: &Path, prefix: &str) -> anyhow::Result<(PathBuf, String)> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(rest) = name.strip_prefix(prefix) {
            return Ok((entry.path(), rest.to_owned()));
        }
    }
    anyhow::bail!("{} holds no {prefix}…", folder.display())
}

/// What the installed packages are called, as far as the package manager says it.
fn installed_packages() -> String {
    let shown = ["--show", "--showformat=${Package} ${Version}  ", PACKAGE, ERLANG];
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
        let mut mapper = self.command("epmd")?;
        mapper.args(["-address", "127.0.0.1", "-port", &mapper_port]);
        let mapper = Companion::start(&mut mapper, &log)?;
        let plugins = folder.join("enabled_plugins");
        std::fs::write(&plugins, "[].\n")?;
        let mut command = self.command(self.scripts.join("rabbitmq-server"))?;
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
