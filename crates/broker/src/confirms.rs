//! Which publishes of a channel still wait for their confirm, as (block, last tag) pairs.
//!
//! Invariants:
//! - Pairs ascend in block and in tag, so a durable watermark covers a prefix of them.
//! - A publish that reached no queue is confirmed together with what was published before it, never ahead
//!   of a tag that is not durable.

use std::collections::VecDeque;

use logpond_store::{BlockNumber, Durable};

use crate::command::Extent;

/// The unconfirmed publishes of one channel.
#[derive(Debug, Default)]
pub(crate) struct Confirms {
    waiting: VecDeque<(Option<BlockNumber>, u64)>,
    last_tag: u64,
    confirmed: u64,
}

impl Confirms {
    /// Gives the next publish its tag; it rides in `block`, or in none when it reached no queue.
    pub(crate) fn expect(&mut self, block: Option<BlockNumber>) {
        self.last_tag += 1;
        match self.waiting.back_mut() {
            Some((last, tag)) if block.is_none() || *last == block => *tag = self.last_tag,
            Some((last, _)) if *last > block => {
                unreachable!("blocks are numbered in the order of acceptance")
            }
            _ => self.waiting.push_back((block, self.last_tag)),
        }
    }

    /// The first block that something waits for and that is not durable.
    pub(crate) fn next_uncovered(&self, durable: Durable) -> Option<BlockNumber> {
        self.waiting
            .iter()
            .find_map(|(block, _)| block.filter(|&block| !durable.covers(block)))
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes out what `durable` covers: all tags up to the one returned are confirmed.
    pub(crate) fn confirm(&mut self, durable: Durable) -> Option<(u64, Extent)> {
        self.release(|block| durable.covers(block))
    }

    fn release(&mut self, covered: impl Fn(BlockNumber) -> bool) -> Option<(u64, Extent)> {
        let mut last = None;
        while let Some((block, tag)) = self.waiting.front()
            && block.is_none_or(&covered)
        {
            last = Some(*tag);
            self.waiting.pop_front();
        }
        let last = last?;
        let extent = if last == self.confirmed + 1 {
            Extent::One
        } else {
            Extent::UpTo
        };
        assert!(last > self.confirmed, "a tag is confirmed once");
        self.confirmed = last;
        Some((last, extent))
    }
}

#[cfg(test)]
mod tests;
