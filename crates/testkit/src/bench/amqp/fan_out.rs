//! The row that publishes each message to many queues.

use super::{Topology, Turn};
use crate::bench::figures::Figures;
use crate::bench::meter::Meter;
use crate::generator::{BlastOptions, Delivery, blast};
use std::time::Instant;

impl Turn<'_, '_> {
    pub(super) fn fan_out(&mut self, queues: usize) -> anyhow::Result<Figures> {
        let topology = Topology::fan_out("fan", queues);
        let mut connection = self.open()?;
        topology.declare(&mut connection, self.arguments)?;
        let mut watcher = self.open()?;
        let mut tape = self.tape(&topology, Delivery::Transient, &connection)?;
        let copies = u64::try_from(queues)?;
        let options = BlastOptions {
            // A broker may keep a body for each queue.
            count: self.options.count_max() / copies,
            ..self.blast_options()
        };
        let (meter, start) = (Meter::start(self.pid()?), Instant::now());
        let sent = blast(&mut connection, &mut tape, &options)?.sent;
        topology.settle(&mut watcher, sent * copies)?;
        let mut figures = Figures::of(sent, self.options.body_len, start.elapsed());
        meter.stop(&mut figures);
        Ok(figures)
    }
}
