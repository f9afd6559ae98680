//! Runs the testkit's simulations of the store on a disk that loses, tears, reorders and rots.
//!
//! Its exit code is the verdict; of what it prints, the last lines are kept for the table.

use crate::outcome::Tally;
use crate::workspace::Workspace;
use crate::{artifacts, process};
use anyhow::Context;
use std::convert::Infallible;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Simulates for some time.
pub fn run(workspace: &Workspace, seconds: u64, rest: &[String]) -> anyhow::Result<Tally> {
    let simulation = artifacts::testkit(workspace)?.join("sim");
    let mut command = Command::new(simulation);
    judge(command.args(["--seconds", &seconds.to_string()]).args(rest))
}

/// Simulates for hours, in the place of this process: it returns only when the simulation cannot be started.
pub fn overnight(workspace: &Workspace, hours: u64, rest: &[String]) -> anyhow::Result<Infallible> {
    let simulation = artifacts::testkit(workspace)?.join("sim");
    let mut command = Command::new(&simulation);
    command
        .args(["--hours", &hours.to_string(), "--violations"])
        .arg(workspace.target().join("sim-violations.txt"))
        .args(rest);
    Err(command.exec()).with_context(|| format!("cannot start {}", simulation.display()))
}

/// Crashes every workload of a few operations, everywhere and in every manner.
pub fn exhaustive(workspace: &Workspace, rest: &[String]) -> anyhow::Result<Tally> {
    let simulation = artifacts::testkit(workspace)?.join("sim");
    judge(Command::new(simulation).arg("--exhaustive").args(rest))
}

/// Plants one bug after the other; each must be found.
pub fn planted(workspace: &Workspace, rest: &[String]) -> anyhow::Result<Tally> {
    let simulation = artifacts::testkit(workspace)?.join("sim");
    judge(Command::new(simulation).arg("--planted").args(rest))
}

/// Flips the live bytes of a store, one at a time.
pub fn flips(workspace: &Workspace, step: u64, rest: &[String]) -> anyhow::Result<Tally> {
    let flips = artifacts::testkit(workspace)?.join("flips");
    let mut command = Command::new(flips);
    judge(command.args(["--step", &step.to_string()]).args(rest))
}

fn judge(command: &mut Command) -> anyhow::Result<Tally> {
    let mut told = Vec::new();
    let status = process::run_watched(command, |line| {
        let counts = ["workloads", "crash points", "images of", "violations"];
        let findings = ["seed ", "workload "];
        if counts.iter().any(|count| line.contains(count))
            || findings.iter().any(|finding| line.starts_with(finding))
        {
            told.push(line.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    })?;
    let detail = told.join("; ");
    Ok(if status.success() {
        Tally::passed(detail)
    } else {
        Tally::failed(detail)
    })
}
