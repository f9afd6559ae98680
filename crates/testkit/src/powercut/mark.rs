//! A mark: what clients know at a moment, as a record that the guest writes to its disk and sends to the host.
//!
//! Invariants:
//! - A mark that counts a confirm is written after the confirm was received, and no later message is sent before
//!   it is written; one that counts an acknowledgement is written before the acknowledgement is sent.
//! - So for a power cut behind a mark and before the next, the mark says exactly what had to survive.
//!
//! Layout, little endian, one sector of 512 bytes: magic u64, life u64, serial u64, first u64, confirmed u64, for each queue
//! shown u64, for each queue acked u64, zeros, and the crc32 of all before in the last four bytes.
//!
//! Elsewhere: what marks mean for an image (`history`).

use super::message::QUEUES;

/// Length of a mark: a sector.
pub const MARK_BYTES: usize = 512;
/// Messages that may wait for their confirms; what is sent beyond `first + confirmed`.
pub const WINDOW: u64 = 64;
const MAGIC: u64 = 0x6b72_616d_6375_7470;
const CRC_AT: usize = MARK_BYTES - 4;

/// What clients know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Starts of the broker before this one.
    pub life: u64,
    /// Marks before this one.
    pub serial: u64,
    /// Number of the first message that was sent in this life.
    pub first: u64,
    /// Messages confirmed in this life, in order from the first.
    pub confirmed: u64,
    /// For each queue the number behind the last message of this life that a consumer was shown.
    pub shown: [u64; QUEUES.len()],
    /// For each queue the number behind the last message, of any life, whose acknowledgement may have been sent.
    pub acked: [u64; QUEUES.len()],
}

impl Mark {
    /// As a sector.
    pub fn bytes(&self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        for (slot, number) in bytes.chunks_exact_mut(8).zip(self.numbers()) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a sector; nothing when it holds no mark.
    pub fn of(sector: &[u8]) -> Option<Self> {
        let crc = sector.get(CRC_AT..MARK_BYTES)?;
        if crc != crc32fast::hash(&sector[..CRC_AT]).to_le_bytes() {
            return None;
        }
        let numbers = sector.chunks_exact(8).map(|bytes| bytes.try_into());
        let mut numbers = numbers.map_while(Result::ok).map(u64::from_le_bytes);
        let mut next = || numbers.next();
        if next()? != MAGIC {
            return None;
        }
        let mut mark = Self {
            life: next()?,
            serial: next()?,
            first: next()?,
            confirmed: next()?,
            ..Self::default()
        };
        for number in mark.shown.iter_mut().chain(&mut mark.acked) {
            *number = next()?;
        }
        Some(mark)
    }

    /// Behind the last message that may have been sent when this was the newest mark.
    pub fn sent_end(&self) -> u64 {
        self.first + self.confirmed + WINDOW
    }

    /// The first mark of the next life.
    #[must_use]
    pub fn next_life(&self) -> Self {
        Self {
            life: self.life + 1,
            first: self.sent_end(),
            confirmed: 0,
            shown: Default::default(),
            ..*self
        }
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        let Self {
            life,
            serial,
            first,
            confirmed,
            shown,
            acked,
        } = *self;
        [MAGIC, life, serial, first, confirmed]
            .into_iter()
            .chain(shown)
            .chain(acked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_bytes_and_a_damaged_one_is_none() {
        let mark = Mark {
            life: 1,
            serial: 2,
            first: 3,
            confirmed: 4,
            shown: [5, 6, 7, 8],
            acked: [9, 10, 11, 12],
        };
        let mut bytes = mark.bytes();
        assert_eq!(Mark::of(&bytes), Some(mark));
        bytes[40] ^= 1;
        assert_eq!(Mark::of(&bytes), None);
        assert_eq!(Mark::of(&[0; MARK_BYTES]), None);
    }

    #[test]
    fn numbers_of_one_life_are_not_used_in_the_next() {
        let mark = Mark {
            first: 10,
            confirmed: 5,
            ..Mark::default()
        };
        assert_eq!(mark.next_life().first, mark.sent_end());
    }
}
