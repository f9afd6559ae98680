//! What a tool found, for people and for programs.
//!
//! The shape is an agreement with `cargo xtask`: `passed`, `failed`, `detail`, and whatever else there is.

use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;
use std::process::ExitCode;

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What it is.
    pub name: String,
    /// Whether it is as it should be.
    pub good: bool,
    /// What was seen.
    pub detail: String,
}

/// Everything that a tool looked at.
#[derive(Debug, Serialize)]
pub struct Report {
    passed: usize,
    failed: usize,
    detail: String,
    findings: Vec<Finding>,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

impl Report {
    /// Puts findings together; `summary` is one line about all of them.
    pub fn new(summary: impl Into<String>, findings: Vec<Finding>) -> Self {
        let failed = findings.iter().filter(|finding| !finding.good).count();
        let mut detail = summary.into();
        if let Some(first) = findings.iter().find(|finding| !finding.good) {
            detail = format!("{}: {}; {detail}", first.name, first.detail);
        }
        Self {
            passed: findings.len() - failed,
            failed,
            detail,
            findings,
        }
    }

    /// Whether everything is as it should be.
    pub fn is_good(&self) -> bool {
        self.failed == 0
    }

    /// Writes it to stdout, and says with which code to leave.
    pub fn close(&self, output: Output) -> ExitCode {
        match output {
            Output::Table => println!(
                "{}\n{}\n{} passed, {} failed",
                self.table(),
                self.detail,
                self.passed,
                self.failed
            ),
            Output::Json => {
                println!(
                    "{}",
                    serde_json::to_string_pretty(self).expect("strings and numbers become JSON")
                );
            }
        }
        if self.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_header(["what", "", "seen"]);
        for finding in &self.findings {
            let word = if finding.good { "passed" } else { "FAILED" };
            table.add_row([finding.name.as_str(), word, finding.detail.as_str()]);
        }
        table
    }
}

impl Finding {
    /// Something that was looked at.
    pub fn new(name: impl Into<String>, good: bool, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            good,
            detail: detail.into(),
        }
    }
}
