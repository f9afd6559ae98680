//! How much still lives: of a segment, or of a queue in a segment.
//!
//! Invariants:
//! - What is counted for an entry is taken off again when it dies or moves: an entry says itself what it weighs.
//! - Where no entry lives, no byte does.

use crate::format::{byte_count, memory_len, pad8};
use crate::index::page::Entry;

/// What still lives in a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Live {
    /// Queue entries.
    pub entries: u64,
    /// Bytes of their records. A record that was written for several entries is shared by them evenly.
    pub bytes: u64,
}

impl Live {
    pub(crate) fn of(entry: &Entry) -> Self {
        let record = byte_count(pad8(memory_len(entry.len)));
        let bytes = match entry.sharers {
            // Most messages are for one queue, and to divide takes longer than all the rest.
            0 => record,
            sharers => record.div_ceil(u64::from(sharers) + 1),
        };
        Self { entries: 1, bytes }
    }

    pub(crate) const fn add(&mut self, more: Self) {
        self.entries += more.entries;
        self.bytes += more.bytes;
    }

    pub(crate) fn remove(&mut self, less: Self) {
        debug_assert!(self.entries >= less.entries && self.bytes >= less.bytes);
        self.entries = self.entries.saturating_sub(less.entries);
        self.bytes = self.bytes.saturating_sub(less.bytes);
        debug_assert!(self.entries > 0 || self.bytes == 0, "what is dead weighs nothing");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Lsn;

    #[test]
    fn entries_of_one_record_share_its_bytes() {
        let entry = |len, sharers| Entry {
            lsn: Lsn::new(4096),
            len,
            sharers,
            ..Entry::ABSENT
        };
        assert_eq!(
            Live::of(&entry(100, 0)),
            Live {
                entries: 1,
                bytes: 104
            }
        );
        assert_eq!(
            Live::of(&entry(100, 1)),
            Live {
                entries: 1,
                bytes: 52
            }
        );
    }
}
