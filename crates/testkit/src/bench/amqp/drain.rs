//! Rows that consume a backlog.

use super::{Topology, Turn};
use crate::bench::figures::Figures;
use crate::bench::limits::{ACK_EVERY, COLD_BYTES_MIN, FILL_MAX, IN_FLIGHT_FILL, MESSAGE_BYTES, PREFETCH};
use crate::bench::meter::Meter;
use crate::footprint::drop_page_cache;
use crate::generator::{BlastOptions, Clock, CountOptions, Delivery, Goal, Stamps, blast, count};
use anyhow::ensure;
use std::time::Instant;

impl Turn<'_, '_> {
    pub(super) fn drain_warm(&mut self) -> anyhow::Result<Figures> {
        let topology = Topology::of_queues("drain", 1);
        let messages = self.fill(&topology, 0)?;
        self.drain(&topology, messages)
    }

    pub(super) fn drain_cold(&mut self) -> anyhow::Result<Figures> {
        let topology = Topology::of_queues("drain", 1);
        let messages = self.fill(&topology, COLD_BYTES_MIN)?;
        let dropped = drop_page_cache().is_ok();
        let figures = self.drain(&topology, messages)?;
        Ok(figures.with_fact("page_cache_dropped", u64::from(dropped)))
    }

    /// Twice as long as the turn, for a drain is faster; and on until there are so many bytes, within bounds.
    fn fill(&self, topology: &Topology, bytes_min: u64) -> anyhow::Result<u64> {
        let mut connection = self.open()?;
        topology.declare(&mut connection, self.arguments)?;
        connection.select_confirms()?;
        let mut tape = self.tape(topology, Delivery::Persistent, &connection)?;
        let start = Instant::now();
        let per_message = u64::try_from(self.options.body_len)? + MESSAGE_BYTES;
        let mut messages = 0;
        while messages == 0 || messages * per_message < bytes_min && start.elapsed() < FILL_MAX {
            let options = BlastOptions {
                in_flight: Some(IN_FLIGHT_FILL),
                deadline: Some(Instant::now() + self.options.length * 2),
                ..self.blast_options()
            };
            let mut connection = self.open()?;
            connection.select_confirms()?;
            let blasted = blast(&mut connection, &mut tape, &options)?;
            ensure!(blasted.refused == 0, "{} messages were refused", blasted.refused);
            messages += blasted.sent;
        }
        Ok(messages)
    }

    fn drain(&self, topology: &Topology, messages: u64) -> anyhow::Result<Figures> {
        let mut connection = self.open()?;
        let options = CountOptions {
            queue: topology.first().to_owned(),
            prefetch: PREFETCH,
            ack_every: ACK_EVERY,
            stamps: Stamps::None,
            clock: Clock::start(),
        };
        let meter = Meter::start(self.pid()?);
        let counted = count(&mut connection, &options, &Goal::of(messages))?;
        let mut figures = Figures::of(counted.messages, self.options.body_len, counted.elapsed);
        meter.stop(&mut figures);
        Ok(figures)
    }
}
