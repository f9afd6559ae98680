//! One exact crash: which of the operations that no sync covered have arrived. Nothing is left to chance.
//!
//! Invariants:
//! - Operations are numbered as `SimDisk::unsynced_operations` counts them: names first, then writes file by file.
//!
//! Elsewhere: crashes drawn at random (`crash`).

use super::crash::SECTOR_BYTES;
use super::image::Image;
use super::inode::{Inode, Pending};

/// What has arrived of all operations that no sync covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// None.
    All,
    /// All.
    Nothing,
    /// All but this one.
    Just(usize),
    /// This one alone.
    AllBut(usize),
    /// All before this one, and of a write its first half, which ends inside a sector.
    TornAt(usize),
}

/// Numbers the operations as they come by.
pub(super) struct Counted {
    loss: Loss,
    next: usize,
}

/// What becomes of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Lost,
    Kept,
    Torn,
}

impl Loss {
    /// Each manner of losing some of `count` operations.
    pub fn each(count: usize) -> impl Iterator<Item = Self> {
        let either = if count == 0 {
            vec![Self::All]
        } else {
            vec![Self::All, Self::Nothing]
        };
        let one = (0..count).flat_map(move |number| {
            // Of a single operation, losing and keeping it was had before.
            let alone = (count > 1).then_some([Self::Just(number), Self::AllBut(number)]);
            alone
                .into_iter()
                .flatten()
                .chain(std::iter::once(Self::TornAt(number)))
        });
        either.into_iter().chain(one)
    }

    pub(super) const fn counted(self) -> Counted {
        Counted { loss: self, next: 0 }
    }

    fn of(self, number: usize) -> Arrival {
        let kept = match self {
            Self::All => false,
            Self::Nothing => true,
            Self::Just(lost) => number != lost,
            Self::AllBut(kept) => number == kept,
            Self::TornAt(torn) if number == torn => return Arrival::Torn,
            Self::TornAt(torn) => number < torn,
        };
        if kept { Arrival::Kept } else { Arrival::Lost }
    }
}

impl Counted {
    pub(super) fn next(&mut self) -> Arrival {
        self.next += 1;
        self.loss.of(self.next - 1)
    }
}

impl Inode {
    /// The file as a new machine finds it.
    pub(super) fn after_loss(&self, counted: &mut Counted) -> Self {
        let mut image = self.durable.clone();
        for pending in &self.pending {
            match (counted.next(), pending) {
                (Arrival::Lost, _) | (Arrival::Torn, Pending::Grow { .. }) => {}
                (Arrival::Kept, Pending::Grow { len }) => image.grow(*len),
                (Arrival::Kept, Pending::Write { offset, bytes }) => image.write(bytes, *offset),
                (Arrival::Torn, Pending::Write { offset, bytes }) => tear(&mut image, bytes, *offset),
            }
        }
        Self::of(image)
    }
}

/// The file has its new size, and the first half of the write and of the sector behind that.
fn tear(image: &mut Image, bytes: &[u8], offset: usize) {
    let sectors = bytes.len() / SECTOR_BYTES / 2 * SECTOR_BYTES;
    let first = (sectors + SECTOR_BYTES / 2).min(bytes.len());
    image.grow(offset + bytes.len());
    image.write(&bytes[..first], offset);
}
