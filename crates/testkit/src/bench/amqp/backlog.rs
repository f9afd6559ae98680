//! The row that fills a queue, and restarts the broker on it.

use super::{Topology, Turn};
use crate::bench::figures::Figures;
use crate::bench::limits::{IN_FLIGHT_FILL, START_MAX};
use crate::bench::meter::{Meter, resident_kb};
use crate::bench::stage::Ending;
use crate::generator::{
    BlastOptions, Clock, Connection, CountOptions, Delivery, Goal, Stamps, Target, blast, count,
};
use anyhow::ensure;
use std::time::{Duration, Instant};

/// Between two attempts to get the first message.
const STEP: Duration = Duration::from_millis(10);

impl Turn<'_, '_> {
    pub(super) fn backlog(&mut self) -> anyhow::Result<Figures> {
        let topology = Topology::of_queues("backlog", 1);
        let mut figures = self.fill_with(&topology, self.options.backlog)?;
        figures.facts.insert("resident_full_kb", resident_kb(self.pid()?));
        figures.facts.insert("disk_bytes", self.stage.disk_bytes()?);
        let restart = self.stage.restart(Ending::Killed)?;
        let ready = self.first_delivery(&topology, restart.executed)?;
        figures.facts.insert("ready_after_kill_ms", ready);
        figures
            .facts
            .insert("resident_after_kill_kb", resident_kb(self.pid()?));
        let restart = self.stage.restart(Ending::Stopped)?;
        let ready = self.first_delivery(&topology, restart.executed)?;
        figures.facts.insert("stop_ms", ms(restart.ended_in));
        figures.facts.insert("ready_after_stop_ms", ready);
        figures
            .facts
            .insert("resident_after_stop_kb", resident_kb(self.pid()?));
        Ok(figures.with_fact("page_cache_dropped", u64::from(restart.cache_dropped)))
    }

    /// The figures are those of the filling.
    fn fill_with(&self, topology: &Topology, messages: u64) -> anyhow::Result<Figures> {
        let mut connection = self.open()?;
        topology.declare(&mut connection, self.arguments)?;
        connection.select_confirms()?;
        let mut tape = self.tape(topology, Delivery::Persistent, &connection)?;
        let meter = Meter::start(self.pid()?);
        let options = BlastOptions {
            in_flight: Some(IN_FLIGHT_FILL),
            count: messages,
            deadline: None,
            ..self.blast_options()
        };
        let blasted = blast(&mut connection, &mut tape, &options)?;
        ensure!(blasted.refused == 0, "{} messages were refused", blasted.refused);
        let mut figures = Figures::of(blasted.sent, self.options.body_len, blasted.elapsed);
        meter.stop(&mut figures);
        Ok(figures)
    }

    /// Milliseconds from the execution until a message was delivered.
    fn first_delivery(&self, topology: &Topology, executed: Instant) -> anyhow::Result<u64> {
        let target = Target::guest(self.stage.server()?.address());
        let options = CountOptions {
            queue: topology.first().to_owned(),
            prefetch: 1,
            ack_every: 1,
            stamps: Stamps::None,
            clock: Clock::start(),
        };
        loop {
            let got = Connection::open(&target)
                .and_then(|mut connection| count(&mut connection, &options, &Goal::of(1)));
            match got {
                Ok(_) => return Ok(ms(executed.elapsed())),
                // A broker may listen before it knows its queues.
                Err(error) => ensure!(executed.elapsed() < START_MAX * 2, "not usable: {error:#}"),
            }
            std::thread::sleep(STEP);
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
