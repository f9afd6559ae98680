//! The command line, defined once.

use clap::Parser;
use std::path::PathBuf;

/// Measures Logpond's store beside other embedded engines.
#[derive(Debug, Parser)]
#[command(name = "logpond-compare")]
pub struct Arguments {
    /// Where the engines keep their data: a folder is made in it, and removed at the end.
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// Rounds; the median of each measurement counts.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// How long an engine appends in one measurement, in milliseconds.
    #[arg(long, default_value_t = 300)]
    pub millis: u64,
    /// Exactly so many batches by each thread instead, for counting instructions.
    #[arg(long)]
    pub batches: Option<usize>,
    /// No more than so many bytes in one measurement: some engines keep all of it in memory.
    #[arg(long, default_value_t = 384 << 20)]
    pub bytes_max: usize,
    /// Only workloads whose name contains this.
    #[arg(long)]
    pub only: Vec<String>,
    /// Only these engines, by name.
    #[arg(long, value_delimiter = ',')]
    pub peers: Vec<String>,
    /// Writes the record here (Markdown), and its twin for programs beside it (`.json`).
    #[arg(long)]
    pub record: Option<PathBuf>,
    /// Prints the twin instead of the table.
    #[arg(long)]
    pub json: bool,
}
