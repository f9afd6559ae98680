//! Rows that publish: without confirms, with them, to many queues, over many connections.

use super::{Topology, Turn};
use crate::bench::figures::Figures;
use crate::bench::limits::IN_FLIGHT_EACH;
use crate::bench::meter::Meter;
use crate::generator::{BlastOptions, Clock, Delivery, blast, sail};
use anyhow::ensure;
use std::time::Instant;

impl Turn<'_, '_> {
    pub(super) fn publish_transient(&mut self) -> anyhow::Result<Figures> {
        let topology = Topology::of_queues("publish", 1);
        let mut connection = self.open()?;
        topology.declare(&mut connection, self.arguments)?;
        let mut watcher = self.open()?;
        let mut tape = self.tape(&topology, Delivery::Transient, &connection)?;
        let (meter, start) = (Meter::start(self.pid()?), Instant::now());
        let sent = blast(&mut connection, &mut tape, &self.blast_options())?.sent;
        topology.settle(&mut watcher, sent)?;
        let mut figures = Figures::of(sent, self.options.body_len, start.elapsed());
        meter.stop(&mut figures);
        Ok(figures)
    }

    pub(super) fn confirms(&mut self, queues: usize, in_flight: u64) -> anyhow::Result<Figures> {
        let topology = Topology::of_queues("confirms", queues);
        let mut connection = self.open()?;
        topology.declare(&mut connection, self.arguments)?;
        connection.select_confirms()?;
        let mut tape = self.tape(&topology, Delivery::Persistent, &connection)?;
        let meter = Meter::start(self.pid()?);
        let options = BlastOptions {
            in_flight: Some(in_flight),
            ..self.blast_options()
        };
        let blasted = blast(&mut connection, &mut tape, &options)?;
        ensure!(blasted.refused == 0, "{} messages were refused", blasted.refused);
        let mut figures = Figures::of(blasted.sent, self.options.body_len, blasted.elapsed)
            .with_latency("confirm", &blasted.latency);
        meter.stop(&mut figures);
        Ok(figures)
    }

    pub(super) fn connections(&mut self, count: usize) -> anyhow::Result<Figures> {
        let topology = Topology::of_queues("connections", 1);
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            let mut connection = self.open()?;
            connection.select_confirms()?;
            connections.push(connection);
        }
        topology.declare(&mut connections[0], self.arguments)?;
        let tape = self.tape(&topology, Delivery::Persistent, &connections[0])?;
        let meter = Meter::start(self.pid()?);
        let deadline = Instant::now() + self.options.length;
        let voyage = sail(connections, &tape, IN_FLIGHT_EACH, deadline, Clock::start())?;
        ensure!(voyage.refused == 0, "{} messages were refused", voyage.refused);
        let mut figures = Figures::of(voyage.sent, self.options.body_len, voyage.elapsed)
            .with_latency("confirm", &voyage.latency);
        meter.stop(&mut figures);
        Ok(figures)
    }
}
