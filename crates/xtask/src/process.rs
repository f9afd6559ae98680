//! Running other programs: their output goes to stderr as it comes, and selected lines come back.

use anyhow::Context;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};

/// Runs `command` with its output on our stderr.
pub fn run(command: &mut Command) -> anyhow::Result<ExitStatus> {
    run_watched(command, |_| {})
}

/// As [`run`], and shows each line of its stdout to `watch`.
pub fn run_watched(command: &mut Command, mut watch: impl FnMut(&str)) -> anyhow::Result<ExitStatus> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let stdout = child.stdout.take().expect("stdout is piped two lines above");
    for line in BufReader::new(stdout).lines() {
        let line = line.with_context(|| format!("unreadable output of {shown}"))?;
        eprintln!("{line}");
        watch(&line);
    }
    child.wait().with_context(|| format!("lost {shown}"))
}

/// Runs `command` and returns its stdout, with its stderr on ours.
pub fn capture(command: &mut Command) -> anyhow::Result<(ExitStatus, String)> {
    let shown = format!("{command:?}");
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {shown}"))?;
    let text = String::from_utf8(output.stdout).with_context(|| format!("{shown} does not speak UTF-8"))?;
    Ok((output.status, text))
}
