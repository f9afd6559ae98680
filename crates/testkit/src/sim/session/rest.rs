//! How a session comes to an end: everything written out, everything that is due done, the store closed.

use logpond_store::Counters;

use super::{Flow, Medium, Session, Step};

/// A store that has more than this to do makes work out of work.
const REST_STEPS_MAX: usize = 5000;
/// Segments that a store at rest may have beside those that are well used.
const REST_SEGMENTS_MAX: u64 = 6;

impl Session<'_> {
    /// Writes everything out; whether that worked.
    pub(in crate::sim) fn write_out(&mut self) -> Result<bool, String> {
        for _ in 0..1000 {
            if self.world.model.is_settled() {
                return Ok(true);
            }
            if self.step()? == Flow::Stopped {
                break;
            }
        }
        Ok(false)
    }

    /// Lets everything that is due happen, however long it waits, and sees that the disk is well used then.
    pub(in crate::sim) fn come_to_rest(&mut self) -> Step {
        self.sources.clear();
        let mut idle = 0;
        for _ in 0..REST_STEPS_MAX {
            if self.expire_due()? == Flow::Stopped {
                return Ok(Flow::Stopped);
            }
            if self.store.step() {
                idle = 0;
            } else if idle < 3 {
                idle += 1;
                self.disk.advance(self.world.settings.options.checkpoint_ms);
            } else {
                return self.check_space();
            }
            if self.confirm()? == Flow::Stopped {
                return Ok(Flow::Stopped);
            }
        }
        Err(format!(
            "no rest after {REST_STEPS_MAX} steps: {:?}",
            self.store.counters()
        ))
    }

    /// Twice what lives, and a few segments: those in use, and those that cut another.
    fn check_space(&mut self) -> Step {
        let counters = self.store.counters();
        let options = &self.world.settings.options;
        // In a segment this small its header counts.
        let usable = options.segment_bytes - 2 * 4096;
        let well_used = counters.live_bytes * 2 * options.segment_bytes / usable;
        let most = well_used + options.evacuation_slack_bytes + REST_SEGMENTS_MAX * options.segment_bytes;
        let spilled_most = counters.transient_live_bytes * 2 + options.transient_bytes;
        if counters.transient_spilled_bytes > spilled_most {
            return Err(format!(
                "the spill takes more than {spilled_most} bytes: {counters:?}"
            ));
        }
        if counters.segment_bytes <= most {
            self.world.statistics.rests += 1;
            return Ok(Flow::On);
        }
        Err(format!("segments take more than {most} bytes: {counters:?}"))
    }

    /// Adds what the store did to the statistics.
    pub(in crate::sim) fn tally(&mut self) -> Counters {
        let counters = self.store.counters();
        let statistics = &mut *self.world.statistics;
        statistics.rolls += counters.rolls;
        statistics.recycles += counters.segments_recycled;
        statistics.checkpoints += counters.checkpoints;
        statistics.evacuations += counters.evacuations;
        statistics.copies += counters.copies;
        statistics.footers += counters.footers_written;
        statistics.spills += counters.transient_spills;
        statistics.cold_recycles += counters.cold_segments_recycled;
        statistics.full_disks += u64::from(counters.is_disk_full);
        counters
    }

    /// Stops in good order.
    pub(in crate::sim) fn close(&mut self) -> Step {
        let closed = self.store.close();
        let flow = self.confirm()?;
        match closed {
            Ok(()) if flow == Flow::On => Ok(Flow::On),
            Err(error) if flow == Flow::On && self.medium == Medium::Sound => {
                Err(format!("closing: {error}"))
            }
            Ok(()) | Err(_) => Ok(Flow::Stopped),
        }
    }
}
