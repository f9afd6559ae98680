//! Debian's `amqp-tools`, the command line of rabbitmq-c: what they do with a broker, and whether they notice when they cannot.
//!
//! They carry no tests; the cases are ours.

use super::skips::Skipped;
use super::suite::{Place, Suite};
use super::verdicts::Verdicts;
use crate::broker_process::BrokerProcess;
use crate::debian;
use anyhow::ensure;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PACKAGES: [&str; 3] = ["amqp-tools", "librabbitmq4", "libpopt0"];
/// Where they lie in the suite's folder.
const UNPACKED: &str = "debian";
/// Longest that a tool may take, for `timeout`.
const SECONDS_MAX: &str = "60";

/// `amqp-publish`, `amqp-consume` and the smaller ones.
pub struct AmqpTools;

impl Suite for AmqpTools {
    fn name(&self) -> &'static str {
        "amqp-tools"
    }

    /// The newest version that Debian has: it keeps no others.
    fn prepare(&self, place: &Place) -> anyhow::Result<String> {
        let names = || Ok(PACKAGES.map(str::to_owned).to_vec());
        debian::unpack(&place.folder.join(UNPACKED), names)?.version(PACKAGES[0])
    }

    fn tests(&self, _place: &Place) -> anyhow::Result<BTreeSet<String>> {
        Ok(CASES.iter().map(|(name, _)| (*name).to_owned()).collect())
    }

    fn run(
        &self,
        place: &Place,
        broker: &BrokerProcess,
        _skipped: &[Skipped],
        verdicts: &mut Verdicts,
    ) -> anyhow::Result<()> {
        let tools = Tools {
            root: place.folder.join(UNPACKED).join(debian::ROOT),
            // A slash behind it would name the virtual host of no name.
            url: broker.url().trim_end_matches('/').to_owned(),
        };
        for (name, case) in CASES {
            match case(&tools) {
                Ok(()) => {
                    eprintln!("passed  {name}");
                    verdicts.passed(name);
                }
                Err(error) => {
                    eprintln!("FAILED  {name}: {error:#}");
                    verdicts.failed(name, &format!("{error:#}"));
                }
            }
        }
        Ok(())
    }
}

type Case = fn(&Tools) -> anyhow::Result<()>;

/// Each with queues of its own.
const CASES: [(&str, Case); 7] = [
    ("a body that is published is got", |tools| {
        tools.declare("body")?;
        tools.output("publish", &["-r", "body", "-p", "-b", "one pallet"])?;
        tools.expect("get", &["-q", "body"], "one pallet")?;
        tools.refused("get", &["-q", "body"], "")
    }),
    ("each line is a message", |tools| {
        tools.declare("lines")?;
        let publish = tools.command("publish", &["-r", "lines", "-l"]);
        fed(publish, b"one\ntwo\nthree\n")?;
        tools.expect(
            "consume",
            &["-q", "lines", "-c", "3", "-p", "1", "cat"],
            "one\ntwo\nthree\n",
        )
    }),
    ("a large body comes back whole", |tools| {
        tools.declare("large")?;
        let body = vec![b'x'; 3_000_000];
        fed(tools.command("publish", &["-r", "large", "-p"]), &body)?;
        let got = tools.output("consume", &["-q", "large", "-c", "1", "cat"])?;
        ensure!(got.as_bytes() == body, "{} octets came back", got.len());
        Ok(())
    }),
    ("an exchange routes to the queue that is bound", |tools| {
        // amqp-consume declares and binds its queue, and does not say when it has.
        let bind = ["-q", "bound", "-e", "amq.topic", "-r", "a.#", "-c", "1", "cat"];
        let mut consumer = tools.command("consume", &bind);
        let mut consumer = consumer.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        while consumer.try_wait()?.is_none() {
            tools.output("publish", &["-e", "amq.topic", "-r", "b.a", "-b", "nobody's"])?;
            tools.output("publish", &["-e", "amq.topic", "-r", "a.b", "-b", "its own"])?;
        }
        let output = consumer.wait_with_output()?;
        ensure!(output.stdout == b"its own", "{output:?}");
        Ok(())
    }),
    (
        "a consumer without acknowledgements takes what it says",
        |tools| {
            tools.declare("unacknowledged")?;
            let publish = tools.command("publish", &["-r", "unacknowledged", "-l"]);
            fed(publish, b"one\ntwo\n")?;
            let consume = ["-q", "unacknowledged", "-A", "-c", "2", "cat"];
            tools.expect("consume", &consume, "one\ntwo\n")
        },
    ),
    ("a missing queue is told", |tools| {
        tools.refused("get", &["-q", "missing"], "NOT_FOUND - no queue 'missing'")?;
        tools.refused(
            "consume",
            &["-q", "missing", "-c", "1", "cat"],
            "NOT_FOUND - no queue 'missing'",
        )
    }),
    ("a queue that is in use is not deleted", |tools| {
        tools.declare("kept")?;
        tools.output("publish", &["-r", "kept", "-b", "x"])?;
        tools.refused("delete-queue", &["-q", "kept", "-e"], "PRECONDITION_FAILED")?;
        tools.output("delete-queue", &["-q", "kept"])?;
        tools.refused("get", &["-q", "kept"], "NOT_FOUND")
    }),
];

struct Tools {
    root: PathBuf,
    url: String,
}

impl Tools {
    fn command(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command
            .arg(SECONDS_MAX)
            .arg(self.root.join(format!("usr/bin/amqp-{tool}")))
            .args(["-u", &self.url])
            .args(arguments)
            .env("LD_LIBRARY_PATH", libraries(&self.root));
        command
    }

    fn declare(&self, queue: &str) -> anyhow::Result<()> {
        self.output("declare-queue", &["-q", queue, "-d"]).map(drop)
    }

    /// What a tool says that must succeed.
    fn output(&self, tool: &str, arguments: &[&str]) -> anyhow::Result<String> {
        succeeded(&self.command(tool, arguments).stdin(Stdio::null()).output()?)
    }

    fn expect(&self, tool: &str, arguments: &[&str], expected: &str) -> anyhow::Result<()> {
        let said = self.output(tool, arguments)?;
        ensure!(said == expected, "amqp-{tool} {arguments:?} said {said:?}");
        Ok(())
    }

    /// A tool that must fail, and say why.
    fn refused(&self, tool: &str, arguments: &[&str], why: &str) -> anyhow::Result<()> {
        let output = self.command(tool, arguments).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && said.contains(why),
            "amqp-{tool} {arguments:?}: {}, {said:?}",
            output.status
        );
        Ok(())
    }
}

/// Runs a tool that reads its input and must succeed.
fn fed(mut command: Command, input: &[u8]) -> anyhow::Result<()> {
    let mut file = tempfile::tempfile()?;
    std::io::Write::write_all(&mut file, input)?;
    std::io::Seek::rewind(&mut file)?;
    succeeded(&command.stdin(file).output()?).map(drop)
}

fn succeeded(output: &Output) -> anyhow::Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said:?}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The folder of each architecture that there is; there is one.
fn libraries(root: &Path) -> String {
    let entries = std::fs::read_dir(root.join("usr/lib")).into_iter().flatten();
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path().display().to_string()));
    folders.collect::<Vec<_>>().join(":")
}
