//! What a disk could hold after a power cut, built from a log of its writes.
//!
//! Invariants:
//! - All that was written before the last flush is there, and so is what was durable by itself.
//! - Of each sector written after that, the image has any of its versions since the flush, or the one before: writes are
//!   lost, kept without earlier ones, and torn between sectors, never within one, nor within the superblock.
//! - The same log, cut and seed give the same image.
//!
//! Elsewhere: the log (`write_log`), what an image must hold (`expectation`).

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::settings::MARK_AT;
use super::sparse;
use super::write_log::{Lasting, Operation, SECTOR_BYTES, Write, WriteLog};
use crate::random::Random;

/// Where the superblock stands: 1,024 bytes from byte 1,024 on.
const SUPERBLOCK_SECTORS: std::ops::Range<u64> = 2..4;

/// A moment, and what becomes of what no flush covers then.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Operations of the log that came before it.
    pub at: usize,
    /// How much is lost.
    pub loss: Loss,
    /// Which of it.
    pub seed: u64,
}

/// How much of what no flush covers is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Everything.
    Everything,
    /// Nothing.
    Nothing,
    /// Each write, or not.
    SomeWrites,
    /// Each sector, or not.
    SomeSectors,
    /// Each write, or not, and of those that are kept one end.
    SomeWritesTorn,
    /// Everything but one write.
    AllButOne,
    /// One write.
    One,
}

/// Writes that no flush covered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fates {
    /// Written in whole.
    pub kept: u64,
    /// Not written.
    pub dropped: u64,
    /// Written in part.
    pub torn: u64,
    /// Images that were not built before.
    pub distinct: u64,
}

impl Fates {
    /// Adds those of other images.
    pub fn add(&mut self, other: Self) {
        self.kept += other.kept;
        self.dropped += other.dropped;
        self.torn += other.torn;
        self.distinct += other.distinct;
    }
}

impl Loss {
    const ALL: [Self; 7] = [
        Self::Everything,
        Self::Nothing,
        Self::SomeWrites,
        Self::SomeSectors,
        Self::SomeWritesTorn,
        Self::AllButOne,
        Self::One,
    ];
}

/// Draws cuts, in the order of the log. At each something is at stake; half of them come right before a flush, when most is.
pub fn draw(log: &WriteLog, count: usize, random: &mut Random) -> Vec<Cut> {
    let operations = log.operations();
    let mut moments = Vec::new();
    let mut is_at_stake = false;
    for (index, operation) in operations.iter().enumerate() {
        is_at_stake = match operation {
            Operation::Flush => false,
            Operation::Write(write) => {
                is_at_stake || write.lasting == Lasting::UntilFlushed && is_in_file_system(write)
            }
        };
        if is_at_stake {
            moments.push(index + 1);
        }
    }
    let is_before_flush = |at: &&usize| operations.get(**at) == Some(&Operation::Flush);
    let before_flushes: Vec<usize> = moments.iter().filter(is_before_flush).copied().collect();
    let mut cuts: Vec<Cut> = (0..count)
        .filter_map(|index| {
            let moments = if index % 2 == 0 && !before_flushes.is_empty() {
                &before_flushes
            } else {
                &moments
            };
            Some(Cut {
                at: *pick(moments, random)?,
                loss: *pick(&Loss::ALL, random)?,
                seed: random.number(),
            })
        })
        .collect();
    cuts.sort_by_key(|cut| cut.at);
    cuts
}

/// Builds images of one log, for cuts in its order.
pub struct Images<'l> {
    log: &'l WriteLog,
    /// The disk with all that is durable at the last cut.
    floor: File,
    /// Operations that the floor has.
    applied: usize,
    /// Images built: the floor, and a checksum of what was written on it.
    seen: HashSet<(usize, u32)>,
}

impl<'l> Images<'l> {
    /// Begins with the disk as it was before the log, copied to `floor`.
    pub fn new(log: &'l WriteLog, base: &Path, floor: &Path) -> anyhow::Result<Self> {
        sparse::copy(&File::open(base)?, floor)?;
        let floor = File::options().read(true).write(true).open(floor)?;
        Ok(Self {
            log,
            floor,
            applied: 0,
            seen: HashSet::new(),
        })
    }

