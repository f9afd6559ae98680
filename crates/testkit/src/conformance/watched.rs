//! A child process whose output is shown and read line by line, and which ends.
//!
//! Invariants: stdout and stderr are read as one, in order; whoever is not done in time is killed with all its children.

use anyhow::{Context, ensure};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Longest that a suite may run, or a step of its preparation.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Runs a step that must succeed.
pub fn step(command: &mut Command) -> anyhow::Result<()> {
    let status = lines(command, |_| {})?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// Runs a command, shows each line of its output on stderr and to `watch`.
pub fn lines(command: &mut Command, mut watch: impl FnMut(&str)) -> anyhow::Result<ExitStatus> {
    silent_lines(command, |line| {
        eprintln!("{line}");
        watch(line);
    })
}

/// As [`lines`], but what is shown is left to `watch`.
pub fn silent_lines(command: &mut Command, mut watch: impl FnMut(&str)) -> anyhow::Result<ExitStatus> {
    let shown = format!("{command:?}");
    let (output, input) = std::io::pipe()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    // The command holds the writing ends as well, and with them the pipe would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let group = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let (tell_done, done) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let late = done.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
        if let (true, Some(group)) = (late, group) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        late
    });
    for line in BufReader::new(output).split(b'\n') {
        let line = line.with_context(|| format!("unreadable output of {shown}"))?;
        watch(String::from_utf8_lossy(&line).trim_end());
    }
    let status = child.wait().with_context(|| format!("lost {shown}"))?;
    drop(tell_done);
    let late = watchdog.join().expect("the watchdog does not panic");
    ensure!(!late, "{shown}: not done within {PATIENCE:?}");
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::lines;
    use std::process::Command;

    #[test]
    fn both_outputs_are_read_in_order() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 3"]);
        let status = lines(&mut command, |line| seen.push(line.to_owned())).unwrap();
        assert_eq!(seen, ["one", "two", "three"]);
        assert_eq!(status.code(), Some(3));
    }
}
