//! What a suite has to know of itself.

use super::skips::Skipped;
use super::verdicts::Verdicts;
use crate::broker_process::BrokerProcess;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Where a suite works.
pub struct Place {
    /// All that it fetches and makes; it outlives the run.
    pub folder: PathBuf,
    /// What is ours of it.
    pub sources: PathBuf,
}

/// A test suite of a published client.
pub trait Suite: Sync {
    /// What it is called, also in the list of what is passed over.
    fn name(&self) -> &'static str;

    /// Fetches it with everything that it needs, and says which version came.
    fn prepare(&self, place: &Place) -> anyhow::Result<String>;

    /// All tests that it has, as it calls them. It was prepared before.
    fn tests(&self, place: &Place) -> anyhow::Result<BTreeSet<String>>;

    /// Settings of its broker.
    fn settings(&self, _place: &Place) -> Vec<String> {
        Vec::new()
    }

    /// Runs it, but for what is passed over. An error means that it could not be looked at.
    fn run(
        &self,
        place: &Place,
        broker: &BrokerProcess,
        skipped: &[Skipped],
        verdicts: &mut Verdicts,
    ) -> anyhow::Result<()>;
}
