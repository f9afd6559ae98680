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

use crate::disk::{AlignedBuf, Disk};
use crate::format::{byte_count, memory_offset};
use crate::ids::{Lsn, SegmentNumber};
use crate::limits::SPARE_UNITS_MAX;
use crate::live::Live;
use crate::segments::SegmentFile;
pub(crate) use piece::Piece;
use piece::PieceBytes;
use seal::Gate;
pub(crate) use seal::Sealed;
use slots::Slots;
pub(crate) use slots::{DeadFile, Layout, Lent, Slack, Slot, SpillNumber};
use std::collections::VecDeque;
use std::sync::{Arc, RwLock, RwLockReadGuard};

enum Place<D: Disk> {
    Memory(Vec<Arc<Piece>>),
    /// In memory, and taken out for a moment.
    Sealing {
        gate: Gate,
        memory: u64,
    },
    File(Arc<SegmentFile<D::File>>, Slot),
}

struct Unit<D: Disk> {
    number: SegmentNumber,
    first_lsn: Lsn,
    end: Lsn,
    live: Live,
    place: Place<D>,
    /// The memory that it begins with.
    memory_at_first: usize,
    /// Whether what lives in it can be moved; not when damage was met in it.
    is_movable: bool,
    /// Whether it is on its way to a file.
    is_leaving: bool,
}

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

struct Table<D: Disk> {
    list: VecDeque<Unit<D>>,
    /// Where the open unit ends, and with it all.
    end: Lsn,
    next_number: u64,
    unit_bytes: usize,
    bytes: UnitBytes,
    slots: Slots<D::File>,
    /// Memory of units that left it, for the next ones: fresh memory costs more than what is written to it.
    spares: Vec<AlignedBuf>,
}

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

impl<D: Disk> Unit<D> {
    fn memory(&self) -> u64 {
        match &self.place {
            Place::Memory(pieces) => pieces.iter().map(|piece| piece.memory()).sum(),
            Place::Sealing { memory, .. } => *memory,
            Place::File(..) => 0,
        }
    }

    /// Memory that it will give back.
    fn leaving(&self) -> u64 {
        if self.is_leaving { self.memory() } else { 0 }
    }

    fn len(&self) -> u64 {
        self.end.get() - self.first_lsn.get()
    }

    /// Whether so little lives in it that moving that gives back more than half of `bytes`.
    fn is_sparse(&self, bytes: u64) -> bool {
        self.is_movable && self.live.entries > 0 && self.live.bytes * 2 < bytes
    }

    /// Appends to the last piece, or makes one, of a spare if that is large enough, when somebody reads that. Returns how much
    /// more memory that takes.
    fn append(&mut self, records: &[u8], spares: &mut Vec<AlignedBuf>, unit_bytes: usize) -> u64 {
        let Place::Memory(pieces) = &mut self.place else {
            unreachable!("the open unit is in memory");
        };
        self.end = self.end.plus(byte_count(records.len()));
        if let Some(piece) = pieces.last_mut().and_then(Arc::get_mut) {
            let before = piece.memory();
            piece.bytes.extend(records, unit_bytes);
            return piece.memory() - before;
        }
        let first_lsn = pieces.last().map_or(self.first_lsn, |piece| piece.end());
        let bytes = if pieces.is_empty() {
            let capacity = records.len().max(self.memory_at_first);
            let spare = spares.pop_if(|spare| spare.capacity() >= capacity);
            let mut bytes = spare.unwrap_or_else(|| AlignedBuf::with_capacity(capacity));
            bytes.extend_from_slice(records);
            PieceBytes::Sectors(bytes)
        } else {
            PieceBytes::Exact(records.to_vec())
        };
        let piece = Piece { first_lsn, bytes };
        let memory = piece.memory();
        pieces.push(Arc::new(piece));
        memory
    }

    /// Nothing more comes: the pieces become one, and none takes much more memory than it needs.
    fn close(&mut self) {
        let Place::Memory(pieces) = &mut self.place else {
            return;
        };
        if let [piece] = pieces.as_mut_slice()
            && let Some(piece) = Arc::get_mut(piece)
        {
            piece.bytes.fit();
            return;
        }
        let mut bytes = AlignedBuf::with_capacity(pieces.iter().map(|piece| piece.bytes().len()).sum());
        for piece in pieces.iter() {
            bytes.extend_from_slice(piece.bytes());
        }
        let bytes = PieceBytes::Sectors(bytes);
        let first_lsn = self.first_lsn;
        *pieces = vec![Arc::new(Piece { first_lsn, bytes })];
    }

    /// Begins anew behind what died; memory that nobody reads is used again.
    fn begin_anew(&mut self) {
        self.first_lsn = self.end;
        let Place::Memory(pieces) = &mut self.place else {
            return;
        };
        pieces.truncate(1);
        match pieces.last_mut().and_then(Arc::get_mut) {
            Some(Piece {
                first_lsn,
                bytes: PieceBytes::Sectors(bytes),
            }) => {
                *first_lsn = self.end;
                bytes.clear();
            }
            _ => pieces.clear(),
        }
    }
}

