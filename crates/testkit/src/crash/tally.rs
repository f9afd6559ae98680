//! What was found wrong: counted in full, the first ones kept in words.

use super::ledger::{Violation, ViolationKind};
use std::collections::BTreeMap;

/// How many violations are kept in words. A broker that loses everything must not fill the memory.
const KEPT_MAX: usize = 100;

/// Violations.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<ViolationKind, u64>,
    first: Vec<Violation>,
}

impl Tally {
    /// Adds one.
    pub fn add(&mut self, violation: Violation) {
        *self.counts.entry(violation.kind()).or_default() += 1;
        if self.first.len() < KEPT_MAX {
            self.first.push(violation);
        }
    }

    /// How many there are of a kind.
    pub fn count(&self, kind: ViolationKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// The first ones, of all kinds.
    pub fn first(&self) -> &[Violation] {
        &self.first
    }
}
