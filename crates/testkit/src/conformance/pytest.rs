//! Suites of Python packages: their source packages, an environment for each, and what pytest says.

use super::skips::Skipped;
use super::verdicts::Verdicts;
use super::{fresh, watched};
use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a virtual environment with these packages and nothing else, and returns its interpreter.
pub fn environment(folder: &Path, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let environment = folder.join("environment");
    let interpreter = environment.join("bin/python");
    watched::step(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
    watched::step(pip(&interpreter, "install").args(packages))?;
    Ok(interpreter)
}

/// Fetches the source package and returns the folder that it unpacks to.
pub fn source(folder: &Path, interpreter: &Path, package: &str) -> anyhow::Result<PathBuf> {
    let source = fresh(&folder.join("source"))?;
    let only_this = ["--no-deps", "--no-binary", ":all:", package];
    watched::step(pip(interpreter, "download").args(only_this).current_dir(&source))?;
    let entry = std::fs::read_dir(&source)?.next();
    let archive = entry
        .with_context(|| format!("pip fetched no {package}"))??
        .path();
    watched::step(
        Command::new("tar")
            .current_dir(&source)
            .args(["--extract", "--strip-components=1", "--file"])
            .arg(archive),
    )?;
    Ok(source)
}

fn pip(interpreter: &Path, what: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.args(["-m", "pip", what, "--quiet", "--disable-pip-version-check"]);
    command
}

/// pytest in this folder, on these files or folders.
///
/// `pytest-rerunfailures` is not installed, so that a test which its authors call flaky has one try here.
pub fn pytest(interpreter: &Path, folder: &Path, tests: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command
        .current_dir(folder)
        .args([
            "-B",
            "-m",
            "pytest",
            "--verbose",
            "-rfE",
            "-p",
            "no:cacheprovider",
        ])
        .args(["--tb=short", "--disable-warnings", "--color=no"])
        // Lines are cut off at the width of the terminal.
        .env("COLUMNS", "240")
        .arg(tests);
    command
}

/// All tests that this command would run.
pub fn tests(command: &mut Command) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    // Not so quiet that only their number is told.
    let listing = command.args(["--collect-only", "--quiet", "--quiet"]);
    let status = watched::lines(listing, |line| found.extend(listed(line).map(str::to_owned)))?;
    ensure!(status.success(), "pytest --collect-only: {status}");
    Ok(found)
}

/// The test that a line of the list names.
fn listed(line: &str) -> Option<&str> {
    let (file, test) = line.split_once("::")?;
    (file.ends_with(".py") && !file.contains(' ') && !test.is_empty()).then_some(line)
}

/// Runs pytest.
pub fn run(command: &mut Command, skipped: &[Skipped], verdicts: &mut Verdicts) -> anyhow::Result<()> {
    for entry in skipped {
        command.arg("--deselect").arg(&entry.test);
    }
    let status = watched::lines(command, |line| note(line, verdicts))?;
    ensure!(!verdicts.is_empty(), "pytest ran no test: {status}");
    ensure!(
        status.success() || verdicts.any_failed(),
        "pytest: {status}, and no test failed"
    );
    Ok(())
}

fn note(line: &str, verdicts: &mut Verdicts) {
    match Line::of(line) {
        Some(Line::Ended { test, word, why }) => match word {
            "PASSED" => verdicts.passed(test),
            "SKIPPED" | "XFAIL" => verdicts.passed_over_itself(test, why),
            _ => verdicts.failed(test, ""),
        },
        Some(Line::Reason { test, seen }) => verdicts.failed(test, seen),
        None => {}
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// `file::test WORD (why) [ 1%]`
    Ended {
        test: &'a str,
        word: &'a str,
        why: &'a str,
    },
    /// `WORD file::test - seen`, at the end.
    Reason { test: &'a str, seen: &'a str },
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Option<Self> {
        for word in ["FAILED ", "ERROR "] {
            if let Some(rest) = line.strip_prefix(word) {
                let (test, seen) = rest.split_once(" - ").unwrap_or((rest, ""));
                return test.contains(".py::").then_some(Self::Reason { test, seen });
            }
        }
        for word in ["PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL", "XPASS"] {
            // The last one: names of tests may contain such a word.
            let Some((test, rest)) = line.rsplit_once(&format!(" {word}")) else {
                continue;
            };
            if test.contains(".py::") {
                let why = rest.rsplit_once('[').map_or(rest, |(why, _)| why).trim();
                return Some(Self::Ended { test, word, why });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, listed};

    #[test]
    fn the_end_of_a_test_is_a_line() {
        assert_eq!(
            Line::of("t/a.py::c::test[x-False] PASSED                  [  3%]"),
            Some(Line::Ended {
                test: "t/a.py::c::test[x-False]",
                word: "PASSED",
                why: ""
            })
        );
        assert_eq!(
            Line::of("t/a.py::test SKIPPED (no docker) [100%]"),
            Some(Line::Ended {
                test: "t/a.py::test",
                word: "SKIPPED",
                why: "(no docker)"
            })
        );
    }

    #[test]
    fn a_name_may_contain_the_word_for_another_end() {
        assert_eq!(
            Line::of("t/a.py::test[406-X_FAILED - no] PASSED [ 3%]"),
            Some(Line::Ended {
                test: "t/a.py::test[406-X_FAILED - no]",
                word: "PASSED",
                why: ""
            })
        );
    }

    #[test]
    fn the_reason_of_a_failure_comes_at_the_end() {
        assert_eq!(
            Line::of("FAILED t/a.py::test[x] - AssertionError: a - b"),
            Some(Line::Reason {
                test: "t/a.py::test[x]",
                seen: "AssertionError: a - b"
            })
        );
    }

    #[test]
    fn a_list_names_a_test_in_each_line() {
        let test = "t/integration/test_rmq.py::test_simple[a b-False]";
        assert_eq!(listed(test), Some(test));
        assert_eq!(listed("83 tests collected in 0.17s"), None);
        assert_eq!(listed("ERROR t/a.py::test - ImportError"), None);
    }

    #[test]
    fn what_else_is_printed_says_nothing() {
        assert_eq!(Line::of("collected 3 items"), None);
        assert_eq!(Line::of("ERROR    pika:connection.py:549 closed"), None);
    }
}
