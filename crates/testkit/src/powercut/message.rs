//! What is published: queue and body of a message follow from the seed and its number.
//!
//! Invariant: guest and host compute the same, so that a message needs no record beside its number.

use crate::generator::{NUMBERED_BYTES_MIN, Numbered};
use crate::random::Random;

/// The queues. Nothing is ever taken from the first, so that its messages outlive the segments they were written to.
pub const QUEUES: [&str; 4] = ["kept", "taken-1", "taken-2", "taken-3"];
/// One message in so many goes to the first queue.
const KEPT_ONE_IN: u64 = 8;
/// Lengths of bodies: (one in so many, below this length), rarest first; all others are short.
const LENGTHS: [(u64, u64); 3] = [(64, 40_000), (16, 12_000), (5, 4_000)];
/// Length of all other bodies, at most.
const SHORT_BYTES_MAX: u64 = 600;

/// All messages of a run.
#[derive(Clone, Copy, Debug)]
pub struct Messages {
    seed: u64,
}

impl Messages {
    /// Messages of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Index of the queue that a message goes to.
    pub fn queue(self, number: u64) -> usize {
        let mut random = self.random(number);
        if random.below(KEPT_ONE_IN) == 0 {
            return 0;
        }
        let taken = random.below(3);
        1 + usize::try_from(taken).expect("a number below three")
    }

    /// Its body.
    pub fn body(self, number: u64) -> Vec<u8> {
        let mut random = self.random(!number);
        let rare = LENGTHS.into_iter().find(|&(one_in, _)| random.below(one_in) == 0);
        let longest = rare.map_or(SHORT_BYTES_MAX, |(_, longest)| longest);
        let len = usize::try_from(random.below(longest)).expect("a body fits into memory");
        let mut body = Numbered(number).bytes().to_vec();
        while body.len() < len.max(NUMBERED_BYTES_MIN) {
            body.extend_from_slice(&random.number().to_le_bytes());
        }
        body.truncate(len.max(NUMBERED_BYTES_MIN));
        body
    }

    fn random(self, number: u64) -> Random {
        Random::of(self.seed, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_begins_with_its_number_and_differs_between_seeds() {
        let (one, other) = (Messages::new(1), Messages::new(2));
        let differ = |n: &u64| one.body(*n) != other.body(*n);
        assert!((0..100).all(|n| Numbered::of(&one.body(n)) == Some(Numbered(n))));
        assert!((0..100).filter(differ).count() > 90);
    }

    #[test]
    fn every_queue_gets_messages() {
        let messages = Messages::new(3);
        for queue in 0..QUEUES.len() {
            assert!((0..200).any(|number| messages.queue(number) == queue));
        }
    }
}
