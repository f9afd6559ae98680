//! The workspace's own tests: unit, property and integration tests and doc tests, in one cargo call.

use crate::outcome::Tally;
use crate::process;
use crate::workspace::Workspace;
use std::path::Path;

/// Runs all Rust tests. Those that need a broker find it in `LOGPOND_BIN`.
pub fn rust_tests(workspace: &Workspace, broker: Option<&Path>) -> anyhow::Result<Tally> {
    let mut cargo = workspace.cargo(&["test", "--workspace", "--no-fail-fast"]);
    if let Some(broker) = broker {
        cargo.env("LOGPOND_BIN", broker);
    }
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    let status = process::run_watched(&mut cargo, |line| match Line::of(line) {
        Line::Summary { passed, failed } => {
            tally.passed += passed;
            tally.failed += failed;
        }
        Line::Failure(name) => failures.push(name.to_owned()),
        Line::Other => {}
    })?;
    if !status.success() && tally.failed == 0 {
        tally.failed = 1;
        failures.push(format!("cargo test stopped: {status}"));
    }
    tally.detail = if failures.is_empty() {
        "cargo test --workspace".to_owned()
    } else {
        failures.join(", ")
    };
    Ok(tally)
}

#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Summary { passed: u64, failed: u64 },
    Failure(&'a str),
    Other,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        if let Some(counts) = line.strip_prefix("test result: ") {
            return Self::Summary {
                passed: count(counts, " passed"),
                failed: count(counts, " failed"),
            };
        }
        match line
            .strip_prefix("test ")
            .and_then(|test| test.strip_suffix(" ... FAILED"))
        {
            Some(name) => Self::Failure(name),
            None => Self::Other,
        }
    }
}

/// The number in front of `word`, as in `ok. 12 passed; 0 failed`.
fn count(counts: &str, word: &str) -> u64 {
    let before = counts.split(word).next().unwrap_or_default();
    before
        .rsplit(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Line;

    #[test]
    fn a_summary_line_gives_its_counts() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; finished in 0.01s";
        assert_eq!(
            Line::of(line),
            Line::Summary {
                passed: 12,
                failed: 3
            }
        );
    }

    #[test]
    fn a_failed_test_is_named() {
        assert_eq!(Line::of("test a::b ... FAILED"), Line::Failure("a::b"));
        assert_eq!(Line::of("test a::b ... ok"), Line::Other);
    }
}
