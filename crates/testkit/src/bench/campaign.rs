//! The whole matrix: rounds of rows of sizes of peers.
//!
//! Invariants:
//! - All peers have had a row before any has the next, and all rows a round before the next: drift hits all.
//! - The record is written after every round, so that a run that is broken off is not lost.

use super::machine::{Machine, today};
use super::peer::Peer;
use super::peers::{self, Found, Places};
use super::record::{Cell, PeerLine, Record};
use super::turn::{self, Outcome, TurnOptions};
use super::workload::{SIZES, Workload};
use super::{disk_probe, echo_probe};
use crate::generator::Variety;
use crate::report::{Finding, Report};
use anyhow::ensure;
use std::path::PathBuf;
use std::time::Duration;

/// What to measure.
#[derive(Clone, Debug)]
pub struct CampaignOptions {
    /// How often everything is measured.
    pub rounds: u32,
    /// How long each turn is measured.
    pub length: Duration,
    /// Only rows with these ids, or whose ids begin with these words; all without.
    pub only: Vec<String>,
    /// Only these body sizes; all without.
    pub sizes: Vec<usize>,
    /// Only these peers; all without.
    pub peers: Vec<String>,
    /// How much messages differ.
    pub variety: Variety,
    /// Messages of the backlog.
    pub backlog: u64,
    /// Where brokers have their data while they run.
    pub work: PathBuf,
    /// Where the record goes.
    pub record: PathBuf,
    /// How this was called.
    pub command: String,
    /// Where peers are found.
    pub places: Places,
}

impl CampaignOptions {
    fn rows(&self) -> Vec<(Workload, usize)> {
        let is_asked = |workload: &Workload| {
            let id = workload.to_string();
            self.only.is_empty() || self.only.iter().any(|asked| is_named(&id, asked))
        };
        let is_size = |size: &usize| self.sizes.is_empty() || self.sizes.contains(size);
        Workload::all()
            .into_iter()
            .filter(is_asked)
            .flat_map(|workload| {
                let sizes = workload.sizes().iter().copied().filter(is_size);
                sizes.map(move |size| (workload, size))
            })
            .collect()
    }
}

/// By its whole id, or by the words that it begins with.
fn is_named(id: &str, asked: &str) -> bool {
    let rest = id.strip_prefix(asked);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Measures, and writes the record. A turn that failed is a finding that is not good.
pub fn run(options: &CampaignOptions) -> anyhow::Result<Report> {
    let rows = options.rows();
    ensure!(
        !rows.is_empty(),
        "no row has an id like that and such a size; rows: {}; sizes: {SIZES:?}",
        Workload::all()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    );
    ensure!(options.rounds > 0, "without a round nothing is measured");
    std::fs::create_dir_all(&options.work)?;
    let Found { there, missing } = peers::find(&options.peers, &options.places)?;
    for peer in &missing {
        eprintln!("{} cannot be measured: {}", peer.name, peer.why);
    }
    ensure!(!there.is_empty(), "there is nothing to measure");
    let mut record = Record {
        date: today(),
        command: options.command.clone(),
        seconds: options.length.as_secs_f64(),
        variety: options.variety,
        machine: Machine::of(&options.work),
        disk: Vec::new(),
        echo: Vec::new(),
        peers: there.iter().map(|peer| PeerLine::of(peer.as_ref())).collect(),
        missing,
        cells: cells(&rows, &there),
    };
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        record.disk.push(disk_probe::measure(&options.work)?);
        record.echo.push(echo_probe::measure(&options.work)?);
        let mut cells = record.cells.iter_mut();
        for &(workload, body_len) in &rows {
            for (peer, cell) in there.iter().zip(&mut cells) {
                take(peer.as_ref(), workload, body_len, options, cell);
            }
        }
        record.write(&options.record)?;
    }
    Ok(report(&record, options))
}

/// In the order in which turns are taken.
fn cells(rows: &[(Workload, usize)], peers: &[Box<dyn Peer>]) -> Vec<Cell> {
    rows.iter()
        .flat_map(|&(workload, body_len)| {
            peers
                .iter()
                .map(move |peer| Cell::new(workload, body_len, peer.name()))
        })
        .collect()
}

fn take(peer: &dyn Peer, workload: Workload, body_len: usize, options: &CampaignOptions, cell: &mut Cell) {
    if cell.not_comparable.is_some() {
        return;
    }
    let turn_options = TurnOptions {
        length: options.length,
        body_len,
        variety: options.variety,
        backlog: options.backlog,
    };
    let shown = format!("{workload} {body_len} B {}", peer.name());
    match turn::take(peer, workload, turn_options, &options.work) {
        Ok(Outcome::Measured(figures)) => {
            eprintln!("  {shown}: {}", super::record::one_line(&figures));
            cell.turns.push(figures);
        }
        Ok(Outcome::NotComparable(why)) => cell.not_comparable = Some(why),
        Err(error) => {
            eprintln!("  {shown}: FAILED: {error:#}");
            cell.failures.push(format!("{error:#}"));
        }
    }
}

fn report(record: &Record, options: &CampaignOptions) -> Report {
    let mut findings: Vec<Finding> = record
        .cells
        .iter()
        .filter(|cell| cell.not_comparable.is_none())
        .map(|cell| {
            let name = format!("{} {} B {}", cell.workload, cell.body_len, cell.peer);
            let detail = cell.failures.first().cloned();
            let detail = detail.unwrap_or_else(|| cell.medians().map_or_else(String::new, |m| m.line()));
            Finding::new(name, cell.failures.is_empty(), detail)
        })
        .collect();
    findings.extend(record.missing.iter().map(|peer| {
        // That somebody else's broker is not installed here is told, and is no failure of ours.
        Finding::new(peer.name, true, format!("not measured: {}", peer.why))
    }));
    let files = record.files(&options.record);
    Report::new(format!("record in {}", files[0].display()), findings)
}

#[cfg(test)]
mod tests {
    use super::is_named;

    #[test]
    fn a_row_is_named_by_its_id_or_its_first_words() {
        assert!(is_named("confirms-1", "confirms-1") && is_named("confirms-1", "confirms"));
        assert!(!is_named("confirms-10", "confirms-1"));
        assert!(!is_named("drain-cold", "cold"));
    }
}
