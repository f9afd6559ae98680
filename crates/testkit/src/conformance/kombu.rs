//! kombu's tests of its AMQP transport, from its source package.

use super::pytest;
use super::skips::Skipped;
use super::suite::{Place, Suite};
use super::verdicts::Verdicts;
use crate::broker_process::BrokerProcess;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const VERSION: &str = "5.7.0";
const PACKAGES: [&str; 3] = ["kombu==5.7.0", "amqp==5.4.2", "pytest==9.1.1"];

/// `t/integration/test_py_amqp.py`.
pub struct Kombu;

impl Suite for Kombu {
    fn name(&self) -> &'static str {
        "kombu"
    }

    fn prepare(&self, place: &Place) -> anyhow::Result<String> {
        let interpreter = pytest::environment(&place.folder, &PACKAGES)?;
        pytest::source(&place.folder, &interpreter, PACKAGES[0])?;
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
        let address = broker.address();
        command
            .env("RABBITMQ_HOST", address.ip().to_string())
            .env("RABBITMQ_5672_TCP", address.port().to_string());
        pytest::run(&mut command, skipped, verdicts)
    }
}

fn pytest_of(place: &Place) -> Command {
    let interpreter = place.folder.join("environment/bin/python");
    let tests = Path::new("t/integration/test_py_amqp.py");
    pytest::pytest(&interpreter, &place.folder.join("source"), tests)
}
