//! Programs with published clients against a broker, each passed or failed.
//!
//! Invariants: clients are installed under one folder and nowhere else; a program that does not end is
//! killed; a client that cannot be installed fails its programs and no others.
//!
//! Elsewhere: the programs themselves (`tests/programs`, `src/bin/lapin-smoke.rs`).

mod program;
mod toolchain;

use crate::report::{Finding, Report};
use std::path::Path;

/// Runs all programs whose name contains `only` against the broker at `url`.
pub fn run(url: &str, work: &Path, only: &str) -> anyhow::Result<Report> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/programs")
        .canonicalize()?;
    let mut findings = Vec::new();
    for toolchain in toolchain::all(&sources, work) {
        let programs: Vec<_> = toolchain
            .programs
            .into_iter()
            .filter(|p| p.name().contains(only))
            .collect();
        if programs.is_empty() {
            continue;
        }
        eprintln!("preparing {}", toolchain.name);
        let prepared = toolchain.steps.into_iter().try_for_each(program::Step::run);
        for program in programs {
            let finding = match &prepared {
                Ok(()) => program.run(url),
                Err(error) => Finding::new(program.name(), false, format!("cannot be prepared: {error:#}")),
            };
            let word = if finding.good { "passed" } else { "FAILED" };
            eprintln!("{word}  {}: {}", finding.name, finding.detail);
            findings.push(finding);
        }
    }
    anyhow::ensure!(!findings.is_empty(), "no program's name contains {only:?}");
    Ok(Report::new(
        format!("programs with published clients at {url}"),
        findings,
    ))
}
