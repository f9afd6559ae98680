//! Rows that publish and consume at once: as fast as it goes, or at a given rate.

use super::{Topology, Turn};
use crate::bench::figures::Figures;
use crate::bench::limits::{ACK_EVERY, IN_FLIGHT, IN_FLIGHT_FILL, PREFETCH};
use crate::bench::meter::Meter;
use crate::generator::{BlastOptions, Clock, CountOptions, Delivery, Goal, Stamps, blast, count};
use anyhow::{anyhow, ensure};

impl Turn<'_, '_> {
    pub(super) fn both(&mut self) -> anyhow::Result<Figures> {
        let topology = Topology::of_queues("both", 1);
        let mut publisher = self.open()?;
        topology.declare(&mut publisher, self.arguments)?;
        publisher.select_confirms()?;
        let mut consumer = self.open()?;
        let mut tape = self.tape(&topology, Delivery::Persistent, &publisher)?;
        let (clock, goal) = (Clock::start(), Goal::open());
        let rate = self.workload.rate(self.options.body_len);
        let blast_options = BlastOptions {
            // An open loop must not be closed by its window, or only by one that nobody should need.
            in_flight: Some(if rate.is_some() { IN_FLIGHT_FILL } else { IN_FLIGHT }),
            rate,
            stamps: Stamps::Time,
            clock,
            ..self.blast_options()
        };
        let count_options = CountOptions {
            queue: topology.first().to_owned(),
            prefetch: PREFETCH,
            ack_every: ACK_EVERY,
            stamps: Stamps::Time,
            clock,
        };
        let meter = Meter::start(self.pid()?);
        let (blasted, counted) = std::thread::scope(|scope| {
            let consuming = scope.spawn(|| count(&mut consumer, &count_options, &goal));
            let blasted = blast(&mut publisher, &mut tape, &blast_options);
            // The consumer must come to its end when the publisher has failed, too.
            goal.set(blasted.as_ref().map_or(0, |blasted| blasted.sent));
            let counted = consuming.join().map_err(|_| anyhow!("the consumer panicked"))?;
            anyhow::Ok((blasted?, counted?))
        })?;
        let elapsed = counted.elapsed.max(blasted.elapsed);
        ensure!(blasted.refused == 0, "{} messages were refused", blasted.refused);
        let mut figures = Figures::of(counted.messages, self.options.body_len, elapsed)
            .with_latency("confirm", &blasted.latency)
            .with_latency("end to end", &counted.latency);
        meter.stop(&mut figures);
        if let Some(rate) = rate {
            figures = figures.with_fact("offered_per_second", rate);
        }
        Ok(figures)
    }
}
