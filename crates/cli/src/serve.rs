//! `logpond serve`: the broker in this process, until a signal.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::Context;
use clap::Args;
use logpond_server::Server;
use logpond_server::config::{ConfigFile, Settings};
use logpond_server::open_files;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Worker threads at least: one may be waiting for the disk while others serve.
const WORKERS_MIN: usize = 2;
/// Threads that stand in for a worker which waits for the disk. Each costs a stack and a heap, so they are few.
const BLOCKING_MAX: usize = 8;

/// Said below the help.
const SIGNALS: &str = "SIGTERM and SIGINT stop the broker with exit code 0, also while it starts; SIGHUP loads certificates again.

Exit codes: 0 stopped, 1 failed, 2 wrong usage or configuration, 3 another process uses the data directory, 4 the store failed \
while running";

/// Flags of `logpond serve`. They win over `--set`, which wins over the file.
#[derive(Debug, Args)]
#[command(after_help = SIGNALS)]
pub struct Arguments {
    /// The data directory [default: ./logpond-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        help = "Where to listen; may be given several times [default: 127.0.0.1:5672 and [::1]:5672]"
    )]
    listen: Vec<String>,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Users, vhosts, permissions, exchanges, queues and bindings to load, as RabbitMQ exports them.
    #[arg(long, value_name = "FILE")]
    definitions: Option<PathBuf>,
    /// One setting of the configuration file, for example store.segment_bytes=1048576.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl Arguments {
    fn into_settings(self) -> anyhow::Result<Settings> {
        let mut file = match &self.config {
            Some(path) => ConfigFile::read(path)?,
            None => ConfigFile::default(),
        };
        for setting in &self.settings {
            file.overlay(ConfigFile::parse_setting(setting)?);
        }
        file.overlay(ConfigFile {
            data: self.data,
            listen: (!self.listen.is_empty()).then_some(self.listen),
            definitions: self.definitions,
            ..ConfigFile::default()
        });
        Ok(Settings::from_file(file, variable)?)
    }
}

/// A variable that says something. Compose files make an empty one of what is not set.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Runs the broker until SIGTERM or SIGINT, or until its store fails. A start that is interrupted leaves what a crash would leave, and
/// that is no failure.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut settings = arguments.into_settings()?;
    crate::logging::start(&settings)?;
    open_files::make_room(&mut settings);
    let workers =
        std::thread::available_parallelism().map_or(WORKERS_MIN, |count| count.get().max(WORKERS_MIN));
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(BLOCKING_MAX)
        .thread_name("logpond-worker")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(serve(settings));
    // A worker that hangs in a dead disk must not keep the process alive.
    runtime.shutdown_background();
    outcome
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    outlive_hangup()?;
    let mut stop = pin!(stop_signal()?);
    let data = settings.data.clone();
    // A task of its own: a start waits for the disk, and who waits in this one would not hear of a signal meanwhile.
    let mut start = tokio::spawn(Server::start(settings));
    let started = tokio::select! {
        biased;
        started = &mut start => started,
        () = &mut stop => {
            tracing::info!("stopped before it listened: the next start recovers what this one was to recover");
            return Ok(());
        }
    };
    let server = started.context("the start panicked")??;
    // What nobody can be told is no reason to stop.
    let _ = announce(&server, &data);
    server.run(stop).await?;
    Ok(())
}

/// The lines that people read and tests parse: one `listening on` for each address.
fn announce(server: &Server, data: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_path_buf());
    writeln!(
        out,
        "logpond {} (AMQP 0-9-1 as RabbitMQ {})",
        env!("CARGO_PKG_VERSION"),
        logpond_server::RABBITMQ_VERSION
    )?;
    writeln!(out, "data in {}", data.display())?;
    for address in server.addresses() {
        writeln!(out, "listening on {address} (amqp)")?;
    }
    for address in server.tls_addresses() {
        writeln!(out, "listening on {address} (amqps)")?;
    }
    Ok(())
}

/// Takes SIGHUP, which would end the process, from here to its end. Whoever loads something again listens by itself.
fn outlive_hangup() -> anyhow::Result<()> {
    // The system's own answer does not come back when nobody listens any more.
    drop(signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?);
    Ok(())
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM"),
            _ = interrupt.recv() => tracing::info!("SIGINT"),
        }
    })
}
