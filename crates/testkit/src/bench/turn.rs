//! One row, once, against one peer.

use super::amqp;
use super::figures::Figures;
use super::limits::{MESSAGE_BYTES, TURN_BYTES_MAX};
use super::peer::{Peer, Protocol};
use super::stage::Stage;
use super::workload::Workload;
use crate::generator::Variety;
use std::path::Path;
use std::time::Duration;

/// What turns have in common.
#[derive(Clone, Copy, Debug)]
pub struct TurnOptions {
    /// How long it is measured.
    pub length: Duration,
    /// Length of each body.
    pub body_len: usize,
    /// How much messages differ.
    pub variety: Variety,
    /// Messages of the backlog.
    pub backlog: u64,
}

impl TurnOptions {
    /// Most messages of one turn.
    pub fn count_max(&self) -> u64 {
        TURN_BYTES_MAX / (u64::try_from(self.body_len).unwrap_or(u64::MAX / 2) + MESSAGE_BYTES)
    }
}

/// What became of a turn.
#[derive(Debug)]
pub enum Outcome {
    /// It was measured.
    Measured(Figures),
    /// This peer has nothing that could be compared.
    NotComparable(&'static str),
}

/// Starts the peer on an empty folder below `work`, does the row, and kills the peer.
pub fn take(
    peer: &dyn Peer,
    workload: Workload,
    options: TurnOptions,
    work: &Path,
) -> anyhow::Result<Outcome> {
    let mut stage;
    match peer.protocol() {
        Protocol::Amqp(arguments) => {
            stage = Stage::set(peer, work)?;
            let turn = amqp::Turn::new(&mut stage, arguments, workload, options);
            turn.run().map(Outcome::Measured)
        }
        Protocol::Tool(tool) => {
            if let Err(why) = tool.suits(workload) {
                return Ok(Outcome::NotComparable(why));
            }
            stage = Stage::set(peer, work)?;
            tool.run(&stage, workload, options).map(Outcome::Measured)
        }
    }
}
