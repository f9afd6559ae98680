//! The files of the spill: each has slots for units, and a slot that is free again takes the next unit before a file is made.
//!
//! To make a file costs a busy file system more than to fill it, and blocks that were written before take less time than new ones.
//!
//! Invariants:
//! - A slot is taken from when it is lent, to be written, until nobody needs the unit in it.
//! - Of two files the fuller one takes the next unit: the others empty, and go.
//! - A file in which a unit could not be written takes no more: what the disk takes elsewhere does not wait for a bad block.
//! - A number, and with it a name, is used once.
//!
//! Elsewhere: which unit lies in which slot (`units`), writing and removing files (`shard::spill`).

use crate::limits::ALIGNMENT;
use std::sync::Arc;

/// How large the files are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// A whole number of sectors.
    pub slot_bytes: u64,
    pub slots: u32,
}

impl Layout {
    pub(crate) fn file_bytes(self) -> u64 {
        self.slot_bytes * u64::from(self.slots)
    }
}

/// The number of a file of the spill, which is also its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SpillNumber(u64);

impl SpillNumber {
    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

/// Room for one unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Slot {
    pub file: SpillNumber,
    index: u32,
    /// Those of its file.
    pub layout: Layout,
}

impl Slot {
    /// Where in the file it begins.
    pub(crate) fn offset(&self) -> u64 {
        self.layout.slot_bytes * u64::from(self.index)
    }

    /// The only one of a file that is as large as `bytes` need.
    pub(crate) fn alone(self, bytes: u64) -> Self {
        Self {
            index: 0,
            layout: alone(bytes),
            ..self
        }
    }
}

const fn alone(bytes: u64) -> Layout {
    Layout {
        slot_bytes: bytes.next_multiple_of(ALIGNMENT),
        slots: 1,
    }
}

/// A slot that is to be written.
pub(crate) struct Lent<F> {
    pub slot: Slot,
    /// None when it has to be made.
    pub file: Option<Arc<F>>,
}

/// A file that nobody needs any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DeadFile {
    pub number: SpillNumber,
    pub bytes: u64,
}

/// Whether files of which all slots are free are kept for what is spilled next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slack {
    None,
    /// As long as no more is free than one file holds.
    OneFile,
}

struct SpillFile<F> {
    number: SpillNumber,
    layout: Layout,
    file: Arc<F>,
    taken: Vec<bool>,
    /// Whether the disk refused a unit in one of the slots.
    is_refusing: bool,
}

impl<F> SpillFile<F> {
    fn taken(&self) -> usize {
        self.taken.iter().filter(|taken| **taken).count()
    }

    /// Slots that take a unit.
    fn free(&self) -> usize {
        if self.is_refusing {
            return 0;
        }
        self.taken.len() - self.taken()
    }

    fn release(&mut self, slot: Slot) {
        let taken = &mut self.taken[crate::format::memory_len(slot.index)];
        assert!(std::mem::replace(taken, false), "a slot is freed once");
    }
}

/// All files of the spill.
pub(super) struct Slots<F> {
    layout: Layout,
    files: Vec<SpillFile<F>>,
    next_number: u64,
    dead: Vec<DeadFile>,
    bytes: u64,
}

impl<F> Slots<F> {
    pub(super) const fn new(layout: Layout) -> Self {
        Self {
            layout,
            files: Vec::new(),
            next_number: 1,
            dead: Vec::new(),
            bytes: 0,
        }
    }

    /// Files that are made from now on are of this size.
    pub(super) const fn set_layout(&mut self, layout: Layout) {
        self.layout = layout;
    }

    /// Bytes of all files, those that are yet to be removed included.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the files that are not to be removed.
    pub(super) fn bytes_kept(&self) -> u64 {
        self.bytes - self.dead.iter().map(|file| file.bytes).sum::<u64>()
    }

