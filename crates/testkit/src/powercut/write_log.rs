//! The log of a disk's writes and flushes, as qemu's `blklogwrites` leaves it (the format of Linux' dm-log-writes).
//!
//! A sector of the log: magic u64, version u64, number of entries u64, sector size u32, all little endian. Then for each entry
//! a sector (first sector u64, number of sectors u64, flags u64, length of a name u64) and, but for discards, the data.
//!
//! Invariants:
//! - An entry stands behind all that the disk had reported as done before it began.
//! - Nothing is taken on trust: an entry that does not lie within log and disk is an error.
//!
//! Elsewhere: what a power cut could leave of it (`image`).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};

/// Unit in which a disk writes whole or not at all.
pub const SECTOR_BYTES: u64 = 512;
const MAGIC: u64 = 0x6a_7366_7773_6872;
const VERSION: u64 = 1;
const FLUSH: u64 = 1;
const FUA: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;
const NAME: u64 = 1 << 3;
const KNOWN: u64 = FLUSH | FUA | DISCARD | NAME | 1 << 4;

/// One thing that the disk was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// All that was written before is durable from here on.
    Flush,
    /// Sectors were written.
    Write(Write),
}

/// Sectors that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// The first sector on the disk.
    pub sector: u64,
    /// How many.
    pub sectors: u64,
    /// Whether a power cut can take them back.
    pub lasting: Lasting,
    /// Where in the log the data stands.
    data_at: u64,
}

/// What a write promises when it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// Nothing, until a flush.
    UntilFlushed,
    /// It is durable by itself (FUA).
    AtOnce,
}

/// A log, with its data left in the file.
pub struct WriteLog {
    file: File,
    operations: Vec<Operation>,
}

impl WriteLog {
    /// Reads the log of a disk of `disk_bytes`.
    pub fn open(path: &Path, disk_bytes: u64) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("the log of writes {}", path.display()))?;
        let log_bytes = file.metadata()?.len();
        let [magic, version, count, sector_bytes] = numbers(&file, 0)?;
        ensure!(magic == MAGIC && version == VERSION, "this is no log of writes");
        ensure!(
            sector_bytes & u64::from(u32::MAX) == SECTOR_BYTES,
            "the log has other sectors"
        );
        let mut operations = Vec::new();
        let mut at = SECTOR_BYTES;
        for index in 0..count {
            let [sector, sectors, flags, _] = numbers(&file, at).with_context(|| format!("entry {index}"))?;
            ensure!(flags & !KNOWN == 0, "entry {index} has unknown flags {flags:#x}");
            if flags & (DISCARD | NAME) != 0 {
                bail!("entry {index} is a discard or a name, which our disks do not take");
            }
            if flags & FLUSH != 0 {
                operations.push(Operation::Flush);
            }
            let data_at = at + SECTOR_BYTES;
            let data_bytes = sectors.checked_mul(SECTOR_BYTES);
            let data_end = data_bytes.and_then(|bytes| data_at.checked_add(bytes));
            let data_end = data_end.filter(|end| *end <= log_bytes.next_multiple_of(SECTOR_BYTES));
            let end = sector.checked_add(sectors);
            let fits = end.is_some_and(|end| end <= disk_bytes / SECTOR_BYTES);
            ensure!(fits, "entry {index} lies outside of the disk");
            at = data_end.with_context(|| format!("entry {index} lies outside of the log"))?;
            if sectors > 0 {
                operations.push(Operation::Write(Write {
                    sector,
                    sectors,
                    lasting: if flags & FUA != 0 {
                        Lasting::AtOnce
                    } else {
                        Lasting::UntilFlushed
                    },
                    data_at,
                }));
            }
        }
        Ok(Self { file, operations })
    }

    /// Everything, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What a write wrote.
    pub fn data(&self, write: &Write) -> anyhow::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(write.sectors * SECTOR_BYTES)?];
        self.file.read_exact_at(&mut bytes, write.data_at)?;
        Ok(bytes)
    }
}

fn numbers(file: &File, at: u64) -> anyhow::Result<[u64; 4]> {
    let mut bytes = [0; 32];
    file.read_exact_at(&mut bytes, at)
        .context("the log of writes ends too early")?;
    let mut numbers = [0; 4];
    for (number, chunk) in numbers.iter_mut().zip(bytes.as_chunks().0) {
        *number = u64::from_le_bytes(*chunk);
    }
    Ok(numbers)
}

#[cfg(test)]
pub mod recorded;
#[cfg(test)]
mod tests;
