//! A record holds all that was asked for, whatever became of it.

use super::{Cell, Record};
use crate::bench::disk_probe::DiskFigures;
use crate::bench::echo_probe::{EchoFigures, Latency};
use crate::bench::figures::Figures;
use crate::bench::machine::Machine;
use crate::bench::peer::Missing;
use crate::bench::workload::Workload;
use crate::generator::Variety;
use std::path::Path;
use std::time::Duration;

fn measured(rates: &[u64]) -> Cell {
    let mut cell = Cell::new(Workload::DrainWarm, 16, "logpond");
    cell.turns = rates
        .iter()
        .map(|rate| Figures::of(*rate, 16, Duration::from_secs(1)))
        .collect();
    cell
}

fn record(cells: Vec<Cell>) -> Record {
    Record {
        date: "2026-01-31".into(),
        command: "cargo xtask bench-broker".into(),
        seconds: 5.0,
        variety: Variety::Varied,
        machine: Machine::of(Path::new("/")),
        disk: vec![DiskFigures::default()],
        echo: vec![EchoFigures::default()],
        peers: vec![],
        missing: vec![Missing {
            name: "elsewhere",
            why: "it is not installed".into(),
        }],
        cells,
    }
}

#[test]
fn the_median_of_the_rounds_is_told() {
    let medians = measured(&[300, 100, 200]).medians().unwrap();
    assert_eq!((medians.per_second, medians.turns), (200, 3));
}

#[test]
fn what_the_disk_does_with_new_blocks_stands_beside_what_it_does_with_old_ones() {
    let mut record = record(vec![]);
    let disk = |new| DiskFigures {
        write_1mib_bytes_per_second: 2_000_000_000,
        write_new_1mib_bytes_per_second: new,
        ..DiskFigures::default()
    };
    record.disk = vec![disk(900_000_000), disk(1_250_000_000), disk(1_300_000_000)];
    let text = super::markdown::document(&record);
    assert!(text.contains("in sequence | 2.00 GB/s |"), "{text}");
    assert!(
        text.contains("never written (a log that grows) | 1.25 GB/s |"),
        "{text}"
    );
}

#[test]
fn the_least_that_a_confirmed_message_takes_stands_beside_the_disk() {
    let mut record = record(vec![]);
    record.echo[0].synced_4kib = Latency {
        p50_ns: 170_000,
        p99_ns: 260_000,
    };
    let text = super::markdown::document(&record);
    let line = "4 KiB written with RWF_DSYNC before the answer | p50 170 µs, p99 260 µs |";
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_turn_that_failed_stands_beside_those_that_did_not() {
    let mut cell = measured(&[100]);
    cell.failures.push("the broker | ended".into());
    let mut never = Cell::new(Workload::DrainWarm, 1024, "logpond");
    never.failures.push("the disk is full".into());
    let text = super::markdown::document(&record(vec![cell, never]));
    assert!(text.contains("1 failed: the broker   ended"), "{text}");
    assert!(text.contains("1 failed: the disk is full"), "{text}");
}

#[test]
fn what_could_not_be_measured_is_told_with_its_reason() {
    let mut cell = Cell::new(Workload::Idle, 16, "other");
    cell.not_comparable = Some("has no connections");
    let text = super::markdown::document(&record(vec![cell]));
    assert!(text.contains("Without other: has no connections."), "{text}");
    assert!(
        text.contains("elsewhere | not measured: it is not installed"),
        "{text}"
    );
}

#[test]
fn both_files_are_written_and_the_json_has_every_turn() {
    let folder = tempfile::tempdir().unwrap();
    let record = record(vec![measured(&[7, 8])]);
    record.write(folder.path()).unwrap();
    let [people, programs] = record.files(folder.path());
    assert!(std::fs::read_to_string(people).unwrap().contains("## drain-warm"));
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(programs).unwrap()).unwrap();
    assert_eq!(json["cells"][0]["turns"].as_array().unwrap().len(), 2);
    assert_eq!(json["cells"][0]["workload"], "drain-warm");
}
