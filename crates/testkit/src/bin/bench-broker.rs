//! Measures Logpond and its peers: `cargo xtask bench-broker` runs this tool.
//!
//! Invariant: progress goes to stderr, the result to stdout. Exit code 0: everything was measured; 1: a turn failed; 2: nothing
//! could be measured.
#![forbid(unsafe_code)]

use clap::Parser;
use logpond_testkit::bench::{self, CampaignOptions, Places};
use logpond_testkit::generator::Variety;
use logpond_testkit::report::{Output, Report};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measures Logpond and its peers.
#[derive(Parser)]
struct Arguments {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long each turn is measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Only these rows, by their ids or the words that they begin with: confirms-1, drain.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these body sizes, in bytes.
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<usize>,
    /// Only these peers.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// How much messages differ from each other.
    #[arg(long, value_enum, default_value_t = Variety::Varied)]
    variety: Variety,
    /// Messages of the backlog row.
    #[arg(long, default_value_t = 10_000_000)]
    backlog: u64,
    /// Where the record goes.
    #[arg(long, default_value = "benches/record")]
    record: PathBuf,
    /// How peers are fetched and built, and their clients.
    #[arg(long, default_value = "benches/peers")]
    sources: PathBuf,
    /// Folder for the brokers' data, and for peers that are built.
    #[arg(long, env = "LOGPOND_WORK", default_value = "target")]
    work: PathBuf,
    /// The broker.
    #[arg(long, env = "LOGPOND_BIN")]
    broker: PathBuf,
    /// How the result is written.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(report) => report.close(arguments.output),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<Report> {
    allow_many_connections()?;
    let work = std::path::absolute(&arguments.work)?.join("bench-broker");
    bench::run(&CampaignOptions {
        rounds: arguments.rounds,
        length: Duration::try_from_secs_f64(arguments.seconds)?,
        only: arguments.only.clone(),
        sizes: arguments.sizes.clone(),
        peers: arguments.peers.clone(),
        variety: arguments.variety,
        backlog: arguments.backlog,
        record: arguments.record.clone(),
        command: command(arguments),
        places: Places {
            logpond: std::path::absolute(&arguments.broker)?,
            sources: std::path::absolute(&arguments.sources)?,
            built: work.join("built"),
        },
        work,
    })
}

/// As somebody else can call it: what says where things are on this machine is left out.
fn command(arguments: &Arguments) -> String {
    let (rounds, seconds) = (arguments.rounds, arguments.seconds);
    let mut command = format!("cargo xtask bench-broker --rounds {rounds} --seconds {seconds}");
    let mut add = |flag: &str, values: String| {
        if !values.is_empty() {
            command.push_str(&format!(" {flag} {values}"));
        }
    };
    add("--only", arguments.only.join(","));
    add("--peers", arguments.peers.join(","));
    let sizes: Vec<_> = arguments.sizes.iter().map(ToString::to_string).collect();
    add("-- --backlog", arguments.backlog.to_string());
    add("--sizes", sizes.join(","));
    if arguments.variety == Variety::Same {
        add("--variety", "same".into());
    }
    command
}

/// As many open files as this user may have, for brokers that are started from here, too.
fn allow_many_connections() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

#[cfg(test)]
mod tests {
    use super::{Arguments, command};
    use clap::Parser;

    #[test]
    fn the_command_in_the_record_names_what_was_chosen_and_no_place() {
        let given = "bench-broker --rounds 2 --work /x --record=/y --broker /z --only idle,both --sizes 16 --variety same";
        let arguments = Arguments::try_parse_from(given.split(' ')).unwrap();
        assert_eq!(
            command(&arguments),
            "cargo xtask bench-broker --rounds 2 --seconds 5 --only idle,both -- --backlog 10000000 --sizes 16 --variety same"
        );
    }
}
