//! What is kept of a run: a table for people, its twin for programs.

use crate::command_line::Arguments;
use crate::machine::{self, Machine};
use crate::peer::Description;
use crate::workload::Workload;
use serde::Serialize;
use std::fmt::Write;

/// A run.
#[derive(Debug, Serialize)]
pub struct Record {
    pub machine: Machine,
    pub rounds: usize,
    pub millis: u64,
    pub bytes_max: usize,
    pub peers: Vec<Contender>,
    pub lines: Vec<Line>,
}

/// An engine of the run.
#[derive(Clone, Debug, Serialize)]
pub struct Contender {
    #[serde(flatten)]
    description: Description,
    version: String,
}

impl Contender {
    /// With the version that it was built with.
    pub fn describe(description: &Description) -> Self {
        Self {
            description: *description,
            version: machine::version(description.package),
        }
    }
}

/// A workload and what each engine reached.
#[derive(Debug, Serialize)]
pub struct Line {
    pub workload: Workload,
    peers: Vec<&'static str>,
    /// Messages per second of each engine, round by round.
    pub rates: Vec<Vec<f64>>,
    /// The device's synced sequential writes, or its reads where messages are fetched cold, round by round.
    pub device_bytes_per_second: Vec<f64>,
}

impl Line {
    /// Without measurements.
    pub fn of(workload: Workload, peers: impl Iterator<Item = &'static str>) -> Self {
        let peers: Vec<_> = peers.collect();
        Self {
            workload,
            rates: peers.iter().map(|_| Vec::new()).collect(),
            peers,
            device_bytes_per_second: Vec::new(),
        }
    }

    fn medians(&self) -> Vec<f64> {
        self.rates.iter().map(|rates| median(rates)).collect()
    }

    /// The first engine against the best of the others.
    fn lead(&self) -> Option<f64> {
        let medians = self.medians();
        let (first, others) = medians.split_first()?;
        let best = others.iter().copied().reduce(f64::max)?;
        Some(first / best)
    }

    /// The first engine's bytes of bodies against what the device takes: the median of the ratios of each round.
    #[expect(clippy::as_conversions, reason = "a rate of bytes")]
    fn of_device(&self) -> Option<f64> {
        let bytes = self.workload.body_bytes as f64;
        let rounds = self.rates.first()?.iter().zip(&self.device_bytes_per_second);
        let ratios: Vec<f64> = rounds.map(|(rate, device)| rate * bytes / device).collect();
        (!ratios.is_empty()).then(|| median(&ratios))
    }
}

/// The middle one.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Record {
    /// Prints it, and writes it where the arguments say.
    pub fn keep(&self, arguments: &Arguments) -> anyhow::Result<()> {
        let (table, twin) = (self.markdown()?, serde_json::to_string_pretty(self)?);
        if let Some(path) = &arguments.record {
            std::fs::write(path, &table)?;
            std::fs::write(path.with_extension("json"), twin.clone() + "\n")?;
        }
        println!("{}", if arguments.json { twin } else { table });
        Ok(())
    }

    fn markdown(&self) -> anyhow::Result<String> {
        let mut out = String::new();
        let Machine {
            processors,
            processor,
            kernel,
            file_system,
        } = &self.machine;
        writeln!(out, "# Logpond's store beside other embedded engines\n")?;
        writeln!(
            out,
            "Made by `cargo xtask bench-store`. {processors} × {processor}, Linux {kernel}, {file_system}. Medians of {} rounds, \
             interleaved, the order rotated; {} ms of appends in each measurement, at most {} MiB; the clock stops when everything is \
             durable. Thousands of messages per second.\n\n\
             Warm: what is fetched was just appended, and lies in the memory that each engine keeps it in. Cold: each engine was \
             closed and all pages of its files were dropped (posix_fadvise DONTNEED, looked up with fincore); the clock starts before it is \
             opened again, for some read everything then. The device beside appends: synced writes of 1 MiB, beside cold fetches: reads of \
             1 MiB, both O_DIRECT and one at a time.\n",
            self.rounds,
            self.millis,
            self.bytes_max >> 20
        )?;
        self.rates(&mut out)?;
        writeln!(out, "\n## Engines and their settings\n")?;
        for Contender { description, version } in &self.peers {
            let Description {
                name,
                settings,
                memory,
                durability,
                ..
            } = description;
            writeln!(
                out,
                "- **{name}** {version}. Settings: {settings}. Memory: {memory}. Durability: {durability}."
            )?;
        }
        Ok(out)
    }

    fn rates(&self, out: &mut String) -> anyhow::Result<()> {
        let names = self.peers.iter().map(|peer| peer.description.name);
        let names: Vec<_> = names.collect();
        writeln!(
            out,
            "| workload | {} | against the best | device, GB/s | of the device |",
            names.join(" | ")
        )?;
        writeln!(out, "|---|{}", "---:|".repeat(names.len() + 3))?;
        for line in &self.lines {
            write!(out, "| {} |", line.workload.name)?;
            for median in line.medians() {
                write!(out, " {} |", thousands(median))?;
            }
            let lead = line.lead().map_or(String::new(), |lead| format!("{lead:.2} ×"));
            let device = match line.device_bytes_per_second.as_slice() {
                [] => String::new(),
                speeds => format!("{:.2}", median(speeds) / 1e9),
            };
            let share = line
                .of_device()
                .map_or(String::new(), |share| format!("{:.0} %", share * 100.0));
            writeln!(out, " {lead} | {device} | {share} |")?;
        }
        Ok(())
    }
}

/// As many digits as the drift of a machine leaves meaningful.
fn thousands(rate: f64) -> String {
    let thousands = rate / 1e3;
    match thousands {
        small if small < 10.0 => format!("{small:.2}"),
        some if some < 100.0 => format!("{some:.1}"),
        many => format!("{many:.0}"),
    }
}
