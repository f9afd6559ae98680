//! What a step came to, and how all of them are told at the end.
//!
//! Invariants: a step that could not run counts as one failure; the last line of a table is always
//! `N passed, N failed`.

use crate::command_line::Output;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How many things a step looked at, and what there is to say about them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Things that are as they should be.
    pub passed: u64,
    /// Things that are not.
    pub failed: u64,
    /// Things that were passed over, as it is written.
    #[serde(default)]
    pub skipped: u64,
    /// One line for people.
    #[serde(default)]
    pub detail: String,
}

impl Tally {
    /// One thing, which is as it should be.
    pub fn passed(detail: impl Into<String>) -> Self {
        Self {
            passed: 1,
            detail: detail.into(),
            ..Self::default()
        }
    }

    /// Counts another one. What is not as it should be is told first.
    pub fn add(&mut self, other: &Self) {
        if other.failed > 0 && self.failed == 0 {
            self.detail.clear();
        }
        if self.failed == 0 || other.failed > 0 {
            let gap = if self.detail.is_empty() { "" } else { "; " };
            self.detail = format!("{}{gap}{}", self.detail, other.detail);
        }
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// One thing, which is not.
    pub fn failed(detail: impl Into<String>) -> Self {
        Self {
            failed: 1,
            detail: detail.into(),
            ..Self::default()
        }
    }
}

/// A step that was run.
#[derive(Debug, Deserialize, Serialize)]
pub struct Outcome {
    name: String,
    #[serde(flatten)]
    tally: Tally,
    seconds: f64,
    /// The step could not do its work at all.
    stopped: bool,
}

impl Outcome {
    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same under another name.
    pub fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// Runs a step, announces it and takes its time.
    pub fn of(name: &str, step: impl FnOnce() -> anyhow::Result<Tally>) -> Self {
        eprintln!("\n── {name}");
        let start = Instant::now();
        let result = step();
        let seconds = start.elapsed().as_secs_f64();
        let (tally, stopped) = match result {
            Ok(tally) => (tally, false),
            Err(error) => (Tally::failed(format!("{error:#}")), true),
        };
        let word = if tally.failed == 0 { "ok" } else { "FAILED" };
        eprintln!("── {name}: {word} in {seconds:.1} s; {}", tally.detail);
        Self {
            name: name.to_owned(),
            tally,
            seconds,
            stopped,
        }
    }
}

/// Writes all results and says with which code to leave.
pub fn close(outcomes: &[Outcome], output: Output) -> ExitCode {
    let passed: u64 = outcomes.iter().map(|o| o.tally.passed).sum();
    let failed: u64 = outcomes.iter().map(|o| o.tally.failed).sum();
    let skipped: u64 = outcomes.iter().map(|o| o.tally.skipped).sum();
    match output {
        Output::Table => {
            println!("\n{}", table(outcomes));
            println!("{passed} passed, {failed} failed");
        }
        Output::Json => {
            let all = serde_json::json!({
                "steps": outcomes, "passed": passed, "failed": failed, "skipped": skipped
            });
            println!("{all:#}");
        }
    }
    if outcomes.iter().any(|o| o.stopped) {
        ExitCode::from(2)
    } else if failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["step", "passed", "failed", "skipped", "time", "detail"]);
    for Outcome {
        name, tally, seconds, ..
    } in outcomes
    {
        let total = Duration::from_secs_f64(*seconds).as_secs();
        let time = format!("{}:{:02}", total / 60, total % 60);
        let first_line = tally.detail.lines().next().unwrap_or_default().to_owned();
        table.add_row([
            name.clone(),
            tally.passed.to_string(),
            tally.failed.to_string(),
            tally.skipped.to_string(),
            time,
            first_line,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn of_several_things_those_that_are_wrong_are_told() {
        let mut all = Tally::default();
        for one in [
            Tally::passed("a"),
            Tally::failed("b"),
            Tally::passed("c"),
            Tally::failed("d"),
        ] {
            all.add(&one);
        }
        assert_eq!((all.passed, all.failed, all.detail.as_str()), (2, 2, "b; d"));
    }
}
