//! What a disk must hold after a power cut, and what it may hold: a pure function of the marks before the cut.
//!
//! Invariants:
//! - A confirmed message, and one that a consumer was shown, must be there unless its acknowledgement may have been sent.
//! - Nothing may be there that cannot have been sent yet, or stands in another queue.
//! - Queues are in the order of their messages' numbers: there is one publisher.
//!
//! Elsewhere: marks (`mark`), where they come from (`history`), what was found (`recovery`).

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::mark::Mark;
use super::message::{Messages, QUEUES};

/// What a queue held after a recovery, in its order.
pub type Contents = [Vec<Found>; QUEUES.len()];

/// A message that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// As it was published.
    Whole(u64),
    /// Some other bytes.
    Damaged,
}

/// What must be there.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// The newest mark of each life.
    lives: BTreeMap<u64, Mark>,
    acked: [u64; QUEUES.len()],
}

/// What was wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages that had to be there and are not.
    pub lost: u64,
    /// Messages that cannot be there.
    pub invented: u64,
    /// Messages that are not as they were published.
    pub damaged: u64,
    /// Messages that stand before an earlier one, or twice.
    pub disordered: u64,
    /// The first of all these.
    pub first: Option<String>,
}

impl Expectation {
    /// What all marks up to a cut say.
    pub fn of(marks: impl IntoIterator<Item = Mark>) -> Self {
        let mut expectation = Self::default();
        for mark in marks {
            let life = expectation.lives.entry(mark.life).or_insert(mark);
            if mark.serial >= life.serial {
                *life = mark;
            }
            for (acked, newer) in expectation.acked.iter_mut().zip(mark.acked) {
                *acked = newer.max(*acked);
            }
        }
        expectation
    }

    /// Messages confirmed, in all lives.
    pub fn confirmed(&self) -> u64 {
        self.lives.values().map(|life| life.confirmed).sum()
    }

    /// Compares.
    pub fn judge(&self, messages: Messages, contents: &Contents) -> Verdict {
        let mut verdict = Verdict::default();
        for (queue, found) in contents.iter().enumerate() {
            self.judge_found(messages, queue, found, &mut verdict);
        }
        let there: HashSet<u64> = contents.iter().flatten().filter_map(Found::number).collect();
        for number in self.required(messages) {
            if !there.contains(&number) {
                verdict.lost += 1;
                verdict.tell("lost", messages.queue(number), number);
            }
        }
        verdict
    }

    fn judge_found(&self, messages: Messages, queue: usize, found: &[Found], verdict: &mut Verdict) {
        let mut end = 0;
        for found in found {
            let Found::Whole(number) = *found else {
                verdict.damaged += 1;
                verdict.tell("damaged, the one behind", queue, end);
                continue;
            };
            if !self.may_be_sent(number) || messages.queue(number) != queue {
                verdict.invented += 1;
                verdict.tell("never sent", queue, number);
            } else if number < end {
                verdict.disordered += 1;
                verdict.tell("out of order", queue, number);
            }
            end = end.max(number + 1);
        }
    }

    fn may_be_sent(&self, number: u64) -> bool {
        let mut lives = self.lives.values();
        lives.any(|life| (life.first..life.sent_end()).contains(&number))
    }

    fn required(&self, messages: Messages) -> impl Iterator<Item = u64> {
        let sent = self.lives.values().flat_map(move |life| {
            let confirmed_end = life.first + life.confirmed;
            (life.first..life.sent_end()).filter(move |number| {
                *number < confirmed_end || *number < life.shown[messages.queue(*number)]
            })
        });
        sent.filter(move |number| *number >= self.acked[messages.queue(*number)])
    }
}

impl Found {
    /// Its number, if it is whole.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Whole(number) => Some(*number),
            Self::Damaged => None,
        }
    }
}

impl Verdict {
    /// Whether nothing was wrong.
    pub fn is_good(&self) -> bool {
        *self == Self::default()
    }

    fn tell(&mut self, what: &str, queue: usize, number: u64) {
        let name = QUEUES[queue];
        self.first
            .get_or_insert_with(|| format!("{what}: message {number} in {name}"));
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lost,
            invented,
            damaged,
            disordered,
            first,
        } = self;
        write!(
            f,
            "{lost} lost, {invented} invented, {damaged} damaged, {disordered} out of order"
        )?;
        first.iter().try_for_each(|first| write!(f, "; first {first}"))
    }
}

#[cfg(test)]
mod tests;