    /// Builds the image of a cut that is not before the last one.
    pub fn build(&mut self, cut: &Cut, to: &Path) -> anyhow::Result<Fates> {
        let before = &self.log.operations()[..cut.at];
        let flush = before
            .iter()
            .rposition(|operation| *operation == Operation::Flush);
        let flushed = flush.map_or(0, |flush| flush + 1);
        assert!(flushed >= self.applied, "cuts come in the order of the log");
        for operation in &before[self.applied..flushed] {
            if let Operation::Write(write) = operation {
                let data = self.log.data(write)?;
                self.floor.write_all_at(&data, write.sector * SECTOR_BYTES)?;
            }
        }
        self.applied = flushed;
        let image = sparse::copy(&self.floor, to)?;
        self.keep(&before[flushed..], cut, &image)
    }

    fn keep(&mut self, operations: &[Operation], cut: &Cut, image: &File) -> anyhow::Result<Fates> {
        let mut random = Random::new(cut.seed);
        let mut written = crc32fast::Hasher::new();
        let writes = operations.iter().filter_map(|operation| match operation {
            Operation::Write(write) if is_in_file_system(write) => Some(write),
            _ => None,
        });
        let chosen = below(&mut random, writes.clone().count());
        let mut fates = Fates::default();
        for (index, write) in writes.enumerate() {
            let sectors = usize::try_from(write.sectors)?;
            let mut kept = if write.lasting == Lasting::AtOnce {
                vec![true; sectors]
            } else {
                kept_sectors(cut.loss, index == chosen, sectors, &mut random)
            };
            keep_superblock_whole(write, &mut kept)?;
            match kept.iter().filter(|kept| **kept).count() {
                0 => fates.dropped += 1,
                whole if whole == sectors => fates.kept += 1,
                _ => fates.torn += 1,
            }
            let data = self.log.data(write)?;
            let unit = usize::try_from(SECTOR_BYTES)?;
            for ((sector, bytes), _) in (write.sector..)
                .zip(data.chunks_exact(unit))
                .zip(&kept)
                .filter(|(_, kept)| **kept)
            {
                image.write_all_at(bytes, sector * SECTOR_BYTES)?;
                written.update(&sector.to_le_bytes());
                written.update(bytes);
            }
        }
        fates.distinct = u64::from(self.seen.insert((self.applied, written.finalize())));
        Ok(fates)
    }
}

/// Marks stand behind the file system, and are not what an image is about.
fn is_in_file_system(write: &Write) -> bool {
    write.sector < MARK_AT / SECTOR_BYTES
}

/// The superblock of ext4 comes as a whole or not at all: the file system takes its write for atomic, has no other copy on so small a disk,
/// and refuses one whose checksum is wrong.
fn keep_superblock_whole(write: &Write, kept: &mut [bool]) -> anyhow::Result<()> {
    if let Some(first) = SUPERBLOCK_SECTORS.start.checked_sub(write.sector) {
        let first = usize::try_from(first)?;
        let len = usize::try_from(SUPERBLOCK_SECTORS.end - SUPERBLOCK_SECTORS.start)?;
        if let Some(superblock) = kept.get_mut(first..first + len) {
            superblock.fill(superblock[0]);
        }
    }
    Ok(())
}

/// Which sectors of a write reach the medium.
fn kept_sectors(loss: Loss, is_chosen: bool, sectors: usize, random: &mut Random) -> Vec<bool> {
    let mut coin = || random.below(2) == 0;
    match loss {
        Loss::Everything => vec![false; sectors],
        Loss::Nothing => vec![true; sectors],
        Loss::SomeWrites => vec![coin(); sectors],
        Loss::SomeSectors => (0..sectors).map(|_| coin()).collect(),
        Loss::SomeWritesTorn => {
            let (is_kept, is_front_kept) = (coin(), coin());
            let edge = below(random, sectors + 1);
            (0..sectors)
                .map(|sector| is_kept && (sector < edge) == is_front_kept)
                .collect()
        }
        Loss::AllButOne => vec![is_chosen; sectors],
        Loss::One => vec![!is_chosen; sectors],
    }
}

fn pick<'a, T>(from: &'a [T], random: &mut Random) -> Option<&'a T> {
    from.get(below(random, from.len()))
}

fn below(random: &mut Random, end: usize) -> usize {
    let end = u64::try_from(end).expect("a length is below 2^64");
    usize::try_from(random.below(end)).expect("it is below a length")
}

#[cfg(test)]
mod tests;
