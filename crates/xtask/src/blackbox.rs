//! Runs the testkit's tools against a real broker and reads what they found.
//!
//! The agreement with a tool: progress on stderr; with `--output json` one JSON object on stdout, with
//! at least `passed`, `failed` and `detail`; exit code 0 when nothing failed, 1 when something did.

use crate::outcome::Tally;
use crate::process;
use crate::workspace::Workspace;
use crate::{artifacts, command_line::Arguments};
use anyhow::Context;

/// A tool of the testkit with its arguments.
pub struct Call<'a> {
    binary: &'a str,
    arguments: Vec<String>,
}

impl<'a> Call<'a> {
    /// The tool that drives a real broker process.
    pub fn blackbox(arguments: &[&str]) -> Self {
        Self::of("blackbox", arguments)
    }

    /// The simulation of the store.
    pub fn simulation(arguments: &[&str]) -> Self {
        Self::of("sim", arguments)
    }

    /// Appends what the user wrote behind `--`.
    pub fn with(mut self, rest: &[String]) -> Self {
        self.arguments.extend_from_slice(rest);
        self
    }

    fn of(binary: &'a str, arguments: &[&str]) -> Self {
        Self {
            binary,
            arguments: arguments.iter().map(|&a| a.to_owned()).collect(),
        }
    }

    /// Builds what is needed, runs the tool and returns what it found.
    pub fn run(&self, workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<Tally> {
        let broker = artifacts::broker(workspace, arguments)?;
        let tool = artifacts::tool(workspace, self.binary)?;
        let mut command = std::process::Command::new(tool);
        command
            .current_dir(workspace.root())
            .args(&self.arguments)
            .args(["--output", "json"])
            .env("LOGPOND_BIN", broker)
            .env("LOGPOND_WORK", workspace.target());
        let (status, text) = process::capture(&mut command)?;
        let mut tally: Tally = serde_json::from_str(&text)
            .with_context(|| format!("{} ended with {status} and without a result", self.binary))?;
        eprintln!("{}", text.trim_end());
        if !status.success() && tally.failed == 0 {
            tally.failed = 1;
            tally.detail = format!("{status}; {}", tally.detail);
        }
        Ok(tally)
    }
}
