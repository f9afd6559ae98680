//! The row in which nothing happens, on many connections.

use super::Turn;
use crate::bench::figures::Figures;
use crate::bench::limits::IDLE_CONNECTIONS;
use crate::bench::meter::{Meter, resident_kb};
use std::time::Instant;

impl Turn<'_, '_> {
    pub(super) fn idle(&mut self) -> anyhow::Result<Figures> {
        let alone_kb = resident_kb(self.pid()?);
        let connections = (0..IDLE_CONNECTIONS)
            .map(|_| self.open())
            .collect::<anyhow::Result<Vec<_>>>()?;
        std::thread::sleep(self.options.length);
        let (meter, start) = (Meter::start(self.pid()?), Instant::now());
        std::thread::sleep(self.options.length);
        let mut figures = Figures::of(0, 0, start.elapsed());
        meter.stop(&mut figures);
        let with_connections_kb = resident_kb(self.pid()?);
        drop(connections);
        let each = with_connections_kb.saturating_sub(alone_kb) * 1024 / IDLE_CONNECTIONS;
        let core_ppm = figures.broker_cpu_us * 1_000_000 / figures.elapsed_us.max(1);
        Ok(figures
            .with_fact("resident_alone_kb", alone_kb)
            .with_fact("resident_with_connections_kb", with_connections_kb)
            .with_fact("bytes_per_connection", each)
            .with_fact("core_ppm", core_ppm))
    }
}
