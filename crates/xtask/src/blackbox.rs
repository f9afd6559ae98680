//! Runs the testkit's tools that drive a real broker, and reads what they found.
//!
//! The agreement with a tool: progress on stderr; with `--output json` one JSON object on stdout, with
//! at least `passed`, `failed` and `detail`; exit code 0 when nothing failed, 1 when something did.

use crate::outcome::Tally;
use crate::process;
use crate::workspace::Workspace;
use crate::{artifacts, command_line::Arguments};
use anyhow::Context;
use serde::de::DeserializeOwned;
use std::process::ExitStatus;

/// What to look at, with its arguments.
pub struct Call {
    tool: &'static str,
    arguments: Vec<String>,
}

impl Call {
    /// A command of the tool that tests.
    pub fn of(arguments: &[&str]) -> Self {
        Self {
            tool: "blackbox",
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
        }
    }

    /// The tool that measures.
    pub fn of_bench() -> Self {
        Self {
            tool: "bench-broker",
            arguments: Vec::new(),
        }
    }

    /// Appends what the user wrote behind `--`.
    pub fn with(mut self, rest: &[String]) -> Self {
        self.arguments.extend_from_slice(rest);
        self
    }

    /// Builds what is needed, runs the tool and returns what it found.
    pub fn run(&self, workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<Tally> {
        let (status, mut tally): (_, Tally) = self.found(workspace, arguments)?;
        if !status.success() && tally.failed == 0 {
            tally.failed = 1;
            tally.detail = format!("{status}; {}", tally.detail);
        }
        Ok(tally)
    }

    /// As [`Call::run`], for a tool whose object has another shape.
    pub fn found<T: DeserializeOwned>(
        &self,
        workspace: &Workspace,
        arguments: &Arguments,
    ) -> anyhow::Result<(ExitStatus, T)> {
        let broker = artifacts::broker(workspace, arguments)?;
        let tool = artifacts::testkit(workspace)?.join(self.tool);
        let mut command = std::process::Command::new(tool);
        command
            .current_dir(workspace.root())
            .args(&self.arguments)
            .args(["--output", "json"])
            .env("LOGPOND_BIN", broker)
            .env("LOGPOND_WORK", workspace.target());
        let (status, text) = process::capture(&mut command)?;
        let found = serde_json::from_str(&text).with_context(|| {
            format!(
                "{} {} ended with {status} and without a result",
                self.tool,
                self.arguments.join(" ")
            )
        })?;
        eprintln!("{}", text.trim_end());
        Ok((status, found))
    }
}
