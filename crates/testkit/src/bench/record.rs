//! The record of a run: JSON with every turn, and a table of medians for people.
//!
//! Invariant: the record names no place on the machine, so that it can be committed.

mod markdown;

use super::disk_probe::DiskFigures;
use super::echo_probe::EchoFigures;
use super::figures::{Figures, median};
use super::machine::Machine;
use super::peer::{Missing, Peer};
use super::workload::Workload;
use crate::generator::Variety;
use serde::{Serialize, Serializer};
use std::path::{Path, PathBuf};

/// Everything that a run saw.
#[derive(Debug, Serialize)]
pub struct Record {
    /// The day, in UTC.
    pub date: String,
    /// How it was called.
    pub command: String,
    /// Length of a turn.
    pub seconds: f64,
    /// How much messages differed.
    #[serde(serialize_with = "as_word")]
    pub variety: Variety,
    /// Where.
    pub machine: Machine,
    /// The disk, once in each round.
    pub disk: Vec<DiskFigures>,
    /// The least that a confirmed message takes, once in each round.
    pub echo: Vec<EchoFigures>,
    /// Who was measured.
    pub peers: Vec<PeerLine>,
    /// Who was not.
    pub missing: Vec<Missing>,
    /// What was measured.
    pub cells: Vec<Cell>,
}

/// A peer in the record.
#[derive(Debug, Serialize)]
pub struct PeerLine {
    name: &'static str,
    version: String,
    confirm_means: &'static str,
    remarks: &'static str,
}

impl PeerLine {
    /// What a peer says of itself.
    pub fn of(peer: &dyn Peer) -> Self {
        Self {
            name: peer.name(),
            version: peer.version().to_owned(),
            confirm_means: peer.confirm_means(),
            remarks: peer.remarks(),
        }
    }
}

/// A row at one body size with one peer.
#[derive(Debug, Serialize)]
pub struct Cell {
    /// The row.
    #[serde(serialize_with = "as_text")]
    pub workload: Workload,
    /// The body size.
    pub body_len: usize,
    /// The peer.
    pub peer: &'static str,
    /// One for each round that went well.
    pub turns: Vec<Figures>,
    /// Why the others did not.
    pub failures: Vec<String>,
    /// Why there is nothing to compare.
    pub not_comparable: Option<&'static str>,
}

/// The medians of a cell, each figure by itself.
#[derive(Clone, Debug, Default)]
pub struct Medians {
    /// Messages per second.
    pub per_second: u64,
    /// Bytes of bodies per second.
    pub bytes_per_second: u64,
    /// Messages per second of the broker's CPU time.
    pub per_cpu_second: Option<u64>,
    /// Most memory.
    pub peak_resident_kb: u64,
    /// Name, p50 and p99 of each latency.
    pub latencies: Vec<(&'static str, u64, u64)>,
    /// Name and value of what else there is to say.
    pub facts: Vec<(&'static str, u64)>,
    /// Turns in which others took more than a tenth of a core.
    pub disturbed: usize,
    /// Turns.
    pub turns: usize,
}

impl Cell {
    /// One in which nothing has been measured yet.
    pub fn new(workload: Workload, body_len: usize, peer: &'static str) -> Self {
        Self {
            workload,
            body_len,
            peer,
            turns: Vec::new(),
            failures: Vec::new(),
            not_comparable: None,
        }
    }

    /// Nothing if no turn went well.
    pub fn medians(&self) -> Option<Medians> {
        let of =
            |figure: &dyn Fn(&Figures) -> Option<u64>| median(self.turns.iter().filter_map(figure).collect());
        let first = self.turns.first()?;
        let latency = |name: &&'static str| {
            let p50 = of(&|turn| Some(turn.latencies.get(*name)?.p50_ns))?;
            let p99 = of(&|turn| Some(turn.latencies.get(*name)?.p99_ns))?;
            Some((*name, p50, p99))
        };
        let fact = |name: &&'static str| Some((*name, of(&|turn| turn.facts.get(*name).copied())?));
        Some(Medians {
            per_second: of(&|turn| Some(turn.per_second()))?,
            bytes_per_second: of(&|turn| Some(turn.bytes_per_second()))?,
            per_cpu_second: of(&|turn| turn.per_cpu_second()),
            peak_resident_kb: of(&|turn| Some(turn.peak_resident_kb))?,
            latencies: first.latencies.keys().filter_map(latency).collect(),
            facts: first.facts.keys().filter_map(fact).collect(),
            disturbed: self.turns.iter().filter(|turn| turn.is_disturbed()).count(),
            turns: self.turns.len(),
        })
    }
}

impl Medians {
    /// For a table of findings.
    pub fn line(&self) -> String {
        markdown::medians_line(self)
    }
}

/// One turn, for those who wait.
pub fn one_line(figures: &Figures) -> String {
    let mut cell = Cell::new(Workload::Both, 0, "");
    cell.turns.push(figures.clone());
    cell.medians().map_or_else(String::new, |medians| medians.line())
}

impl Record {
    /// The two files of the record in a folder: for people, for programs.
    pub fn files(&self, folder: &Path) -> [PathBuf; 2] {
        ["md", "json"].map(|extension| folder.join(&self.date).with_extension(extension))
    }

    /// Writes both.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder)?;
        let [people, programs] = self.files(folder);
        std::fs::write(people, markdown::document(self))?;
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        std::fs::write(programs, json)?;
        Ok(())
    }
}

fn as_text<S: Serializer>(workload: &Workload, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(workload)
}

fn as_word<S: Serializer>(variety: &Variety, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(markdown::variety(*variety))
}

#[cfg(test)]
mod tests;
