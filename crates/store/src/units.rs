//! Messages that the log does not hold: units of records, in memory or in the spill, at addresses of their own.
//!
//! Blocks that are not written are appended to the open unit; a full unit is closed, and may then be moved to a file. Addresses
//! rise over the life of the process and are never used again; where a message lies does not change when its unit is spilled.
//!
//! Invariants:
//! - Units are in the order of their addresses; the last one is open, and in memory. Numbers are in the same order.
//! - The pieces of a unit follow each other without a gap; a closed unit has one, or none while that is taken out. A piece that somebody reads is never changed.
//! - A unit that is on its way to a file is not chosen again until that has come to an end.
//! - A unit in which nothing lives takes no memory and no slot of a file, as soon as nobody reads that.
//!
//! Elsewhere: the files (`slots`), a unit made ready to be written (`seal`), which spilled units are to be moved (`sparse`), which blocks are not written (`builder`), when a unit
//! is spilled (`shard::spill`) or moved (`shard::compaction`).

mod piece;
mod seal;
mod slots;
mod sparse;
mod table;
mod unit;

use crate::disk::Disk;
use crate::format::memory_offset;
use crate::ids::{Lsn, SegmentNumber};
use crate::live::Live;
use crate::segments::SegmentFile;
pub(crate) use piece::Piece;
use piece::PieceBytes;
pub(crate) use seal::Sealed;
use slots::Slots;
pub(crate) use slots::{DeadFile, Layout, Lent, Slack, Slot, SpillNumber};
use std::collections::VecDeque;
use std::sync::{Arc, RwLock, RwLockReadGuard};
use table::Table;
use unit::{Place, Unit};

/// Which unit an address lies in, and all others that do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct UnitExtent {
    pub number: SegmentNumber,
    first_lsn: Lsn,
    end: Lsn,
}

impl UnitExtent {
    pub(crate) fn holds(&self, lsn: Lsn) -> bool {
        self.first_lsn <= lsn && lsn < self.end
    }
}

/// A closed unit in memory.
pub(crate) struct ClosedUnit {
    pub number: SegmentNumber,
    pub first_lsn: Lsn,
    pub pieces: Vec<Arc<Piece>>,
    /// Whether it would be a waste to spill it as it is.
    pub is_sparse: bool,
}

/// Which of the units in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Which {
    Oldest,
    Newest,
}

/// How much the units take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct UnitBytes {
    /// In memory.
    pub memory: u64,
    /// Of that, on its way to files.
    pub leaving: u64,
    /// In files: free slots count, and files that are yet to be removed.
    pub spilled: u64,
    /// Of records that live.
    pub live: u64,
}

/// All units, shared by the shard and all readers.
pub(crate) struct Units<D: Disk>(Arc<RwLock<Table<D>>>);

impl<D: Disk> Clone for Units<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

const PANICLESS: &str = "no holder of this lock panics";

