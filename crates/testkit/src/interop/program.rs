//! One program, or one step to prepare it, as a child process with an end.

use crate::report::Finding;
use anyhow::Context;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest that a program may run.
const PROGRAM_PATIENCE: Duration = Duration::from_secs(90);
/// Longest that a step of an installation may take: it may have to compile a client.
const STEP_PATIENCE: Duration = Duration::from_secs(600);
/// How much of a failed program's output is shown.
const SHOWN_BYTES_MAX: usize = 1500;

/// Something that must be done before programs can run.
pub struct Step(Command);

impl Step {
    /// A step that is this command.
    pub fn new(command: Command) -> Self {
        Self(command)
    }

    /// Does it.
    pub fn run(self) -> anyhow::Result<()> {
        let mut command = self.0;
        let (status, output) = run_to_end(&mut command, STEP_PATIENCE)?;
        anyhow::ensure!(status.success(), "{command:?}: {status}\n{output}");
        Ok(())
    }
}

/// A program that passes when it ends with 0.
pub struct Program {
    name: String,
    command: Command,
}

impl Program {
    /// A program that is this command.
    pub fn new(name: impl Into<String>, command: Command) -> Self {
        Self {
            name: name.into(),
            command,
        }
    }

    /// What it is called in the report.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs it against the broker at `url`. What it says last is what was seen.
    pub fn run(mut self, url: &str) -> Finding {
        // A stack says nothing here, and hides the reason that stands before it.
        self.command.env("AMQP_URL", url).env("RUST_BACKTRACE", "0");
        match run_to_end(&mut self.command, PROGRAM_PATIENCE) {
            Ok((status, output)) if status.success() => {
                Finding::new(self.name, true, output.lines().last().unwrap_or_default())
            }
            Ok((status, output)) => Finding::new(self.name, false, format!("{status}\n{}", tail(&output))),
            Err(error) => Finding::new(self.name, false, format!("{error:#}")),
        }
    }
}

/// The end of a text, from a whole character on.
fn tail(text: &str) -> &str {
    let start =
        (text.len().saturating_sub(SHOWN_BYTES_MAX)..=text.len()).find(|&at| text.is_char_boundary(at));
    &text[start.unwrap_or(text.len())..]
}

/// Runs a command with its output in a file, so that a talkative child cannot block on a full pipe.
fn run_to_end(command: &mut Command, patience: Duration) -> anyhow::Result<(ExitStatus, String)> {
    let mut output = tempfile::tempfile()?;
    let (stdout, stderr) = (output.try_clone()?, output.try_clone()?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let status = wait(&mut child, patience)?;
    let text = read_from_start(&mut output)?;
    match status {
        Some(status) => Ok((status, text)),
        None => anyhow::bail!("not done within {patience:?}\n{}", tail(&text)),
    }
}

fn wait(child: &mut Child, patience: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // The group, since npm and go have children of their own.
    if let Some(group) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    child.wait()?;
    Ok(None)
}

fn read_from_start(file: &mut File) -> anyhow::Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_that_ends_with_zero_passed_and_its_last_line_is_told() {
        let finding = Program::new("p", shell("echo one; echo $AMQP_URL")).run("amqp://here/");
        assert!(finding.good);
        assert_eq!(finding.detail, "amqp://here/");
    }

    #[test]
    fn a_program_that_ends_otherwise_failed() {
        let finding = Program::new("p", shell("echo reason >&2; exit 3")).run("amqp://here/");
        assert!(!finding.good);
        assert!(finding.detail.contains("reason"));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        assert!(run_to_end(&mut shell("sleep 1000"), Duration::from_millis(50)).is_err());
    }

    #[test]
    fn the_shown_end_of_a_text_begins_at_a_character() {
        let text = "ä".repeat(SHOWN_BYTES_MAX);
        assert!(tail(&text).len() <= SHOWN_BYTES_MAX);
        assert!(tail("short").starts_with("short"));
    }
}
