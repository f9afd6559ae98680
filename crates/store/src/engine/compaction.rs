//! A mostly dead unit of transient messages, read message by message, so that what lives in it can be moved.
//!
//! Invariants:
//! - The shard's lock is held for a bounded number of messages at a time, and never during a read.
//! - What cannot be read stays where it is: whoever asks for it is told.
//!
//! Elsewhere: which unit, and what moving a message is (`shard::compaction`).

use super::Inner;
use super::evacuation::messages;
use crate::disk::{AlignedBuf, Disk};
use crate::follower::Follower;
use crate::format::record;
use crate::format::{byte_count, memory_offset, pad8};
use crate::limits::EVACUATION_ENTRIES_AT_ONCE;
use crate::shard::{Compact, Done, Moved};
use std::io;

impl<D: Disk, F: Follower<D>> Inner<D, F> {
    pub(super) fn compact(&self, job: &Compact<D>) -> io::Result<Done<D>> {
        let (number, first_lsn, bytes) = match job {
            Compact::Memory(unit) => {
                let pieces: Vec<&[u8]> = unit.pieces.iter().map(|piece| piece.bytes()).collect();
                (unit.number, unit.first_lsn, pieces.concat())
            }
            Compact::File(file) => {
                let mut bytes = AlignedBuf::new();
                bytes.resize_stale(memory_offset(file.bytes()));
                let read = file.read_at(&mut bytes, 0).unwrap_or_else(|error| {
                    tracing::warn!(%error, unit = file.number.unlogged_index(), "a spilled unit cannot be moved");
                    0
                });
                let mut sound = 0;
                while let Some((len, _)) = record::peek(&bytes[sound..read]) {
                    let (found, at) = (&bytes[sound..sound + len], byte_count(sound));
                    if !record::is_intact(found, self.salt, file.number, at) {
                        break;
                    }
                    sound = (sound + pad8(len)).min(read);
                }
                (file.number, file.first_lsn, bytes[..sound].to_vec())
            }
        };
        let mut messages = messages(&bytes).peekable();
        while messages.peek().is_some() {
            let mut guard = self.lock();
            let mut looked_up = 0;
            while looked_up < EVACUATION_ENTRIES_AT_ONCE
                && let Some((at, _, message)) = messages.next()
            {
                looked_up += usize::from(message.sharers()) + 1;
                match guard
                    .shard
                    .move_unlogged(&message, first_lsn.plus(byte_count(at)))
                {
                    Ok(Moved::Yes) => {}
                    Ok(Moved::NoPages) => return Ok(Done::Compacted(Moved::NoPages)),
                    Err(cause) => {
                        guard.shard.poison(&cause);
                        return Err(io::Error::other(cause));
                    }
                }
            }
        }
        // Whatever is left in it cannot be read.
        self.lock().shard.state.units.keep_in_place(number);
        Ok(Done::Compacted(Moved::Yes))
    }
}
