//! What all suites came to, for people and for programs.
//!
//! The shape is an agreement with `cargo xtask`, which has a row for each suite.

use super::verdicts::{Verdict, Verdicts};
use crate::report::Output;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

/// What a suite came to.
#[derive(Debug, Serialize)]
pub struct SuiteResult {
    name: String,
    version: String,
    passed: usize,
    failed: usize,
    skipped: usize,
    seconds: f64,
    /// It could not be looked at.
    stopped: bool,
    detail: String,
    tests: Vec<Test>,
}

/// A test that did not pass.
#[derive(Debug, Serialize)]
struct Test {
    name: String,
    #[serde(flatten)]
    verdict: Verdict,
}

impl SuiteResult {
    /// Counts. `error` is why it could not be looked at.
    pub fn new(
        name: &str,
        version: String,
        verdicts: &Verdicts,
        error: Option<&anyhow::Error>,
        took: Duration,
    ) -> Self {
        let count = |what: fn(&Verdict) -> bool| verdicts.iter().filter(|(_, verdict)| what(verdict)).count();
        let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
        let first = verdicts.iter().find_map(|(test, verdict)| match verdict {
            Verdict::Failed(seen) => Some(format!("{test}: {seen}")),
            _ => None,
        });
        let detail = match error {
            Some(error) => format!("{error:#}"),
            None => first.unwrap_or_default(),
        };
        let result = Self {
            name: name.to_owned(),
            version,
            passed: count(|verdict| *verdict == Verdict::Passed),
            failed: failed + usize::from(error.is_some()),
            skipped: count(|verdict| matches!(verdict, Verdict::Skipped(_))),
            seconds: took.as_secs_f64(),
            stopped: error.is_some(),
            detail,
            tests: told(verdicts),
        };
        eprintln!(
            "── {} {}: {} passed, {} failed, {} skipped; {}",
            result.name, result.version, result.passed, result.failed, result.skipped, result.detail
        );
        result
    }
}

fn told(verdicts: &Verdicts) -> Vec<Test> {
    let all = verdicts.iter().map(|(name, verdict)| Test {
        name: name.to_owned(),
        verdict: verdict.clone(),
    });
    all.filter(|test| test.verdict != Verdict::Passed).collect()
}

/// What all suites came to.
#[derive(Debug, Serialize)]
pub struct Summary {
    passed: usize,
    failed: usize,
    skipped: usize,
    suites: Vec<SuiteResult>,
}

impl Summary {
    /// Adds them up.
    pub fn new(suites: Vec<SuiteResult>) -> Self {
        Self {
            passed: suites.iter().map(|suite| suite.passed).sum(),
            failed: suites.iter().map(|suite| suite.failed).sum(),
            skipped: suites.iter().map(|suite| suite.skipped).sum(),
            suites,
        }
    }

    /// Writes it to stdout, and says with which code to leave.
    pub fn close(&self, output: Output) -> ExitCode {
        match output {
            Output::Table => println!(
                "{}\n{} passed, {} failed, {} skipped",
                self.table(),
                self.passed,
                self.failed,
                self.skipped
            ),
            Output::Json => println!(
                "{}",
                serde_json::to_string_pretty(self).expect("strings and numbers become JSON")
            ),
        }
        if self.suites.iter().any(|suite| suite.stopped) {
            ExitCode::from(2)
        } else if self.failed > 0 {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_header(["suite", "version", "passed", "failed", "skipped", "seen"]);
        for suite in &self.suites {
            table.add_row([
                suite.name.clone(),
                suite.version.clone(),
                suite.passed.to_string(),
                suite.failed.to_string(),
                suite.skipped.to_string(),
                suite.detail.clone(),
            ]);
        }
        table
    }
}
