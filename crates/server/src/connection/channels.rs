//! What the connection knows of its channels: open, closing, or in the middle of a message.
//!
//! Invariants:
//! - A closing channel takes nothing but `channel.close-ok` (and answers a crossing `channel.close`).
//! - The bytes in assembly over all channels are bounded; one message alone may always become complete.

use logpond_amqp::{ChannelId, Frame, ReplyCode};

use super::content::Assembly;
use super::refusal::Refusal;
use crate::limits::ASSEMBLY_BYTES_MAX;

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
    slots: Vec<Slot>,
    assembly_bytes: usize,
}

impl Channels {
    /// What is known of a channel.
    pub fn get(&self, channel: ChannelId) -> &Slot {
        self.slots
            .get(usize::from(channel.get()))
            .unwrap_or(&Slot::Absent)
    }

    /// Whether a method of the hot path may be taken as it comes.
    #[inline]
    pub fn is_open(&self, channel: ChannelId) -> bool {
        matches!(self.get(channel), Slot::Open)
    }

    /// Sets the state of a channel; a message in assembly is dropped.
    pub fn set(&mut self, channel: ChannelId, slot: Slot) {
        let at = usize::from(channel.get());
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, Slot::default);
        }
        if let Slot::Assembling(assembly) = &self.slots[at] {
            self.assembly_bytes -= assembly.body_len();
        }
        self.slots[at] = slot;
    }

    /// The message in assembly.
    pub fn assembly(&mut self, channel: ChannelId) -> Option<&mut Assembly> {
        match self.slots.get_mut(usize::from(channel.get())) {
            Some(Slot::Assembling(assembly)) => Some(assembly),
            _ => None,
        }
    }

    /// Adds a body frame to the message in assembly.
    pub fn add_body(&mut self, channel: ChannelId, frame: &Frame<'_>) -> Result<(), Refusal> {
        let total = self.assembly_bytes + frame.payload.len();
        let Some(Slot::Assembling(assembly)) = self.slots.get_mut(usize::from(channel.get())) else {
            return Ok(());
        };
        let is_alone = assembly.body_len() == self.assembly_bytes;
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
        let slot = self.slots.get_mut(usize::from(channel.get()))?;
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
