//! What became of each test of a suite.
//!
//! Invariants: each test has one verdict, and a failure is not taken back by what is said later.

use super::skips::Skipped;
use serde::Serialize;
use std::collections::BTreeMap;

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "reason", rename_all = "lowercase")]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It did not, and this was seen.
    Failed(String),
    /// It was passed over, since it asks for this.
    Skipped(String),
}

/// All tests by name.
#[derive(Debug, Default)]
pub struct Verdicts(BTreeMap<String, Verdict>);

impl Verdicts {
    /// Notes that a test passed.
    pub fn passed(&mut self, test: &str) {
        self.0.entry(test.to_owned()).or_insert(Verdict::Passed);
    }

    /// Notes that a test failed; what was seen may come later, or not at all.
    pub fn failed(&mut self, test: &str, seen: &str) {
        let verdict = self.0.entry(test.to_owned()).or_insert(Verdict::Passed);
        match verdict {
            Verdict::Failed(reason) if seen.is_empty() || reason.contains(seen) => {}
            Verdict::Failed(reason) if !reason.is_empty() => *reason = format!("{reason}; {seen}"),
            _ => *verdict = Verdict::Failed(seen.to_owned()),
        }
    }

    /// Notes that a test passed over itself: nobody agreed to that.
    pub fn passed_over_itself(&mut self, test: &str, why: &str) {
        self.failed(
            test,
            &format!("it passes over itself, and the list does not name it: {why}"),
        );
    }

    /// Notes the tests that the suite was told to pass over.
    pub fn pass_over(&mut self, skipped: &[Skipped]) {
        for entry in skipped {
            let unknown = !self.0.contains_key(&entry.test);
            if unknown {
                self.0
                    .insert(entry.test.clone(), Verdict::Skipped(entry.reason.clone()));
            } else {
                self.failed(&entry.test, "it was to be passed over, and ran");
            }
        }
    }

    /// Notes whether fewer tests ran than the suite has.
    pub fn expect_at_least(&mut self, min: usize) {
        let ran = self
            .iter()
            .filter(|(_, verdict)| !matches!(verdict, Verdict::Skipped(_)));
        let ran = ran.count();
        if ran < min {
            self.failed(
                "all tests",
                &format!("{ran} ran, of at least {min} that there are"),
            );
        }
    }

    /// Whether none was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one failed.
    pub fn any_failed(&self) -> bool {
        self.iter()
            .any(|(_, verdict)| matches!(verdict, Verdict::Failed(_)))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Verdict)> {
        self.0.iter().map(|(test, verdict)| (test.as_str(), verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, Verdicts};

    fn of(verdicts: &Verdicts, test: &str) -> Verdict {
        verdicts.iter().find(|(name, _)| *name == test).unwrap().1.clone()
    }

    #[test]
    fn a_failure_is_not_taken_back() {
        let mut verdicts = Verdicts::default();
        verdicts.passed("t");
        verdicts.failed("t", "");
        verdicts.failed("t", "seen");
        verdicts.passed("t");
        assert_eq!(of(&verdicts, "t"), Verdict::Failed("seen".to_owned()));
    }

    #[test]
    fn tests_that_did_not_run_are_missed() {
        let mut verdicts = Verdicts::default();
        verdicts.passed("one");
        verdicts.failed("two", "");
        verdicts.expect_at_least(2);
        assert_eq!(verdicts.iter().count(), 2);
        verdicts.expect_at_least(3);
        let missed = Verdict::Failed("2 ran, of at least 3 that there are".to_owned());
        assert_eq!(of(&verdicts, "all tests"), missed);
    }

    #[test]
    fn a_test_that_passes_over_itself_has_failed() {
        let mut verdicts = Verdicts::default();
        verdicts.passed_over_itself("t", "no docker");
        assert!(verdicts.any_failed());
    }
}
