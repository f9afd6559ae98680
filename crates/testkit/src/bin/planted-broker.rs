//! A broker with a known bug, to prove that `blackbox powercut` would catch it: never the one that is released.
//!
//! It takes the arguments of `logpond serve` that tests use; the bug is the one that `LOGPOND_PLANTED` describes.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::{Parser, Subcommand};
use logpond_server::Server;
use logpond_server::config::{ConfigFile, Settings};
use logpond_store::planted::{Planted, plant};
use std::path::PathBuf;

#[derive(Parser)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the broker.
    Serve {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        listen: String,
        #[arg(long = "set")]
        settings: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    let Command::Serve {
        data,
        listen,
        settings,
    } = CommandLine::parse().command;
    let wanted = std::env::var("LOGPOND_PLANTED").context("LOGPOND_PLANTED does not describe a bug")?;
    let bug = Planted::ALL.into_iter().find(|bug| bug.describe() == wanted);
    plant(Some(bug.with_context(|| {
        format!("`{wanted}` is no bug that can be planted")
    })?));
    let mut file = ConfigFile::default();
    for setting in &settings {
        file.overlay(ConfigFile::parse_setting(setting)?);
    }
    file.overlay(ConfigFile {
        data: Some(data),
        listen: Some(vec![listen]),
        ..ConfigFile::default()
    });
    let settings = Settings::from_file(file, |_| None)?;
    tokio::runtime::Runtime::new()?.block_on(async {
        let server = Server::start(settings).await?;
        for address in server.addresses() {
            println!("listening on {address} (amqp)");
        }
        server.run(std::future::pending()).await?;
        Ok(())
    })
}
