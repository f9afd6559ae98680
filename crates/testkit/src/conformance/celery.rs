//! A smoke test of ours with Celery, whose own tests need far more than a broker: a worker, retries, countdown, groups.

use super::pytest;
use super::skips::Skipped;
use super::suite::{Place, Suite};
use super::verdicts::Verdicts;
use crate::broker_process::BrokerProcess;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const VERSION: &str = "5.7.0";
const PACKAGES: [&str; 4] = ["celery==5.7.0", "kombu==5.7.0", "amqp==5.4.2", "pytest==9.1.1"];

/// `tests/conformance/celery`.
pub struct Celery;

impl Suite for Celery {
    fn name(&self) -> &'static str {
        "celery"
    }

    fn prepare(&self, place: &Place) -> anyhow::Result<String> {
        pytest::environment(&place.folder, &PACKAGES)?;
        Ok(VERSION.to_owned())
    }

    fn tests(&self, place: &Place) -> anyhow::Result<BTreeSet<String>> {
        pytest::tests(&mut pytest_of(place))
    }

    fn run(
        &self,
        place: &Place,
        broker: &BrokerProcess,
        skipped: &[Skipped],
        verdicts: &mut Verdicts,
    ) -> anyhow::Result<()> {
        let mut command = pytest_of(place);
        command
            .env("AMQP_URL", format!("{}/", broker.url()))
            .env("WORKER_LOG", place.folder.join("worker.log"));
        pytest::run(&mut command, skipped, verdicts)
    }
}

fn pytest_of(place: &Place) -> Command {
    let interpreter = place.folder.join("environment/bin/python");
    let tests = Path::new("test_smoke.py");
    pytest::pytest(&interpreter, &place.sources.join("celery"), tests)
}
