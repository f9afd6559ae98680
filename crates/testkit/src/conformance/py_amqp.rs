//! py-amqp's integration tests, plain and encrypted, from its source package.

use super::skips::Skipped;
use super::suite::{Place, Suite};
use super::verdicts::Verdicts;
use super::{certificates, pytest};
use crate::broker_process::BrokerProcess;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "5.4.2";
const PACKAGES: [&str; 2] = ["amqp==5.4.2", "pytest==8.0.0"];

/// `t/integration`.
pub struct PyAmqp;

impl Suite for PyAmqp {
    fn name(&self) -> &'static str {
        "py-amqp"
    }

    fn prepare(&self, place: &Place) -> anyhow::Result<String> {
        let interpreter = pytest::environment(&place.folder, &PACKAGES)?;
        pytest::source(&place.folder, &interpreter, PACKAGES[0])?;
        // The tests name certificates that the package does not carry.
        let folder = certificates_of(place);
        certificates::make(&folder)?;
        let broken = [
            ("client_certificate.pem", "client_certificate_broken.pem"),
            ("server_key.pem", "client_key_broken.pem"),
        ];
        for (from, to) in broken {
            std::fs::copy(folder.join(from), folder.join(to))?;
        }
        Ok(VERSION.to_owned())
    }

    fn settings(&self, place: &Place) -> Vec<String> {
        let file = |name| certificates_of(place).join(name).display().to_string();
        vec![
            "tls.listen=['127.0.0.1:0']".to_owned(),
            format!("tls.certificate={}", file("server_certificate.pem")),
            format!("tls.key={}", file("server_key.pem")),
            format!("tls.client_ca={}", file("ca_certificate.pem")),
        ]
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
            .env("RABBITMQ_5672_TCP", address.port().to_string())
            .env("RABBITMQ_5671_TCP", broker.further_address()?.port().to_string());
        pytest::run(&mut command, skipped, verdicts)
    }
}

fn pytest_of(place: &Place) -> Command {
    let interpreter = place.folder.join("environment/bin/python");
    let tests = Path::new("t/integration");
    pytest::pytest(&interpreter, &place.folder.join("source"), tests)
}

fn certificates_of(place: &Place) -> PathBuf {
    place.folder.join("source/t/certs")
}
