//! Runs the fuzz targets, which stand in a workspace of their own: they are built with instrumentation, and nobody else compiles
//! libFuzzer.
//!
//! Invariants:
//! - Coverage comes from flags that the stable compiler takes. They are for the targets alone, not for build scripts.
//! - What a run finds new stays beside what cargo builds; only the first inputs are committed.

use crate::outcome::Tally;
use crate::process;
use crate::workspace::Workspace;
use anyhow::Context;
use std::path::Path;
use std::process::Command;

const FOLDER: &str = "fuzz";
/// All targets, by name.
const TARGETS: [&str; 5] = ["frame", "method", "table", "header", "session"];
/// What tells libFuzzer where an input leads.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";
/// A single input that takes longer is a finding.
const INPUT_SECONDS_MAX: u32 = 20;

/// The targets whose name contains `only`.
pub fn targets(only: Option<&str>) -> anyhow::Result<Vec<&'static str>> {
    let chosen = TARGETS
        .into_iter()
        .filter(|target| target.contains(only.unwrap_or("")));
    let chosen: Vec<_> = chosen.collect();
    anyhow::ensure!(
        !chosen.is_empty(),
        "there is no such target; there are {}",
        TARGETS.join(", ")
    );
    Ok(chosen)
}

/// Builds a target and lets it look for so many seconds.
pub fn run(workspace: &Workspace, target: &str, seconds: u64) -> anyhow::Result<Tally> {
    let built = workspace.target().join("fuzz");
    let host = host()?;
    build(workspace, target, &built, &host)?;
    let (corpus, findings) = (built.join("corpus").join(target), built.join("findings"));
    for dir in [&corpus, &findings] {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    let known = std::fs::read_dir(&corpus)?.count();
    let folder = workspace.root().join(FOLDER);
    let mut command = Command::new(built.join(&host).join("release").join(target));
    command
        .arg(&corpus)
        .arg(folder.join("corpus").join(target))
        .arg(format!("-dict={}", folder.join("words.dict").display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-artifact_prefix={}/{target}-", findings.display()))
        .args(["-max_len=4096", "-print_final_stats=1", "-verbosity=0"]);
    let status = process::run(&mut command)?;
    let found = std::fs::read_dir(&corpus)?.count().saturating_sub(known);
    Ok(if status.success() {
        Tally::passed(format!("{seconds} s, {found} inputs that lead somewhere new"))
    } else {
        Tally::failed(format!("{status}; the input lies in {}", findings.display()))
    })
}

fn build(workspace: &Workspace, target: &str, built: &Path, host: &str) -> anyhow::Result<()> {
    let manifest = format!("{FOLDER}/Cargo.toml");
    let mut command = workspace.cargo(&["build", "--release", "--locked", "--manifest-path", &manifest]);
    command
        .args(["--target", host, "--bin", target, "--target-dir"])
        .arg(built)
        .env("RUSTFLAGS", INSTRUMENTATION);
    let status = process::run(&mut command)?;
    anyhow::ensure!(status.success(), "the target {target} does not build");
    Ok(())
}

/// Named, so that flags are not for build scripts.
fn host() -> anyhow::Result<String> {
    let (_, version) = process::capture(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say its host")
}
