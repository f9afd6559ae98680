//! What strace saw of one run: the fault, what was confirmed, and the broker's end.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

use crate::trace::{Event, Judge, Reader, Verdict};

/// What was seen.
#[derive(Debug, Default)]
pub struct Witness {
    /// Syncs and confirms, in order.
    pub verdict: Verdict,
    /// The call that failed, and the time of day.
    pub fired: Option<(String, Duration)>,
    /// Messages confirmed before it.
    pub confirmed_before: u64,
    /// How the broker ended, as strace says it, and the time of day.
    pub end: Option<(String, Duration)>,
}

impl Witness {
    /// Reads a trace of the process `pid`.
    pub fn read(trace: &Path, pid: u32) -> anyhow::Result<Self> {
        let mut witness = Self::default();
        let (mut reader, mut judge) = (Reader::default(), Judge::default());
        let mut calls = HashMap::new();
        for line in BufReader::new(File::open(trace)?).lines() {
            let line = line?;
            for event in reader.events(&line) {
                if let Event::Began(call) = &event {
                    calls.insert(call.thread, format!("{} of {}", call.name, call.file));
                }
                judge.see(event);
            }
            if witness.fired.is_none() {
                witness.confirmed_before = judge.confirmed();
            }
            witness.note(&line, pid, &calls);
        }
        witness.verdict = judge.verdict();
        Ok(witness)
    }

    /// How long the broker lived after the fault.
    pub fn survived(&self) -> Option<Duration> {
        let ((_, fired), (_, end)) = (self.fired.as_ref()?, self.end.as_ref()?);
        // The clock of the trace begins anew at midnight.
        let day = Duration::from_secs(86_400);
        Some(end.checked_sub(*fired).unwrap_or_else(|| *end + day - *fired))
    }

    fn note(&mut self, line: &str, pid: u32, calls: &HashMap<u32, String>) {
        let mut words = line.split_whitespace();
        let thread = words.next().and_then(|word| word.parse().ok());
        let (Some(thread), Some(time)) = (thread, words.next().and_then(time_of_day)) else {
            return;
        };
        if is_fault(line) {
            let what = calls.get(&thread).cloned();
            self.fired = Some((what.unwrap_or_else(|| "a call".to_owned()), time));
        }
        if thread == pid
            && let Some((_, end)) = line.split_once("+++ ")
        {
            self.end = Some((end.trim_end_matches(" +++").to_owned(), time));
        }
    }
}

/// Whether strace had its hand in the call.
pub fn is_fault(line: &str) -> bool {
    line.ends_with("(INJECTED)") || line.ends_with("(DELAYED)")
}

/// `12:34:56.123456`
fn time_of_day(text: &str) -> Option<Duration> {
    let mut parts = text.split(':');
    let (hours, minutes) = (
        parts.next()?.parse::<u64>().ok()?,
        parts.next()?.parse::<u64>().ok()?,
    );
    let seconds = parts.next()?.parse::<f64>().ok()?;
    Some(Duration::from_secs(hours * 3600 + minutes * 60) + Duration::try_from_secs_f64(seconds).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn witness(lines: &[&str]) -> Witness {
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("trace");
        std::fs::write(&trace, lines.join("\n")).unwrap();
        Witness::read(&trace, 7).unwrap()
    }

    #[test]
    fn the_failed_call_is_named_even_when_strace_cut_it_in_two() {
        let seen = witness(&[
            r"9 23:59:59.900000 fdatasync(4<\x2f\x61> <unfinished ...>",
            "8 23:59:59.950000 fdatasync(5</b>) = 0",
            "9 23:59:59.960000 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)",
            "7 00:00:00.060000 +++ exited with 1 +++",
        ]);
        assert_eq!(seen.fired.as_ref().unwrap().0, "fdatasync of /a");
        assert_eq!(seen.end.as_ref().unwrap().0, "exited with 1");
        assert_eq!(seen.survived(), Some(Duration::from_millis(100)));
        assert_eq!(seen.verdict.failed_syncs, 1);
    }

    #[test]
    fn another_thread_of_the_broker_that_ends_is_not_its_end() {
        let seen = witness(&["8 10:00:00.000000 +++ exited with 0 +++"]);
        assert!(seen.end.is_none() && seen.fired.is_none());
    }
}
