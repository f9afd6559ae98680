//! The one binary: the broker, tools that speak to any AMQP broker, and tools that look at a data directory.
//!
//! Exit codes: 0 all went well, 1 failed, 2 wrong usage or configuration, 3 another process uses the data directory,
//! 4 the store failed while running; of the clients: 5 no connection or no login, 6 the broker closed or the connection
//! broke, 7 not every message was taken, 8 fewer messages than asked for; of the tools that look at a data directory: 7 damage.
#![forbid(unsafe_code)]

mod client;
mod consume;
mod exit;
mod field_json;
mod inspect;
mod logging;
mod offline;
mod publish;
mod repair;
mod results;
mod serve;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Said below the help.
const EXIT_CODES: &str = "Exit codes: 0 all went well, 1 failed, 2 wrong usage or configuration, \
    3 another process uses the data directory, 4 the store failed while running";

/// A message broker on a durable, log-structured queue store.
#[derive(Debug, Parser)]
#[command(name = "logpond", version, about, max_term_width = 100, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker.
    Serve(serve::Arguments),
    Publish(Box<publish::PublishArgs>),
    Consume(consume::ConsumeArgs),
    Inspect(inspect::InspectArgs),
    Verify(verify::VerifyArgs),
    Repair(repair::RepairArgs),
}

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Serve(arguments) => serve::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Publish(arguments) => publish::run(&arguments),
        Command::Consume(arguments) => consume::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Repair(arguments) => repair::run(&arguments),
    };
    exit::code_of(outcome)
}
