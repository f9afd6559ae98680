//! Kafka, fetched through Maven, as one node that syncs every append before it is acknowledged.
//!
//! Invariant: versions are those of `benches/peers/kafka/pom.xml`; nothing is fetched but what it names and needs.

use super::Places;
use crate::bench::machine::first_line;
use crate::bench::peer::{Peer, Protocol};
use crate::bench::server::{Server, command, free_address};
use crate::bench::tool::Tool;
use anyhow::{Context, ensure};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

/// As Kafka's own start script sets it.
const HEAP: [&str; 2] = ["-Xms1g", "-Xmx1g"];
/// Any 16 bytes in base64.
const CLUSTER: &str = "bG9ncG9uZC1iZW5jaC0wMQ";

/// A topic with one partition.
pub struct Kafka {
    class_path: OsString,
    version: String,
    tool: Tool,
}

impl Kafka {
    /// Fetches it, if Java and Maven are there, and compiles the client.
    pub fn find(places: &Places) -> anyhow::Result<Self> {
        let sources = places.sources.join("kafka");
        let built = places.built.join("kafka");
        let (jars, classes) = (built.join("jars"), built.join("classes"));
        std::fs::create_dir_all(&classes)?;
        let mut maven = Command::new("mvn");
        maven
            .args(["--batch-mode", "--quiet", "dependency:copy-dependencies"])
            .arg("--file")
            .arg(sources.join("pom.xml"))
            .arg(property("maven.repo.local", &built.join("repository")))
            .arg(property("outputDirectory", &jars));
        run(&mut maven).context("Maven cannot fetch it")?;
        let mut class_path = jars.join("*").into_os_string();
        class_path.push(":");
        class_path.push(&classes);
        let mut compiler = Command::new("javac");
        compiler
            .arg("-cp")
            .arg(&class_path)
            .arg("-d")
            .arg(&classes)
            .arg(sources.join("Load.java"));
        run(&mut compiler).context("the client cannot be compiled")?;
        let mut command = vec!["java".into(), "-cp".into(), class_path.clone()];
        command.push("Load".into());
        Ok(Self {
            version: format!("Kafka {} (Maven), {}", version(&jars)?, java()?),
            class_path,
            tool: Tool { command },
        })
    }

    fn java(&self, folder: &Path, class: &str) -> Command {
        let mut command = command("java");
        command
            .args(HEAP)
            .arg("-cp")
            .arg(&self.class_path)
            .arg(property("kafka.logs.dir", &folder.join("logs")))
            .arg(class);
        command
    }
}

/// With stdout on stderr: stdout is for results.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("{} is not installed", command.get_program().to_string_lossy()))?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

fn property(name: &str, path: &Path) -> OsString {
    let mut word = OsString::from(format!("-D{name}="));
    word.push(path);
    word
}

/// From the name of the broker's own archive.
fn version(jars: &Path) -> anyhow::Result<String> {
    for entry in std::fs::read_dir(jars)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let version = name
            .strip_prefix("kafka-clients-")
            .and_then(|rest| rest.strip_suffix(".jar"));
        if let Some(version) = version {
            return Ok(version.to_owned());
        }
    }
    anyhow::bail!("Maven brought no kafka-clients")
}

fn java() -> anyhow::Result<String> {
    first_line(Command::new("java").arg("--version"))
}

impl Peer for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn confirm_means(&self) -> &'static str {
        "written and synced (`flush.messages=1`, `acks=all`), one sync for each batch of the client"
    }

    fn remarks(&self) -> &'static str {
        "One node (KRaft), one topic with one partition, heap 1 GiB, Kafka's own Java client without linger, with batches of \
         up to 512 KiB instead of 16: each of them is a sync. A drain commits its offset every 100 messages; what is consumed stays in the topic."
    }

    fn start(&self, folder: &Path) -> anyhow::Result<Server> {
        let (address, controller) = (free_address()?, free_address()?);
        let configuration = folder.join("server.properties");
        let data = folder.join("data");
        let lines = [
            "process.roles=broker,controller".to_owned(),
            "node.id=1".into(),
            format!("listeners=PLAINTEXT://{address},CONTROLLER://{controller}"),
            format!("advertised.listeners=PLAINTEXT://{address}"),
            "controller.listener.names=CONTROLLER".into(),
            format!("controller.quorum.voters=1@{controller}"),
            format!("log.dirs={}", data.display()),
            "num.partitions=1".into(),
            "offsets.topic.replication.factor=1".into(),
            "offsets.topic.num.partitions=1".into(),
            "transaction.state.log.replication.factor=1".into(),
            "transaction.state.log.min.isr=1".into(),
            "group.initial.rebalance.delay.ms=0".into(),
            "log.flush.interval.messages=1".into(),
        ];
        std::fs::write(&configuration, lines.join("\n"))?;
        if !data.exists() {
            let mut format = self.java(folder, "kafka.tools.StorageTool");
            format
                .args(["format", "--cluster-id", CLUSTER, "--config"])
                .arg(&configuration);
            run(&mut format).context("its storage cannot be formatted")?;
        }
        let mut command = self.java(folder, "kafka.Kafka");
        command.arg(&configuration);
        Server::start(&mut command, Vec::new(), address, folder.join("log"))
    }

    fn protocol(&self) -> Protocol<'_> {
        Protocol::Tool(&self.tool)
    }
}
