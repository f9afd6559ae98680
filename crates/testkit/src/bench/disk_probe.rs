//! What the disk itself can do, measured beside the brokers.
//!
//! Invariants:
//! - Writes to new blocks are measured in a file whose space was reserved and never written, as in the segments of a log that grows.
//! - For everything else the file was written once before, as a recycled segment was: no block is allocated in the measured time.
//! - Every transfer passes the page cache by, from or to memory of huge pages where the kernel has some: from others it takes up to twice as long.

use super::figures::median;
use crate::generator::{Clock, Histogram};
use anyhow::Context;
use logpond_store::disk::AlignedBuf;
use rustix::fs::{FallocateFlags, Mode, OFlags};
use rustix::io::ReadWriteFlags;
use serde::Serialize;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
/// The part of the disk that is written and read.
const FILE_MIB: u64 = 512;
/// Length of each measurement but that of new blocks, which are all there are.
const PART: Duration = Duration::from_millis(750);

/// What the disk did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct DiskFigures {
    /// Sequential writes of 1 MiB, each synced, to blocks that were never written.
    pub write_new_1mib_bytes_per_second: u64,
    /// Sequential writes of 1 MiB, each synced.
    pub write_1mib_bytes_per_second: u64,
    /// A synced write of 4 KiB.
    pub write_4kib_p50_ns: u64,
    /// 99 of 100.
    pub write_4kib_p99_ns: u64,
    /// A synced write of 64 KiB.
    pub write_64kib_p50_ns: u64,
    /// 99 of 100.
    pub write_64kib_p99_ns: u64,
    /// Sequential reads of 1 MiB, one at a time.
    pub read_1mib_bytes_per_second: u64,
}

impl DiskFigures {
    /// The medians of several.
    pub fn median(all: &[Self]) -> Self {
        let of = |field: fn(&Self) -> u64| median(all.iter().map(field).collect()).unwrap_or(0);
        Self {
            write_new_1mib_bytes_per_second: of(|disk| disk.write_new_1mib_bytes_per_second),
            write_1mib_bytes_per_second: of(|disk| disk.write_1mib_bytes_per_second),
            write_4kib_p50_ns: of(|disk| disk.write_4kib_p50_ns),
            write_4kib_p99_ns: of(|disk| disk.write_4kib_p99_ns),
            write_64kib_p50_ns: of(|disk| disk.write_64kib_p50_ns),
            write_64kib_p99_ns: of(|disk| disk.write_64kib_p99_ns),
            read_1mib_bytes_per_second: of(|disk| disk.read_1mib_bytes_per_second),
        }
    }
}

/// Measures the disk on which a folder lies.
pub fn measure(folder: &Path) -> anyhow::Result<DiskFigures> {
    let path = folder.join("disk-probe");
    let result = Probe::open(&path, FILE_MIB).and_then(|mut probe| probe.run());
    // What is left behind is in the way of the brokers, but no reason to lose what was measured.
    let _ = std::fs::remove_file(&path);
    result.context("the disk cannot be measured with O_DIRECT and RWF_DSYNC")
}

/// A part of the disk that is written and read past the page cache.
pub(super) struct Probe {
    file: OwnedFd,
    memory: AlignedBuf,
}

impl Probe {
    /// A new file of so many MiB, never written.
    pub(super) fn open(path: &Path, mib: u64) -> anyhow::Result<Self> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::DIRECT | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
        let mut memory = AlignedBuf::zeroed(MIB);
        // Not zeros: a disk may treat those as nothing.
        memory.fill(0xA5);
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, mib << 20)?;
        rustix::fs::fsync(&file)?;
        Ok(Self { file, memory })
    }

    /// Writes the whole file of so many MiB; bytes per second.
    pub(super) fn fill(&mut self, mib: u64) -> anyhow::Result<u64> {
        let start = Instant::now();
        for at in 0..mib {
            self.write_synced(MIB, at << 20)?;
        }
        per_second(u128::from(mib << 20), start.elapsed())
    }

    fn run(&mut self) -> anyhow::Result<DiskFigures> {
        let new = self.fill(FILE_MIB)?;
        let small = self.repeat(4 << 10, |probe, at| probe.write_synced(4 << 10, at))?;
        let middle = self.repeat(64 << 10, |probe, at| probe.write_synced(64 << 10, at))?;
        let large = self.repeat(MIB, |probe, at| probe.write_synced(MIB, at))?;
        let read = self.repeat(MIB, Self::read)?;
        Ok(DiskFigures {
            write_new_1mib_bytes_per_second: new,
            write_1mib_bytes_per_second: large.bytes_per_second,
            write_4kib_p50_ns: small.latency.permille(500),
            write_4kib_p99_ns: small.latency.permille(990),
            write_64kib_p50_ns: middle.latency.permille(500),
            write_64kib_p99_ns: middle.latency.permille(990),
            read_1mib_bytes_per_second: read.bytes_per_second,
        })
    }

    /// One after the other, from the front of the file on, and again.
    fn repeat(
        &mut self,
        len: usize,
        mut transfer: impl FnMut(&mut Self, u64) -> anyhow::Result<()>,
    ) -> anyhow::Result<Part> {
        let len = u64::try_from(len)?;
        let (clock, start) = (Clock::start(), Instant::now());
        let mut latency = Histogram::default();
        let mut at = 0;
        while start.elapsed() < PART {
            let before = clock.now();
            transfer(self, at)?;
            latency.record(clock.now() - before);
            at = (at + len) % (FILE_MIB << 20);
        }
        let bytes = u128::from(latency.count()) * u128::from(len);
        Ok(Part {
            latency,
            bytes_per_second: per_second(bytes, start.elapsed())?,
        })
    }

    /// Writes `len` bytes, at most a MiB, at an offset of the file, and has them synced.
    pub(super) fn write_synced(&mut self, len: usize, at: u64) -> anyhow::Result<()> {
        let bytes = [IoSlice::new(&self.memory[..len])];
        let written = rustix::io::pwritev2(&self.file, &bytes, at, ReadWriteFlags::DSYNC)?;
        anyhow::ensure!(written == len, "a short write");
        Ok(())
    }

    fn read(&mut self, at: u64) -> anyhow::Result<()> {
        let read = rustix::io::pread(&self.file, &mut self.memory[..], at)?;
        anyhow::ensure!(read == MIB, "a short read");
        Ok(())
    }
}

fn per_second(bytes: u128, time: Duration) -> anyhow::Result<u64> {
    Ok(u64::try_from(bytes * 1_000_000 / time.as_micros().max(1))?)
}

struct Part {
    latency: Histogram,
    bytes_per_second: u64,
}
