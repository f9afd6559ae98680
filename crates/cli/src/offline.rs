//! What the tools that look at a data directory share: where it is, how results are told, progress.
//!
//! Invariants:
//! - Results go to stdout, progress and errors to stderr, and progress only to a terminal.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use indicatif::{ProgressBar, ProgressStyle};
use logpond_store::disk::RealDisk;
use logpond_store::inspect::{Progress, Stage};
use serde::Serialize;

use crate::results::Results;

/// Which directory, and how the result is told.
#[derive(Debug, Args)]
pub struct Place {
    /// The data directory.
    #[arg(long, default_value = "./logpond-data", value_name = "DIR", global = true)]
    pub data: PathBuf,
    /// How the result is told.
    #[arg(long, default_value = "text", value_name = "HOW", global = true)]
    pub output: Output,
}

/// How a result is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON document, for programs.
    Json,
}

impl Place {
    /// The directory, only to be looked at.
    pub fn disk(&self) -> anyhow::Result<RealDisk> {
        look_at(&self.data)
    }
}

fn look_at(data: &Path) -> anyhow::Result<RealDisk> {
    RealDisk::open_read_only(data)
        .with_context(|| format!("cannot read the data directory {}", data.display()))
}

/// Prints a value as one JSON document.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    writeln!(Results, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// Prints rows below a line of titles; nothing but the titles when there are none.
pub fn print_table<const N: usize>(
    titles: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(titles);
    for row in rows {
        table.add_row(row);
    }
    writeln!(Results, "{}", table.trim_fmt())
}

/// A bar on stderr, if that is a terminal.
pub struct Bar(Option<(Stage, ProgressBar)>);

impl Bar {
    /// None yet: it appears with the first progress.
    pub const fn new() -> Self {
        Self(None)
    }
}

impl Progress for Bar {
    fn reached(&mut self, stage: Stage, done: u64, total: u64) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        if self.0.as_ref().is_none_or(|(shown, _)| *shown != stage) {
            let bar = ProgressBar::new(total);
            let template = match stage {
                Stage::Journal => "journal {wide_bar} {bytes}/{total_bytes} {eta}",
                Stage::Index => "index   {wide_bar} {pos}/{len} pages {eta}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            self.0 = Some((stage, bar));
        }
        if let Some((_, bar)) = &self.0 {
            bar.set_position(done);
            if done >= total {
                bar.finish_and_clear();
            }
        }
    }
}
