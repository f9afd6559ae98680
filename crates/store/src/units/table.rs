//! All units in their order, and what they take.
//!
//! Invariants:
//! - Units are in the order of their addresses and of their numbers; the last one is open, and in memory.
//! - `bytes` is the sum of what each of them takes.

use super::piece::PieceBytes;
use super::slots::Slots;
use super::unit::{Place, Unit};
use super::{ClosedUnit, UnitBytes, Which};
use crate::disk::{AlignedBuf, Disk};
use crate::format::byte_count;
use crate::ids::{Lsn, SegmentNumber};
use crate::limits::SPARE_UNITS_MAX;
use crate::live::Live;
use std::collections::VecDeque;
use std::sync::Arc;

/// See the module's description.
pub(super) struct Table<D: Disk> {
    pub(super) list: VecDeque<Unit<D>>,
    /// Where the open unit ends, and with it all.
    pub(super) end: Lsn,
    pub(super) next_number: u64,
    pub(super) unit_bytes: usize,
    pub(super) bytes: UnitBytes,
    pub(super) slots: Slots<D::File>,
    /// Memory of units that left it, for the next ones: fresh memory costs more than what is written to it.
    pub(super) spares: Vec<AlignedBuf>,
}

impl<D: Disk> Table<D> {
    pub(super) fn append(&mut self, records: &[u8]) -> (Lsn, SegmentNumber) {
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
    pub(super) fn begin_unit(&mut self, memory_at_first: usize) {
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

    pub(super) fn closed_in_memory(&self, which: Which) -> Option<ClosedUnit> {
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

    pub(super) fn set_leaving(&mut self, number: SegmentNumber, is_leaving: bool) {
        let Some(at) = self.index_of(number) else {
            return;
        };
        let unit = &mut self.list[at];
        let before = unit.leaving();
        unit.is_leaving = is_leaving;
        self.bytes.leaving += unit.leaving();
        self.bytes.leaving -= before;
    }

    pub(super) fn index_of(&self, number: SegmentNumber) -> Option<usize> {
        let last = self.list.len().checked_sub(1)?;
        if self.list[last].number == number {
            return Some(last);
        }
        self.list.binary_search_by_key(&number, |unit| unit.number).ok()
    }

    pub(super) fn find(&self, lsn: Lsn) -> Option<&Unit<D>> {
        let after = self.list.partition_point(|unit| unit.first_lsn <= lsn);
        let unit = &self.list[after.checked_sub(1)?];
        (lsn < unit.end).then_some(unit)
    }

    /// Lets the unit go if nothing lives in it and nobody reads it from its file.
    pub(super) fn sweep(&mut self, at: usize) {
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
    pub(super) fn use_again(&mut self, left: Place<D>) {
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
    pub(super) fn sweep_released(&mut self) {
        let mut at = self.list.len();
        while at > 0 {
            at -= 1;
            if self.list[at].live.entries == 0 {
                self.sweep(at);
            }
        }
    }
}
