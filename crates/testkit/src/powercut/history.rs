//! The marks in a log of writes: what clients knew at each moment of it.
//!
//! Invariant: serial numbers rise by one from mark to mark, or the log is refused: a mark that is missing or out of order
//! would make a wrong judge of it.

use anyhow::{Context, ensure};

use super::expectation::Expectation;
use super::mark::Mark;
use super::settings::MARK_AT;
use super::write_log::{Operation, SECTOR_BYTES, WriteLog};

/// Marks, and the number of operations up to and with each.
pub struct History {
    marks: Vec<(usize, Mark)>,
}

impl History {
    /// Finds the marks.
    pub fn of(log: &WriteLog) -> anyhow::Result<Self> {
        let mut marks: Vec<(usize, Mark)> = Vec::new();
        for (index, operation) in log.operations().iter().enumerate() {
            let Operation::Write(write) = operation else {
                continue;
            };
            if write.sector != MARK_AT / SECTOR_BYTES {
                continue;
            }
            let mark = Mark::of(&log.data(write)?).context("something else was written where marks stand")?;
            let expected = marks.last().map_or(mark.serial, |(_, last)| last.serial + 1);
            ensure!(mark.serial == expected, "mark {} follows {expected}", mark.serial);
            marks.push((index + 1, mark));
        }
        Ok(Self { marks })
    }

    /// How many marks there are.
    pub fn mark_count(&self) -> usize {
        self.marks.len()
    }

    /// What a cut behind so many operations must leave.
    pub fn expectation_at(&self, operations: usize) -> Expectation {
        let before = self.marks.iter().take_while(|(end, _)| *end <= operations);
        Expectation::of(before.map(|(_, mark)| *mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::powercut::settings::DISK_BYTES;
    use crate::powercut::write_log::recorded::Recorded;

    fn history(marks: &[Mark]) -> anyhow::Result<History> {
        let mut recorded = Recorded::default();
        for mark in marks {
            recorded.entry([MARK_AT / SECTOR_BYTES, 1, 0, 0], &mark.bytes());
            recorded.flush();
        }
        let folder = tempfile::tempdir()?;
        History::of(&recorded.open(folder.path(), DISK_BYTES)?)
    }

    fn mark(serial: u64) -> Mark {
        Mark {
            serial,
            confirmed: 10 * serial,
            ..Mark::default()
        }
    }

    #[test]
    fn a_cut_right_behind_a_mark_counts_it_and_one_before_does_not() {
        let history = history(&[mark(1), mark(2)]).unwrap();
        let confirmed = [0, 1, 2, 3, 4].map(|at| history.expectation_at(at).confirmed());
        assert_eq!(confirmed, [0, 10, 10, 20, 20]);
    }

    #[test]
    fn a_missing_mark_is_an_error() {
        assert!(history(&[mark(1), mark(3)]).is_err());
        assert!(history(&[mark(2), mark(1)]).is_err());
    }
}
