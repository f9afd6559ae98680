//! Which publishes of a channel still wait for their answer, as (block, last tag, answer).
//!
//! Invariants:
//! - They ascend in block and in tag, so a durable watermark covers a prefix of them.
//! - Answers go out in the order of the publishes, and one of them never covers tags of the other answer.
//! - A publish that reached no queue is confirmed together with what was published before it, never ahead
//!   of a tag that is not durable.

use std::collections::VecDeque;

use logpond_store::{BlockNumber, Durable};

use crate::command::Extent;
use crate::effect::Confirm;

/// The unconfirmed publishes of one channel.
#[derive(Debug, Default)]
pub(crate) struct Confirms {
    waiting: VecDeque<(Option<BlockNumber>, u64, Confirm)>,
    last_tag: u64,
    confirmed: u64,
}

impl Confirms {
    /// Gives the next publish its tag; it rides in `block`, or in none when it reached no queue. `answer` is what it gets
    /// when that is durable.
    pub(crate) fn expect(&mut self, block: Option<BlockNumber>, answer: Confirm) {
        self.last_tag += 1;
        match self.waiting.back_mut() {
            Some((last, tag, same)) if *same == answer && (block.is_none() || *last == block) => {
                *tag = self.last_tag;
            }
            Some((last, ..)) if block.is_some() && *last > block => {
                unreachable!("blocks are numbered in the order of acceptance")
            }
            _ => self.waiting.push_back((block, self.last_tag, answer)),
        }
    }

    /// The first block that something waits for and that is not durable.
    pub(crate) fn next_uncovered(&self, durable: Durable) -> Option<BlockNumber> {
        self.waiting
            .iter()
            .find_map(|(block, ..)| block.filter(|&block| !durable.covers(block)))
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes out what `durable` covers and has the same answer: all tags up to the one returned get it. To be repeated until
    /// there is nothing.
    pub(crate) fn confirm(&mut self, durable: Durable) -> Option<(u64, Extent, Confirm)> {
        self.release(|block| durable.covers(block))
    }

    fn release(&mut self, covered: impl Fn(BlockNumber) -> bool) -> Option<(u64, Extent, Confirm)> {
        let mut released = None;
        while let Some((block, tag, answer)) = self.waiting.front()
            && block.is_none_or(&covered)
            && released.is_none_or(|(_, same)| same == *answer)
        {
            released = Some((*tag, *answer));
            self.waiting.pop_front();
        }
        let (last, answer) = released?;
        let extent = if last == self.confirmed + 1 {
            Extent::One
        } else {
            Extent::UpTo
        };
        assert!(last > self.confirmed, "a tag is confirmed once");
        self.confirmed = last;
        Some((last, extent, answer))
    }
}

#[cfg(test)]
mod tests;
