//! Logpond's store beside other embedded engines: the same work, in one run, in several interleaved rounds.
//!
//! Invariants:
//! - Every engine does every workload on the same file system, round after round in a rotated order; what is told is the median.
//! - The clock of a measurement stops when everything is durable, also where no batch was synced by itself.
//! - What is fetched warm is in the memory that each engine keeps it in; before it is fetched cold each engine was closed, and no page
//!   of its files is in memory.
//! - What an engine cannot do, or does with less than the others promise, stands in the record.
#![forbid(unsafe_code)]

mod command_line;
mod device;
mod machine;
mod measure;
mod outside;
mod page_cache;
mod peer;
mod peers;
mod record;
mod run;
mod workload;

use clap::Parser;

fn main() -> anyhow::Result<()> {
    let arguments = command_line::Arguments::parse();
    let record = run::run(&arguments)?;
    record.keep(&arguments)
}