impl<D: Disk> Table<D> {
    fn append(&mut self, records: &[u8]) -> (Lsn, SegmentNumber) {
        let limit = byte_count(self.unit_bytes.max(records.len()));
        let is_full = |open: &Unit<D>| open.len() + byte_count(records.len()) > limit;
        match self.list.back() {
            None => self.begin_unit(0),
            // What follows so much will hardly be little, and memory that grows is copied.
            Some(open) if is_full(open) => self.begin_unit(self.unit_bytes),
            Some(_) => {}
        }
        let at = self.end;
        self.end = at.plus(byte_count(records.len()));
        let open = self.list.back_mut().expect("a unit was begun if there was none");
        self.bytes.memory += open.append(records, &mut self.spares, self.unit_bytes);
        (at, open.number)
    }

    /// Closes the open unit, and begins one with so much memory.
    fn begin_unit(&mut self, memory_at_first: usize) {
        if let Some(full) = self.list.back_mut() {
            let before = full.memory();
            full.close();
            self.bytes.memory += full.memory();
            self.bytes.memory -= before;
        }
        let number = SegmentNumber::unlogged(self.next_number);
        self.next_number += 1;
        self.list.push_back(Unit {
            number,
            first_lsn: self.end,
            end: self.end,
            live: Live::default(),
            place: Place::Memory(Vec::new()),
            memory_at_first,
            is_movable: true,
            is_leaving: false,
        });
        // What was the open unit stayed although nothing may live in it.
        if let Some(before) = self.list.len().checked_sub(2) {
            self.sweep(before);
        }
    }

    fn closed_in_memory(&self, which: Which) -> Option<ClosedUnit> {
        let closed = self.list.iter().take(self.list.len().saturating_sub(1));
        let staying = closed.filter(|unit| !unit.is_leaving);
        let mut in_memory = staying.filter_map(|unit| match &unit.place {
            Place::Memory(pieces) => Some(ClosedUnit {
                number: unit.number,
                first_lsn: unit.first_lsn,
                pieces: pieces.clone(),
                is_sparse: unit.is_sparse(unit.len()),
            }),
            Place::Sealing { .. } | Place::File(..) => None,
        });
        match which {
            Which::Oldest => in_memory.next(),
            Which::Newest => in_memory.next_back(),
        }
    }

    fn set_leaving(&mut self, number: SegmentNumber, is_leaving: bool) {
        let Some(at) = self.index_of(number) else {
            return;
        };
        let unit = &mut self.list[at];
        let before = unit.leaving();
        unit.is_leaving = is_leaving;
        self.bytes.leaving += unit.leaving();
        self.bytes.leaving -= before;
    }

    fn index_of(&self, number: SegmentNumber) -> Option<usize> {
        let last = self.list.len().checked_sub(1)?;
        if self.list[last].number == number {
            return Some(last);
        }
        self.list.binary_search_by_key(&number, |unit| unit.number).ok()
    }

    fn find(&self, lsn: Lsn) -> Option<&Unit<D>> {
        let after = self.list.partition_point(|unit| unit.first_lsn <= lsn);
        let unit = &self.list[after.checked_sub(1)?];
        (lsn < unit.end).then_some(unit)
    }

    /// Lets the unit go if nothing lives in it and nobody reads it from its file.
    fn sweep(&mut self, at: usize) {
        let is_open = at + 1 == self.list.len();
        let unit = &mut self.list[at];
        if unit.live.entries > 0 {
            return;
        }
        let before = unit.memory();
        let is_pinned = matches!(&unit.place, Place::File(file, _) if file.is_pinned());
        if is_open {
            unit.begin_anew();
            self.bytes.memory += unit.memory();
            self.bytes.memory -= before;
        } else if !is_pinned && let Some(dead) = self.list.remove(at) {
            self.bytes.memory -= before;
            self.bytes.leaving -= dead.leaving();
            match dead.place {
                Place::File(_, slot) => self.slots.free(slot),
                memory => self.use_again(memory),
            }
        }
    }

    /// Keeps the memory of a unit that left it, unless somebody reads it.
    fn use_again(&mut self, left: Place<D>) {
        if let Place::Memory(pieces) = left
            && let Some(piece) = pieces.into_iter().next().and_then(Arc::into_inner)
            && let PieceBytes::Sectors(mut spare) = piece.bytes
            && spare.capacity() <= self.unit_bytes.saturating_mul(2)
        {
            spare.clear();
            self.spares.push(spare);
            // The last one is the largest, and taken first.
            self.spares.sort_by_key(AlignedBuf::capacity);
            let too_many = self.spares.len().saturating_sub(SPARE_UNITS_MAX);
            self.spares.drain(..too_many);
        }
    }

    /// Units whose file was read when they died.
    fn sweep_released(&mut self) {
        let mut at = self.list.len();
        while at > 0 {
            at -= 1;
            if self.list[at].live.entries == 0 {
                self.sweep(at);
            }
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests;