impl<D: Disk> Units<D> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(RwLock::new(Table {
            list: VecDeque::new(),
            end: Lsn::UNLOGGED,
            next_number: 1,
            unit_bytes: memory_offset(crate::limits::UNIT_BYTES_MAX),
            bytes: UnitBytes::default(),
            slots: Slots::new(Layout {
                slot_bytes: crate::limits::UNIT_BYTES_MAX,
                slots: crate::limits::SPILL_SLOTS_MAX,
            }),
            spares: Vec::new(),
        })))
    }

    /// A unit is closed when it reaches this size; files of the spill are made as `layout` says.
    pub(crate) fn set_sizes(&self, unit_bytes: u64, layout: Layout) {
        let mut table = self.0.write().expect(PANICLESS);
        table.unit_bytes = memory_offset(unit_bytes);
        table.slots.set_layout(layout);
    }

    fn read(&self) -> RwLockReadGuard<'_, Table<D>> {
        self.0.read().expect(PANICLESS)
    }

    /// Appends the records of a block. Returns their address and their unit, in which nothing of them counts yet.
    pub(crate) fn append(&self, records: &[u8]) -> (Lsn, SegmentNumber) {
        self.0.write().expect(PANICLESS).append(records)
    }

    /// Counts what lives.
    pub(crate) fn enter(&self, number: SegmentNumber, more: Live) {
        let mut table = self.0.write().expect(PANICLESS);
        table.bytes.live += more.bytes;
        if let Some(at) = table.index_of(number) {
            table.list[at].live.add(more);
        }
    }

    /// Counts off what died or moved. A unit in which nothing lives goes.
    pub(crate) fn leave(&self, number: SegmentNumber, less: Live) {
        let mut table = self.0.write().expect(PANICLESS);
        table.bytes.live = table.bytes.live.saturating_sub(less.bytes);
        let Some(at) = table.index_of(number) else {
            return;
        };
        table.list[at].live.remove(less);
        table.sweep(at);
    }

    /// The unit that holds the byte at `lsn`.
    pub(crate) fn extent_of(&self, lsn: Lsn) -> Option<UnitExtent> {
        let table = self.read();
        let unit = table.find(lsn)?;
        Some(UnitExtent {
            number: unit.number,
            first_lsn: unit.first_lsn,
            end: unit.end,
        })
    }

    /// The piece that holds the byte at `lsn`, if it is in memory.
    pub(crate) fn piece(&self, lsn: Lsn) -> Option<Arc<Piece>> {
        loop {
            let table = self.read();
            let gate = match &table.find(lsn)?.place {
                Place::Memory(pieces) => {
                    let after = pieces.partition_point(|piece| piece.first_lsn <= lsn);
                    let piece = &pieces[after.checked_sub(1)?];
                    return piece.contains(lsn).then(|| Arc::clone(piece));
                }
                Place::Sealing { gate, .. } => gate.clone(),
                Place::File(..) => return None,
            };
            drop(table);
            gate.pass();
        }
    }

    /// The file that holds the byte at `lsn`, and the address where it ends.
    pub(crate) fn file(&self, lsn: Lsn) -> Option<(Arc<SegmentFile<D::File>>, Lsn)> {
        let table = self.read();
        let Place::File(file, _) = &table.find(lsn)?.place else {
            return None;
        };
        Some((Arc::clone(file), file.first_lsn.plus(file.bytes())))
    }

    /// How much there is.
    pub(crate) fn bytes(&self) -> UnitBytes {
        let table = self.read();
        UnitBytes {
            spilled: table.slots.bytes(),
            ..table.bytes
        }
    }

    /// A closed unit that is in memory, and stays there so far. When there is none, the open one is closed.
    pub(crate) fn in_memory(&self, which: Which) -> Option<ClosedUnit> {
        let mut table = self.0.write().expect(PANICLESS);
        let found = table.closed_in_memory(which);
        if found.is_none() && table.list.back().is_some_and(|open| open.memory() > 0) {
            table.begin_unit(0);
            return table.closed_in_memory(which);
        }
        found
    }

    /// What lives in the unit stays there.
    pub(crate) fn keep_in_place(&self, number: SegmentNumber) {
        let mut table = self.0.write().expect(PANICLESS);
        if let Some(at) = table.index_of(number) {
            table.list[at].is_movable = false;
        }
    }

    /// A slot of a file in which this unit, of so many bytes, is to be written.
    pub(crate) fn lend_slot(&self, number: SegmentNumber, bytes: u64) -> Lent<D::File> {
        let mut table = self.0.write().expect(PANICLESS);
        // While there is much to be spilled nobody else looks for them.
        table.sweep_released();
        table.set_leaving(number, true);
        table.slots.lend(bytes)
    }

    /// A unit stands in a file now. If it died meanwhile, its slot is free.
    pub(crate) fn spilled(&self, file: Arc<SegmentFile<D::File>>, slot: Slot) {
        let mut table = self.0.write().expect(PANICLESS);
        table.slots.enter(slot, &file.file);
        let Some(at) = table.index_of(file.number) else {
            table.slots.free(slot);
            return;
        };
        let memory = table.list[at].memory();
        table.set_leaving(file.number, false);
        table.bytes.memory -= memory;
        let left = std::mem::replace(&mut table.list[at].place, Place::File(file, slot));
        table.use_again(left);
    }

    /// Keeps no more memory than for one unit that follows.
    pub(crate) fn free_spares(&self) {
        let mut table = self.0.write().expect(PANICLESS);
        let too_many = table.spares.len().saturating_sub(1);
        table.spares.drain(..too_many);
    }

    /// A unit could not be written to the slot that was lent.
    pub(crate) fn refused(&self, number: SegmentNumber, slot: Slot) {
        let mut table = self.0.write().expect(PANICLESS);
        table.set_leaving(number, false);
        table.slots.refuse(slot);
    }

    /// A unit died before it was written to the slot that was lent.
    pub(crate) fn not_needed(&self, slot: Slot) {
        self.0.write().expect(PANICLESS).slots.give_back(slot);
    }

    /// How many files nobody needs any more, but for those that are kept.
    pub(crate) fn dead_files(&self, slack: Slack) -> usize {
        let mut table = self.0.write().expect(PANICLESS);
        table.sweep_released();
        table.slots.dead(slack)
    }

    /// Some of the files that nobody needs any more.
    pub(crate) fn take_dead_files(&self, count: usize) -> Vec<DeadFile> {
        self.0.write().expect(PANICLESS).slots.take_dead(count)
    }

    /// These files are gone.
    pub(crate) fn removed(&self, files: &[DeadFile]) {
        self.0.write().expect(PANICLESS).slots.removed(files);
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
