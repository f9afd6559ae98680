//! The command line of `cargo xtask`, defined once: help and parsing come from here.
//!
//! Elsewhere: what each command does (`plan`).

use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Checks, tests, code generation and measurements of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How the results are written to stdout.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Test this broker binary instead of building one.
    #[arg(long, global = true, env = "LOGPOND_BIN", value_name = "FILE")]
    pub broker: Option<PathBuf>,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What `cargo xtask` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Format, lints, documentation, generated code, rules of the repository, all Rust tests.
    Check,
    /// Everything: check, interop, a short crash loop, a minute of simulation.
    Test {
        /// Kills of the crash loop.
        #[arg(long, default_value_t = 6)]
        kills: u32,
        /// Length of the simulation.
        #[arg(long, default_value_t = 60)]
        sim_seconds: u64,
    },
    /// Programs with published AMQP clients (Python, Go, JavaScript, Rust) against the broker.
    Interop {
        /// Test against this broker instead of one of our own, for example `amqp://guest:guest@localhost:5672/`.
        #[arg(long)]
        url: Option<String>,
        /// Run only the programs whose name contains this.
        #[arg(long)]
        only: Option<String>,
    },
    /// Test suites of published clients, unmodified, each against a broker of its own; see `docs/compatibility.md`.
    Conformance {
        /// Only these suites: amqp-tools, celery, py-amqp, kombu, lapin, amqp091-go.
        #[arg(long, value_delimiter = ',', value_name = "SUITE")]
        only: Vec<String>,
    },
    /// Kill the broker with SIGKILL under load, again and again; nothing confirmed may be missing.
    Crash {
        /// How many kills.
        #[arg(long, default_value_t = 200)]
        kills: u32,
        /// What the run is made from; printed when not given.
        #[arg(long)]
        seed: Option<u64>,
        /// Further arguments for the crash tool.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// The store on a simulated disk that loses, tears and reorders unsynced writes.
    Sim {
        /// How long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// How long, in hours: overnight. Says once a minute how far it is, and keeps violating seeds in
        /// `target/sim-violations.txt`; Ctrl-C ends it with the report so far.
        #[arg(long, conflicts_with_all = ["seconds", "planted", "exhaustive"])]
        hours: Option<u64>,
        /// Plant one known bug after the other instead, and see each found.
        #[arg(long)]
        planted: bool,
        /// Crash every workload of three operations at every call in every manner instead; takes some hours.
        #[arg(long, conflicts_with = "planted")]
        exhaustive: bool,
        /// Further arguments for the simulation.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Flip every live byte of a store, one at a time: nothing panics, nothing intact is lost, everything is reported.
    Flips {
        /// Every so many-th live byte; 1 for all, which takes about an hour.
        #[arg(long, default_value_t = 1)]
        step: u64,
        /// Further arguments for the tool.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Send whatever bytes libFuzzer finds through the codec and through conversations with a broker; nothing may panic.
    Fuzz {
        /// How long each target looks.
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Only targets whose name contains this: frame, method, table, header, session.
        #[arg(long, value_name = "TARGET")]
        only: Option<String>,
    },
    /// Watch the broker's system calls: each confirm must be preceded by its completed synced write.
    StraceOrder {
        /// Further arguments for the tool.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Let one system call of the broker fail in each run: the k-th write or sync, in every write mode.
    Faults {
        /// The last call that fails, counted from 1.
        #[arg(long, default_value_t = 200)]
        nth_max: u32,
        /// Further arguments for the tool.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Cut the power of a virtual machine under load, and recover everything that its disk could hold then; half an hour.
    Powercut {
        /// Runs whose disk is recorded.
        #[arg(long, default_value_t = 10)]
        runs: u32,
        /// Images made of all their records together.
        #[arg(long, default_value_t = 1000)]
        images: u32,
        /// Machines that are killed and whose disk is recovered as it is.
        #[arg(long, default_value_t = 20)]
        kills: u32,
        /// What everything is made from; printed when not given.
        #[arg(long)]
        seed: Option<u64>,
        /// Further arguments for the tool.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Fill a queue, restart the broker (killed, stopped, without its index), measure start and memory, drain and check.
    Backlog {
        /// Messages in the queue.
        #[arg(long, default_value_t = 10_000_000)]
        messages: u64,
        /// Further arguments for the tool.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Measure the broker and its peers, row by row in interleaved rounds, and write `benches/record/<date>.md`. See
    /// `docs/performance.md`; `-- --help` names what else can be chosen.
    BenchBroker {
        /// How often everything is measured.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// How long each turn is measured.
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Only these rows, by their ids or the words that they begin with: confirms-1, drain.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Only these peers: logpond, rabbitmq-classic, rabbitmq-quorum, nats, kafka.
        #[arg(long, value_delimiter = ',')]
        peers: Vec<String>,
        /// Further arguments for the tool.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// The store beside other embedded engines, in one run; takes some twenty minutes and a quiet machine.
    BenchStore {
        /// Further arguments for the comparison, for example `--record benches/record/2026-11-21-store.md`.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Generate code from the tables of the specification.
    Codegen {
        /// Only say whether the checked-in code is up to date.
        #[arg(long)]
        check: bool,
    },
}