    /// A slot for a unit of so many bytes. A larger unit than fits into one gets a file of its own.
    pub(super) fn lend(&mut self, bytes: u64) -> Lent<F> {
        let layout = self.layout;
        let fits = bytes <= layout.slot_bytes;
        let usable = |file: &&mut SpillFile<F>| fits && file.layout == layout && file.free() > 0;
        let fullest = self
            .files
            .iter_mut()
            .filter(usable)
            .max_by_key(|file| file.taken());
        match fullest {
            Some(file) => {
                let free = file.taken.iter_mut().zip(0..).find(|(taken, _)| !**taken);
                let (taken, index) = free.expect("it has a free slot");
                *taken = true;
                let number = file.number;
                Lent {
                    slot: Slot {
                        file: number,
                        index,
                        layout,
                    },
                    file: Some(Arc::clone(&file.file)),
                }
            }
            None => {
                let file = SpillNumber(self.next_number);
                self.next_number += 1;
                let layout = if fits { layout } else { alone(bytes) };
                let slot = Slot {
                    file,
                    index: 0,
                    layout,
                };
                Lent { slot, file: None }
            }
        }
    }

    /// A slot that was lent was written. Its file may be new, and then other than it was thought to be.
    pub(super) fn enter(&mut self, slot: Slot, file: &Arc<F>) {
        if self.files.iter().all(|known| known.number != slot.file) {
            let mut taken: Vec<bool> = (0..slot.layout.slots).map(|_| false).collect();
            taken[0] = true;
            self.bytes += slot.layout.file_bytes();
            self.files.push(SpillFile {
                number: slot.file,
                layout: slot.layout,
                file: Arc::clone(file),
                taken,
                is_refusing: false,
            });
        }
    }

    /// A slot that was lent could not be written.
    pub(super) fn refuse(&mut self, slot: Slot) {
        if let Some(file) = self.lender_of(slot) {
            file.is_refusing = true;
            file.release(slot);
        }
    }

    /// A slot that was lent was not written.
    pub(super) fn give_back(&mut self, slot: Slot) {
        if let Some(file) = self.lender_of(slot) {
            file.release(slot);
        }
    }

    /// The file of a slot that was lent, unless that was still to be made for it.
    fn lender_of(&mut self, slot: Slot) -> Option<&mut SpillFile<F>> {
        self.files.iter_mut().find(|file| file.number == slot.file)
    }

    /// Nobody needs what is in the slot.
    pub(super) fn free(&mut self, slot: Slot) {
        let file = self.files.iter_mut().find(|file| file.number == slot.file);
        file.expect("a file is there while a slot is taken").release(slot);
    }

    /// Of the files that have something to move, the one of which the fewest slots are taken, if what it holds fits into the free
    /// slots of others.
    pub(super) fn emptiest(&self, has_movable: impl Fn(SpillNumber) -> bool) -> Option<SpillNumber> {
        let used = || {
            let alike = self.files.iter().filter(|file| file.layout == self.layout);
            alike.filter(|file| file.taken() > 0)
        };
        let movable = used().filter(|file| has_movable(file.number));
        let emptiest = movable.min_by_key(|file| file.taken())?;
        let free: usize = used().map(SpillFile::free).sum();
        (free - emptiest.free() >= emptiest.taken()).then_some(emptiest.number)
    }

    /// How many files are to be removed, but for what is kept.
    pub(super) fn dead(&mut self, slack: Slack) -> usize {
        let layout = self.layout;
        let alike = self.files.iter().filter(|file| file.layout == layout);
        let mut free: usize = alike.map(SpillFile::free).sum();
        let most = match slack {
            Slack::None => 0,
            Slack::OneFile => crate::format::memory_len(layout.slots),
        };
        let dead = &mut self.dead;
        self.files.retain(|file| {
            let is_kept = file.layout == layout && !file.is_refusing && free <= most;
            let stays = file.taken() > 0 || is_kept;
            if !stays {
                free -= if file.layout == layout { file.free() } else { 0 };
                let (number, bytes) = (file.number, file.layout.file_bytes());
                dead.push(DeadFile { number, bytes });
            }
            stays
        });
        self.dead.len()
    }

    /// Some of the files that are to be removed.
    pub(super) fn take_dead(&mut self, count: usize) -> Vec<DeadFile> {
        let kept = self.dead.len().saturating_sub(count);
        self.dead.split_off(kept)
    }

    /// These files are gone.
    pub(super) fn removed(&mut self, files: &[DeadFile]) {
        self.bytes -= files.iter().map(|file| file.bytes).sum::<u64>();
    }
}

#[cfg(test)]
mod tests;
