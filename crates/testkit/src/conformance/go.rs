//! amqp091-go's tests, those that ask for a broker among them, from its published module.

use super::skips::Skipped;
use super::suite::{Place, Suite};
use super::verdicts::Verdicts;
use super::watched;
use crate::broker_process::BrokerProcess;
use anyhow::{Context, ensure};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VERSION: &str = "1.16.0";
const MODULE: &str = "github.com/rabbitmq/amqp091-go@v1.16.0";

/// All of its tests, with the tag `integration`.
pub struct Amqp091Go;

impl Suite for Amqp091Go {
    fn name(&self) -> &'static str {
        "amqp091-go"
    }

    fn prepare(&self, place: &Place) -> anyhow::Result<String> {
        let source = source(place)?;
        watched::step(test(place, &source).args(["-run", "^$"]))?;
        Ok(VERSION.to_owned())
    }

    /// Some of its tests do nothing where the server has another name, and leave their connections open.
    fn settings(&self, _place: &Place) -> Vec<String> {
        vec!["product=RabbitMQ".to_owned()]
    }

    fn tests(&self, place: &Place) -> anyhow::Result<BTreeSet<String>> {
        let mut command = go(place, &source(place)?);
        command.args(["test", "-tags", "integration", "-list", "."]);
        let mut found = BTreeSet::new();
        let status =
            watched::silent_lines(&mut command, |line| found.extend(listed(line).map(str::to_owned)))?;
        ensure!(status.success(), "go test -list: {status}");
        Ok(found)
    }

    fn run(
        &self,
        place: &Place,
        broker: &BrokerProcess,
        skipped: &[Skipped],
        verdicts: &mut Verdicts,
    ) -> anyhow::Result<()> {
        let mut command = test(place, &source(place)?);
        command.env("AMQP_URL", broker.url());
        if !skipped.is_empty() {
            let names: Vec<_> = skipped.iter().map(|entry| entry.test.as_str()).collect();
            command.args(["-skip", &format!("^({})$", names.join("|"))]);
        }
        let mut reader = Reader::default();
        let status = watched::silent_lines(&mut command, |line| reader.note(line, verdicts))?;
        ensure!(!verdicts.is_empty(), "go ran no test: {status}");
        if !status.success() && !verdicts.any_failed() {
            verdicts.failed("all tests together", &reader.said_at_the_end);
        }
        Ok(())
    }
}

/// The test that a line of the list names.
fn listed(line: &str) -> Option<&str> {
    (line.starts_with("Test") && !line.contains(char::is_whitespace)).then_some(line)
}

fn test(place: &Place, source: &Path) -> Command {
    let mut command = go(place, source);
    command.args([
        "test",
        "-tags",
        "integration",
        "-json",
        "-count=1",
        "-timeout=55m",
    ]);
    command
}

/// Where go keeps the module. It is not made writable, so nobody has changed it.
fn source(place: &Place) -> anyhow::Result<PathBuf> {
    let output = go(place, &place.folder)
        .args(["mod", "download", "-json", MODULE])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start go")?;
    let shown = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "go mod download: {shown}");
    let module: Module = serde_json::from_str(&shown)?;
    Ok(module.dir)
}

fn go(place: &Place, folder: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(folder)
        .env("GOPATH", place.folder.join("path"))
        .env("GOCACHE", place.folder.join("cache"))
        // So that removing the target folder works.
        .env("GOFLAGS", "-modcacherw");
    command
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Module {
    dir: PathBuf,
}

/// One line of `go test -json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    #[serde(default)]
    test: String,
    #[serde(default)]
    output: String,
}

/// Reads events. A part of a test (`Test/part`) counts with its test.
#[derive(Default)]
struct Reader {
    /// What running tests said, where they said where.
    said: HashMap<String, String>,
    /// What was said first when no test ran: what goleak has found, for one.
    said_at_the_end: String,
}

impl Reader {
    fn note(&mut self, line: &str, verdicts: &mut Verdicts) {
        let Ok(event) = serde_json::from_str::<Event>(line) else {
            return eprintln!("{line}");
        };
        eprint!("{}", event.output);
        let test = event.test.split('/').next().unwrap_or_default();
        if test.is_empty() {
            let said = event.output.trim();
            if self.said_at_the_end.is_empty() && !said.is_empty() && said != "PASS" {
                said.clone_into(&mut self.said_at_the_end);
            }
            return;
        }
        if event.action == "output" && event.output.contains(".go:") {
            event
                .output
                .trim()
                .clone_into(self.said.entry(test.to_owned()).or_default());
        }
        let said = self.said.get(test).map_or("", String::as_str);
        match event.action.as_str() {
            "fail" => verdicts.failed(test, said),
            "skip" => verdicts.passed_over_itself(&event.test, said),
            "pass" if event.test == test => verdicts.passed(test),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reader, Verdicts, listed};
    use crate::conformance::verdicts::Verdict;

    fn read(lines: &[&str]) -> Verdicts {
        let (mut reader, mut verdicts) = (Reader::default(), Verdicts::default());
        for line in lines {
            reader.note(line, &mut verdicts);
        }
        verdicts
    }

    #[test]
    fn a_test_counts_once_whatever_its_parts() {
        let verdicts = read(&[
            r#"{"Action":"pass","Test":"TestA/one"}"#,
            r#"{"Action":"pass","Test":"TestA"}"#,
            r#"{"Action":"pass"}"#,
        ]);
        assert_eq!(verdicts.iter().count(), 1);
    }

    #[test]
    fn a_list_names_a_test_in_each_line() {
        assert_eq!(listed("TestConnection"), Some("TestConnection"));
        assert_eq!(listed("BenchmarkParseFrames"), None);
        assert_eq!(listed("ok  \tgithub.com/rabbitmq/amqp091-go\t0.012s"), None);
    }

    #[test]
    fn a_failure_is_told_with_the_last_place_that_was_named() {
        let verdicts = read(&[
            r#"{"Action":"output","Test":"TestA","Output":"    a_test.go:7: wrong\n"}"#,
            r#"{"Action":"output","Test":"TestA","Output":"--- FAIL: TestA\n"}"#,
            r#"{"Action":"fail","Test":"TestA"}"#,
        ]);
        let failed = Verdict::Failed("a_test.go:7: wrong".to_owned());
        assert_eq!(verdicts.iter().collect::<Vec<_>>(), [("TestA", &failed)]);
    }
}
