//! The one binary: the broker, and tools that speak to any AMQP broker.
//!
//! Exit codes: 0 all went well, 1 failed, 2 wrong usage or configuration, 3 another process uses the data directory,
//! 4 the store failed while running; of the clients: 5 no connection or no login, 6 the broker closed or the connection
//! broke, 7 not every message was taken, 8 fewer messages than asked for.
#![forbid(unsafe_code)]

mod client;
mod consume;
mod exit;
mod field_json;
mod logging;
mod publish;
mod serve;

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
}

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Serve(arguments) => serve::run(arguments).map(|()| ExitCode::SUCCESS),
        Command::Publish(arguments) => publish::run(&arguments),
        Command::Consume(arguments) => consume::run(&arguments),
    };
    exit::code_of(outcome)
}
