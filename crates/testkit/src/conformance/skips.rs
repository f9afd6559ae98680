//! The tests that are passed over, each with its reason.
//!
//! Invariant: no entry without a reason, and none twice.

use anyhow::{Context, ensure};
use serde::Deserialize;
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
        Ok(list)
    }

    /// The suites that it names.
    pub fn suites(&self) -> impl Iterator<Item = &str> {
        self.skipped.iter().map(|entry| entry.suite.as_str())
    }

    /// The tests of one suite.
    pub fn of(&self, suite: &str) -> Vec<Skipped> {
        let own = self.skipped.iter().filter(|entry| entry.suite == suite);
        own.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Skips;

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
    fn an_entry_stands_once() {
        assert!(Skips::parse(&[ONE, ONE].concat()).is_err());
    }
}
