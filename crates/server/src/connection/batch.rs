//! Commands collected from a read buffer, to be applied in one go.
//!
//! Invariants:
//! - The memory of a batch is reused, whatever buffer its commands borrow from: a batch allocates only until it has
//!   reached its largest size.
//! - A batch holds at most `COMMANDS_PER_BATCH` commands when it is applied.

use logpond_broker::Command;

use crate::limits::COMMANDS_PER_BATCH;

/// The memory of a batch, while no batch uses it.
#[derive(Default)]
pub(crate) struct CommandSpace {
    commands: Vec<Command<'static>>,
    parts: Vec<&'static [u8]>,
}

impl CommandSpace {
    /// An empty batch on this memory.
    pub fn lend<'b>(&mut self) -> Batch<'b> {
        Batch {
            commands: std::mem::take(&mut self.commands),
            parts: std::mem::take(&mut self.parts),
        }
    }

    /// Takes the memory back.
    pub fn take_back(&mut self, batch: Batch<'_>) {
        let Batch {
            mut commands,
            mut parts,
        } = batch;
        commands.clear();
        parts.clear();
        // An empty vector collected in place keeps its memory and loses its lifetime.
        self.commands = commands
            .into_iter()
            .map(|_| unreachable!("it was cleared"))
            .collect();
        self.parts = parts
            .into_iter()
            .map(|_| unreachable!("it was cleared"))
            .collect();
    }
}

/// Commands that borrow from the read buffer.
#[derive(Default)]
pub(crate) struct Batch<'b> {
    pub commands: Vec<Command<'b>>,
    pub parts: Vec<&'b [u8]>,
}

impl<'b> Batch<'b> {
    /// Whether it has to be applied before anything is added.
    pub fn is_full(&self) -> bool {
        self.commands.len() >= COMMANDS_PER_BATCH
    }

    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub fn push(&mut self, command: Command<'b>) {
        self.commands.push(command);
    }

    pub fn clear(&mut self) {
        self.commands.clear();
        self.parts.clear();
    }
}

#[cfg(test)]
mod tests {
    use logpond_broker::{ChannelId, Extent};

    use super::*;

    #[test]
    fn the_memory_of_a_batch_outlives_the_bytes_that_it_borrowed() {
        let mut space = CommandSpace::default();
        let mut batch = space.lend();
        for tag in 0..100 {
            batch.push(Command::Ack {
                channel: ChannelId::new(1),
                tag,
                extent: Extent::One,
            });
        }
        let (capacity, address) = (batch.commands.capacity(), batch.commands.as_ptr().addr());
        space.take_back(batch);

        let bytes = vec![1, 2, 3];
        let mut batch = space.lend();
        batch.parts.push(&bytes);
        assert_eq!(batch.commands.capacity(), capacity);
        assert_eq!(batch.commands.as_ptr().addr(), address);
        space.take_back(batch);
    }
}
