//! What the connection knows of its channels: open, closing, or in the middle of a message.
//!
//! Invariants:
//! - A closing channel takes nothing but `channel.close-ok` (and answers a crossing `channel.close`).
//! - Memory grows with the channels that are open, whatever their numbers.
//! - The bytes in assembly over all channels are bounded; one message alone may always become complete.

use std::collections::HashMap;

use logpond_amqp::{ChannelId, Frame, ReplyCode};

use super::content::Assembly;
use super::refusal::Refusal;
use crate::limits::{ASSEMBLY_BYTES_MAX, CHANNELS_INDEXED};

/// One channel number.
#[derive(Debug, Default)]
pub(super) enum Slot {
    /// Not open.
    #[default]
    Absent,
    /// Open, between two methods.
    Open,
    /// Open, and a message is coming.
    Assembling(Box<Assembly>),
    /// We sent `channel.close` and wait for `close-ok`.
    Closing,
}

/// The channels of one connection.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// Those with numbers below [`CHANNELS_INDEXED`], by number.
    near: Vec<Slot>,
    /// The others that are not absent.
    far: HashMap<ChannelId, Slot>,
    /// Channels that are not absent.
    count: usize,
    assembly_bytes: usize,
}

impl Channels {
    /// What is known of a channel.
    pub fn get(&self, channel: ChannelId) -> &Slot {
        let at = usize::from(channel.get());
        let slot = self.near.get(at).or_else(|| self.far_slot(at, channel));
        slot.unwrap_or(&Slot::Absent)
    }

    #[inline]
    fn far_slot(&self, at: usize, channel: ChannelId) -> Option<&Slot> {
        if at < CHANNELS_INDEXED {
            return None;
        }
        self.far.get(&channel)
    }

    /// What is known of a channel that is not absent.
    fn get_mut(&mut self, channel: ChannelId) -> Option<&mut Slot> {
        let at = usize::from(channel.get());
        if at < CHANNELS_INDEXED {
            self.near.get_mut(at)
        } else {
            self.far.get_mut(&channel)
        }
    }

    /// How many are open, or closed by us and not yet by the client.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether a method of the hot path may be taken as it comes.
    #[inline]
    pub fn is_open(&self, channel: ChannelId) -> bool {
        matches!(self.get(channel), Slot::Open)
    }

    /// Sets the state of a channel; a message in assembly is dropped.
    pub fn set(&mut self, channel: ChannelId, slot: Slot) {
        let is_absent = matches!(slot, Slot::Absent);
        let before = self.put(channel, slot);
        if let Slot::Assembling(assembly) = &before {
            self.assembly_bytes -= assembly.body_len();
        }
        let was_absent = matches!(before, Slot::Absent);
        self.count += usize::from(was_absent && !is_absent);
        self.count -= usize::from(is_absent && !was_absent);
    }

    /// Puts a slot in its place; what was there.
    fn put(&mut self, channel: ChannelId, slot: Slot) -> Slot {
        let at = usize::from(channel.get());
        if at < CHANNELS_INDEXED {
            if at >= self.near.len() {
                self.near.resize_with(at + 1, Slot::default);
            }
            return std::mem::replace(&mut self.near[at], slot);
        }
        let before = match slot {
            Slot::Absent => self.far.remove(&channel),
            slot => self.far.insert(channel, slot),
        };
        before.unwrap_or_default()
    }

    /// The message in assembly.
    pub fn assembly(&mut self, channel: ChannelId) -> Option<&mut Assembly> {
        match self.get_mut(channel) {
            Some(Slot::Assembling(assembly)) => Some(assembly),
            _ => None,
        }
    }

    /// Adds a body frame to the message in assembly.
    pub fn add_body(&mut self, channel: ChannelId, frame: &Frame<'_>) -> Result<(), Refusal> {
        let before = self.assembly_bytes;
        let total = before + frame.payload.len();
        let Some(assembly) = self.assembly(channel) else {
            return Ok(());
        };
        let is_alone = assembly.body_len() == before;
        if total > ASSEMBLY_BYTES_MAX && !is_alone {
            return Err(Refusal::new(
                ReplyCode::RESOURCE_ERROR,
                format_args!("incomplete messages of this connection exceed {ASSEMBLY_BYTES_MAX} octets"),
            ));
        }
        assembly.take_body(frame)?;
        self.assembly_bytes = total;
        Ok(())
    }

    /// Takes the message out once it is complete; the channel is then between two methods.
    pub fn take_complete(&mut self, channel: ChannelId) -> Option<Box<Assembly>> {
        let slot = self.get_mut(channel)?;
        match std::mem::replace(slot, Slot::Open) {
            Slot::Assembling(assembly) if assembly.is_complete() => {
                self.assembly_bytes -= assembly.body_len();
                Some(assembly)
            }
            other => {
                *slot = other;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_counted_and_a_high_number_takes_no_more_memory_than_a_low_one() {
        let mut channels = Channels::default();
        for number in [1, 2_047, 2_048, u16::MAX] {
            channels.set(ChannelId::new(number), Slot::Open);
            channels.set(ChannelId::new(number), Slot::Closing);
        }
        assert_eq!(channels.count(), 4);
        assert!(channels.near.len() <= CHANNELS_INDEXED && channels.far.len() == 2);
        for number in [1, 2_048, u16::MAX] {
            let channel = ChannelId::new(number);
            assert!(matches!(channels.get(channel), Slot::Closing));
            channels.set(channel, Slot::Absent);
            channels.set(channel, Slot::Absent);
            assert!(matches!(channels.get(channel), Slot::Absent));
        }
        assert_eq!((channels.count(), channels.far.len()), (1, 0));
    }
}
