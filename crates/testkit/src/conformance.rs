//! Test suites of published clients, unmodified, each against a broker of its own.
//!
//! Invariants:
//! - A suite comes from a package registry at a pinned version, and nothing of what it tests with is changed. What is made for it
//!   and what it leaves behind lies in its own folder.
//! - Each suite has a fresh broker: a process and an empty data directory.
//! - A suite of which fewer tests ran than are known has failed.
//! - A test is passed over only when the list in `tests/conformance/skipped.toml` names it; one that passes over itself and is not in the
//!   list has failed.
//!
//! Elsewhere: programs of our own with such clients (`interop`).

mod amqp_tools;
mod cargo;
mod celery;
mod certificates;
mod go;
mod kombu;
mod lapin;
mod py_amqp;
mod pytest;
mod skips;
mod suite;
mod summary;
mod verdicts;
mod watched;

pub use summary::Summary;

use crate::broker_process::Launch;
use anyhow::Context;
use skips::Skips;
use std::path::{Path, PathBuf};
use std::time::Instant;
use suite::{Place, Suite};
use summary::SuiteResult;
use verdicts::Verdicts;

/// The short suites first.
const SUITES: [&dyn Suite; 6] = [
    &amqp_tools::AmqpTools,
    &celery::Celery,
    &py_amqp::PyAmqp,
    &kombu::Kombu,
    &lapin::Lapin,
    &go::Amqp091Go,
];

/// Runs the suites that `only` names, or all of them, with their folders below `work`.
pub fn run(work: &Path, only: &[String]) -> anyhow::Result<Summary> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/conformance")
        .canonicalize()?;
    let skips = Skips::read(&sources.join("skipped.toml"))?;
    let names = SUITES.map(Suite::name);
    for name in names {
        skips.tests_min(name)?;
    }
    for name in only.iter().map(String::as_str).chain(skips.suites()) {
        anyhow::ensure!(
            names.contains(&name),
            "there is no suite {name}; there are {}",
            names.join(", ")
        );
    }
    let chosen = SUITES
        .into_iter()
        .filter(|suite| only.is_empty() || only.iter().any(|name| name == suite.name()));
    let results = chosen.map(|suite| {
        eprintln!("\n── {}", suite.name());
        let place = Place {
            folder: work.join(suite.name()),
            sources: sources.clone(),
        };
        let start = Instant::now();
        let mut verdicts = Verdicts::default();
        let mut version = String::new();
        let ended = one(suite, &place, &skips, &mut version, &mut verdicts);
        SuiteResult::new(
            suite.name(),
            version,
            &verdicts,
            ended.as_ref().err(),
            start.elapsed(),
        )
    });
    Ok(Summary::new(results.collect()))
}

fn one(
    suite: &dyn Suite,
    place: &Place,
    skips: &Skips,
    version: &mut String,
    verdicts: &mut Verdicts,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(&place.folder)?;
    *version = suite.prepare(place).context("cannot be prepared")?;
    let data = fresh(&place.folder.join("broker"))?;
    let mut launch = Launch::from_environment(&data.join("data"))?;
    for setting in suite.settings(place) {
        launch = launch.set(setting);
    }
    let broker = launch.start_and_wait()?;
    let mut skipped = skips.of(suite.name());
    if !skipped.is_empty() {
        let tests = suite.tests(place).context("its tests cannot be listed")?;
        skipped = skips::existing(skipped, &tests, verdicts);
    }
    suite.run(place, &broker, &skipped, verdicts)?;
    verdicts.pass_over(&skipped);
    verdicts.expect_at_least(skips.tests_min(suite.name())?);
    broker.stop()
}

/// An empty folder in the place of whatever an earlier run left.
fn fresh(folder: &Path) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}
