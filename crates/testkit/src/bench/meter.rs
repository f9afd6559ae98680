//! What a broker uses while something is done to it.
//!
//! Invariant: its processes are those found when the meter was started; none of the peers starts further ones under load.
//!
//! Not counted: threads of the kernel that write back for a broker that leaves this to the page cache.

use super::figures::Figures;
use super::limits::MEMORY_STEP;
use super::processes::{cpu_us, family, machine_cpu_us};
use crate::footprint::Resident;
use std::collections::BTreeSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;

/// A measurement under way.
pub struct Meter {
    broker: BTreeSet<u32>,
    broker_us: u64,
    generator: BTreeSet<u32>,
    generator_us: u64,
    machine_us: u64,
    stop: mpsc::Sender<()>,
    memory: JoinHandle<u64>,
}

impl Meter {
    /// Starts it on a broker's first process. Whatever else this process has started, and itself, is the generator.
    pub fn start(broker: u32) -> Self {
        let broker = family(broker);
        let generator: BTreeSet<u32> = family(std::process::id()).difference(&broker).copied().collect();
        let (stop, stopped) = mpsc::channel();
        let watched = broker.clone();
        let memory = std::thread::spawn(move || watch_memory(&watched, &stopped));
        Self {
            broker_us: sum(&broker),
            generator_us: sum(&generator),
            machine_us: machine_cpu_us(),
            broker,
            generator,
            stop,
            memory,
        }
    }

    /// Ends it, and writes what it saw into the figures.
    pub fn stop(self, figures: &mut Figures) {
        let broker_us = sum(&self.broker).saturating_sub(self.broker_us);
        let generator_us = sum(&self.generator).saturating_sub(self.generator_us);
        let machine_us = machine_cpu_us().saturating_sub(self.machine_us);
        drop(self.stop);
        figures.broker_cpu_us = broker_us;
        figures.generator_cpu_us = generator_us;
        figures.others_cpu_us = machine_us.saturating_sub(broker_us + generator_us);
        // The thread only reads files; had it panicked, there would be no memory to tell of.
        figures.peak_resident_kb = self.memory.join().unwrap_or(0);
    }
}

fn sum(pids: &BTreeSet<u32>) -> u64 {
    pids.iter().map(|&pid| cpu_us(pid)).sum()
}

/// Resident memory of a broker's processes now.
pub fn resident_kb(broker: u32) -> u64 {
    resident_of(&family(broker))
}

fn resident_of(pids: &BTreeSet<u32>) -> u64 {
    pids.iter()
        .filter_map(|&pid| Resident::of(pid).ok())
        .map(|resident| resident.total_kb())
        .sum()
}

fn watch_memory(pids: &BTreeSet<u32>, stopped: &mpsc::Receiver<()>) -> u64 {
    let mut peak = 0;
    loop {
        peak = peak.max(resident_of(pids));
        if stopped.recv_timeout(MEMORY_STEP) != Err(RecvTimeoutError::Timeout) {
            return peak;
        }
    }
}
