//! lapin's own tests, from its published crate.

use super::skips::Skipped;
use super::suite::{Place, Suite};
use super::verdicts::Verdicts;
use super::{cargo, fresh, watched};
use crate::broker_process::BrokerProcess;
use anyhow::{Context, ensure};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VERSION: &str = "4.12.3";

/// `tests/`.
pub struct Lapin;

impl Suite for Lapin {
    fn name(&self) -> &'static str {
        "lapin"
    }

    fn prepare(&self, place: &Place) -> anyhow::Result<String> {
        let fetched = fetched(&fresh(&place.folder.join("fetch"))?)?;
        let workspace = fresh(&place.folder.join("source"))?;
        let copied = workspace.join("lapin");
        watched::step(Command::new("cp").arg("-r").arg(fetched).arg(&copied))?;
        // A workspace of its own, or cargo would take it for a part of ours; with the versions that lapin was released with.
        let manifest = "[workspace]\nresolver = \"3\"\nmembers = [\"lapin\"]\n";
        std::fs::write(workspace.join("Cargo.toml"), manifest)?;
        std::fs::copy(copied.join("Cargo.lock"), workspace.join("Cargo.lock"))?;
        watched::step(test(place).arg("--no-run"))?;
        Ok(VERSION.to_owned())
    }

    fn tests(&self, place: &Place) -> anyhow::Result<BTreeSet<String>> {
        let (mut reader, mut found) = (cargo::Reader::default(), BTreeSet::new());
        let mut command = test(place);
        command.args(["--", "--list"]);
        let status = watched::lines(&mut command, |line| found.extend(reader.listed(line)))?;
        ensure!(status.success(), "cargo test --list: {status}");
        Ok(found)
    }

    fn run(
        &self,
        place: &Place,
        broker: &BrokerProcess,
        _skipped: &[Skipped],
        verdicts: &mut Verdicts,
    ) -> anyhow::Result<()> {
        let mut command = test(place);
        command
            .env("AMQP_ADDR", format!("amqp://{}/%2f", broker.address()))
            .env("RUST_LOG", "off")
            .arg("--no-fail-fast");
        let mut reader = cargo::Reader::default();
        let status = watched::lines(&mut command, |line| reader.note(line, verdicts))?;
        ensure!(!verdicts.is_empty(), "cargo ran no test: {status}");
        ensure!(
            status.success() || verdicts.any_failed(),
            "cargo test: {status}, and no test failed"
        );
        Ok(())
    }
}

fn test(place: &Place) -> Command {
    let mut command = cargo_in(&place.folder.join("source"));
    command
        .args(["test", "--package", "lapin", "--tests", "--locked"])
        .env("CARGO_TARGET_DIR", place.folder.join("target"));
    command
}

/// Where cargo keeps the crate, once it was fetched for a package that needs it.
fn fetched(folder: &Path) -> anyhow::Result<PathBuf> {
    let manifest = format!(
        "[workspace]\n[package]\nname = \"fetch\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[dependencies]\nlapin = \"={VERSION}\"\n"
    );
    std::fs::write(folder.join("Cargo.toml"), manifest)?;
    std::fs::write(folder.join("lib.rs"), "")?;
    let output = cargo_in(folder)
        .args(["metadata", "--format-version", "1"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo metadata: {}", output.status);
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let lapin = metadata
        .packages
        .into_iter()
        .find(|package| package.name == "lapin");
    let manifest = lapin.context("cargo knows no lapin")?.manifest_path;
    let folder = manifest.parent().context("a manifest lies in a folder")?;
    Ok(folder.to_owned())
}

/// Without the variables that a cargo above us has set for our workspace.
fn cargo_in(folder: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(folder).env_remove("RUSTFLAGS");
    command
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}
