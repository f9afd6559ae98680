//! The rows over AMQP 0-9-1, by the project's own generator.
//!
//! Invariants:
//! - What a row prepares (queues, backlogs, connections) is outside of the measured time.
//! - Each row ends with all of its messages accounted for: confirmed, counted in a queue, or consumed.

mod backlog;
mod both;
mod drain;
mod fan_out;
mod idle;
mod publish;
mod topology;

use super::figures::Figures;
use super::stage::Stage;
use super::turn::TurnOptions;
use super::workload::Workload;
use crate::generator::{BlastOptions, Clock, Connection, Delivery, Stamps, Tape, Target, blast};
use std::time::Instant;
use topology::Topology;

/// A turn: a row, on a broker that has just been started.
pub struct Turn<'t, 'p> {
    stage: &'t mut Stage<'p>,
    arguments: &'p [(&'static str, &'static str)],
    workload: Workload,
    options: TurnOptions,
}

impl<'t, 'p> Turn<'t, 'p> {
    /// Prepares one.
    pub fn new(
        stage: &'t mut Stage<'p>,
        arguments: &'p [(&'static str, &'static str)],
        workload: Workload,
        options: TurnOptions,
    ) -> Self {
        Self {
            stage,
            arguments,
            workload,
            options,
        }
    }

    /// Does it.
    pub fn run(mut self) -> anyhow::Result<Figures> {
        // Memory is what an idle broker is about, and traffic leaves some behind.
        if self.workload != Workload::Idle {
            self.warm_up()?;
        }
        match self.workload {
            Workload::PublishTransient => self.publish_transient(),
            Workload::Confirms { in_flight } => self.confirms(1, in_flight),
            Workload::Queues { queues } => self.confirms(queues, super::limits::IN_FLIGHT),
            Workload::Connections { connections } => self.connections(connections),
            Workload::DrainWarm => self.drain_warm(),
            Workload::DrainCold => self.drain_cold(),
            Workload::Both | Workload::OpenLoop(_) => self.both(),
            Workload::FanOut { queues } => self.fan_out(queues),
            Workload::Backlog => self.backlog(),
            Workload::Idle => self.idle(),
        }
    }

    /// Unmeasured traffic through a queue of its own.
    fn warm_up(&mut self) -> anyhow::Result<()> {
        let topology = Topology::of_queues("warm", 1);
        let mut connection = self.open()?;
        topology.declare(&mut connection, self.arguments)?;
        connection.select_confirms()?;
        let mut tape = self.tape(&topology, Delivery::Persistent, &connection)?;
        let options = BlastOptions {
            in_flight: Some(super::limits::IN_FLIGHT),
            deadline: Some(Instant::now() + super::limits::WARM_UP),
            ..self.blast_options()
        };
        blast(&mut connection, &mut tape, &options)?;
        topology.delete(&mut connection)?;
        connection.close()
    }

    fn open(&self) -> anyhow::Result<Connection> {
        Connection::open(&Target::guest(self.stage.server()?.address()))
    }

    fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.stage.server()?.pid())
    }

    fn tape(&self, topology: &Topology, delivery: Delivery, connection: &Connection) -> anyhow::Result<Tape> {
        Tape::new(&topology.tape(
            self.options.variety,
            self.options.body_len,
            delivery,
            connection.frame_bytes_max(),
        ))
    }

    /// Until the turn's time is over or its bytes are sent.
    fn blast_options(&self) -> BlastOptions {
        BlastOptions {
            in_flight: None,
            count: self.options.count_max(),
            deadline: Some(Instant::now() + self.options.length),
            rate: None,
            stamps: Stamps::None,
            clock: Clock::start(),
        }
    }
}
