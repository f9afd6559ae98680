//! Recovers what a power cut left, with the released broker, and takes out what it holds.
//!
//! Invariants:
//! - Nothing is acknowledged, so that a second recovery must find the same as the first, in the same order.
//! - No recovery of an image may speak of damage: nothing was damaged, only unsynced bytes are missing.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use logpond_amqp::method::basic;

use super::deliveries::Deliveries;
use super::expectation::{Contents, Found};
use super::message::{Messages, QUEUES};
use super::mount::Mount;
use super::settings::{DATA, broker_settings};
use crate::broker_process::{BrokerProcess, Launch};
use crate::command::run;
use crate::generator::{CHANNEL, Connection, Numbered, Target, short};

/// Messages asked for before the first is waited for.
const GETS_AT_ONCE: usize = 50;
/// Where the store keeps evacuated segments.
const EVACUATED: &str = "shard-00/c";
/// What the broker said while it recovered, in the folder of the recovery.
pub const LOG: &str = "broker.log";

/// What two recoveries of an image came to.
#[derive(Debug)]
pub struct Recovered {
    /// What the queues held after the first.
    pub contents: Contents,
    /// What is wrong with the recoveries themselves, if anything.
    pub complaint: Option<String>,
    /// Evacuated segments.
    pub evacuated: usize,
}

/// Recovers an image twice. An error says that it cannot be recovered at all.
pub fn recover(
    image: &Path,
    folder: &Path,
    write_mode: &str,
    messages: Messages,
) -> anyhow::Result<Recovered> {
    let told = folder.join(LOG);
    if told.exists() {
        std::fs::remove_file(&told)?;
    }
    let mount = Mount::new(image, &folder.join("mounted")).context("the file system")?;
    let mut launch = Launch::from_environment(&mount.path().join(DATA))?;
    for setting in broker_settings(write_mode) {
        launch = launch.set(setting);
    }
    // What the guest's broker logged is not of interest, and may be torn.
    if launch.log().exists() {
        std::fs::remove_file(launch.log())?;
    }
    let recovered = recover_mounted(&launch, messages);
    // For whoever looks into it; the log itself lies on the image.
    std::fs::copy(launch.log(), &told)?;
    let recovered = recovered?;
    mount.close()?;
    Ok(recovered)
}

fn recover_mounted(launch: &Launch, messages: Messages) -> anyhow::Result<Recovered> {
    let mut broker = launch.start_and_wait().context("the first recovery")?;
    let contents = drain(&broker, messages).context("after the first recovery")?;
    broker.kill()?;
    let broker = launch.start_and_wait().context("the second recovery")?;
    let second = drain(&broker, messages).context("after the second recovery")?;
    broker.stop()?;
    let mut complaint = (contents != second).then(|| difference(&contents, &second));
    let log = std::fs::read_to_string(launch.log())?;
    let error = log.lines().find(|line| line.contains(" ERROR "));
    complaint = complaint.or_else(|| error.map(|line| format!("the log says: {line}")));
    let program = std::env::var_os("LOGPOND_BIN").context("LOGPOND_BIN does not name a broker binary")?;
    let verified = run(Command::new(program)
        .args(["verify", "--data"])
        .arg(launch.data()));
    complaint = complaint.or_else(|| verified.err().map(|error| format!("{error:#}")));
    let evacuated = launch.data().join(EVACUATED);
    Ok(Recovered {
        contents,
        complaint,
        evacuated: std::fs::read_dir(evacuated).map_or(0, Iterator::count),
    })
}

/// Everything that is in the queues, in order. Each message is asked for by itself, so that it does not matter how many the
/// broker believes to have.
fn drain(broker: &BrokerProcess, messages: Messages) -> anyhow::Result<Contents> {
    let mut contents = Contents::default();
    for (queue, contents) in QUEUES.into_iter().zip(&mut contents) {
        let mut connection = Connection::open(&Target::guest(broker.address()))?;
        connection.declare(queue)?;
        let mut gets = Vec::new();
        for _ in 0..GETS_AT_ONCE {
            let queue = short(queue)?;
            basic::Get { queue, no_ack: false }.encode(CHANNEL, &mut gets);
        }
        let mut deliveries = Deliveries::default();
        while deliveries.empty() == 0 {
            connection.send(&gets)?;
            let asked = contents.len() + GETS_AT_ONCE;
            while contents.len() + deliveries.empty() < asked {
                while let Some(delivery) = deliveries.next_here(&mut connection)? {
                    contents.push(found(&delivery.body, messages));
                }
                if contents.len() + deliveries.empty() < asked {
                    connection.fill()?;
                }
            }
        }
        connection.close()?;
    }
    Ok(contents)
}

fn found(body: &[u8], messages: Messages) -> Found {
    match Numbered::of(body) {
        Some(Numbered(number)) if messages.body(number) == body => Found::Whole(number),
        _ => Found::Damaged,
    }
}

fn difference(first: &Contents, second: &Contents) -> String {
    let queues = QUEUES.iter().zip(first.iter().zip(second));
    let differing = queues.filter(|(_, (first, second))| first != second);
    let told = differing.map(|(queue, (first, second))| {
        let at = first.iter().zip(second).take_while(|(a, b)| a == b).count();
        format!(
            "{queue} held {} messages after the first recovery and {} after the second, the first difference is at {at}",
            first.len(),
            second.len()
        )
    });
    told.collect::<Vec<_>>().join("; ")
}
