//! The tests that are passed over, each with its reason, and how many are left of each suite.
//!
//! Invariants:
//! - No entry without a reason, and none twice.
//! - A suite of which fewer tests ran than it is known to have has failed, and so has an entry for a test that it does not have.

use super::verdicts::Verdicts;
use anyhow::{Context, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A test that is passed over.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    suite: String,
    /// As its suite calls it.
    pub test: String,
    /// What it asks for that a broker does not have.
    pub reason: String,
}

/// All of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skips {
    #[serde(default)]
    skipped: Vec<Skipped>,
    /// How many tests of a suite run at least.
    #[serde(default)]
    tests_min: BTreeMap<String, usize>,
}

impl Skips {
    /// Reads the list.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| shown.to_string())?;
        Self::parse(&text).with_context(|| shown.to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let list: Self = toml::from_str(text)?;
        for (at, entry) in list.skipped.iter().enumerate() {
            ensure!(!entry.reason.trim().is_empty(), "{}: no reason", entry.test);
            let same = |other: &Skipped| other.suite == entry.suite && other.test == entry.test;
            ensure!(!list.skipped[..at].iter().any(same), "{}: twice", entry.test);
        }
        for (suite, &min) in &list.tests_min {
            ensure!(min > 0, "{suite}: a suite without tests shows nothing");
        }
        Ok(list)
    }

    /// How many tests of a suite run at least.
    pub fn tests_min(&self, suite: &str) -> anyhow::Result<usize> {
        let min = self.tests_min.get(suite).copied();
        min.with_context(|| format!("nobody says how many tests {suite} has"))
    }

    /// The suites that it names.
    pub fn suites(&self) -> impl Iterator<Item = &str> {
        let skipped = self.skipped.iter().map(|entry| &entry.suite);
        skipped.chain(self.tests_min.keys()).map(String::as_str)
    }

    /// The tests of one suite.
    pub fn of(&self, suite: &str) -> Vec<Skipped> {
        let own = self.skipped.iter().filter(|entry| entry.suite == suite);
        own.cloned().collect()
    }
}

/// Fails the entries for tests that a suite does not have, and returns the others.
pub fn existing(entries: Vec<Skipped>, tests: &BTreeSet<String>, verdicts: &mut Verdicts) -> Vec<Skipped> {
    // Python's tests may come with arguments behind their name.
    let exists = |entry: &Skipped| {
        tests
            .iter()
            .any(|test| test.split('[').next() == Some(&entry.test) || *test == entry.test)
    };
    let (existing, absent): (Vec<_>, Vec<_>) = entries.into_iter().partition(exists);
    for entry in absent {
        verdicts.failed(
            &entry.test,
            "the list passes it over, and the suite has no such test",
        );
    }
    existing
}

#[cfg(test)]
mod tests {
    use super::{Skips, Verdicts, existing};

    const ONE: &str = "[[skipped]]\nsuite = 's'\ntest = 't'\nreason = 'r'\n";

    #[test]
    fn an_entry_belongs_to_its_suite() {
        let skips = Skips::parse(ONE).unwrap();
        assert_eq!(skips.of("s").len(), 1);
        assert!(skips.of("other").is_empty());
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        assert!(Skips::parse(&ONE.replace("'r'", "' '")).is_err());
        assert!(Skips::parse("[[skipped]]\nsuite = 's'\ntest = 't'\n").is_err());
    }

    #[test]
    fn a_suite_has_tests_and_it_is_said_how_many() {
        assert!(Skips::parse("[tests_min]\ns = 0\n").is_err());
        let skips = Skips::parse(&[ONE, "[tests_min]\ns = 2\n"].concat()).unwrap();
        assert_eq!(skips.tests_min("s").unwrap(), 2);
        assert!(skips.tests_min("other").is_err());
    }

    #[test]
    fn an_entry_for_a_test_that_there_is_not_has_failed() {
        let entries = Skips::parse(ONE).unwrap().of("s");
        let with = |tests: &[&str]| {
            let (tests, mut verdicts) = (tests.iter().map(|&test| test.to_owned()), Verdicts::default());
            let left = existing(entries.clone(), &tests.collect(), &mut verdicts).len();
            (left, verdicts.any_failed())
        };
        assert_eq!(with(&["t", "u"]), (1, false));
        assert_eq!(with(&["t[one]", "t[two]"]), (1, false));
        assert_eq!(with(&["tt", "u"]), (0, true));
    }

    #[test]
    fn an_entry_stands_once() {
        assert!(Skips::parse(&[ONE, ONE].concat()).is_err());
    }
}
