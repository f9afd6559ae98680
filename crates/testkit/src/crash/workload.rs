//! Which messages there are: a pure function from a seed and a message's number to queue and body.
//!
//! Invariant: publisher and checker ask the same function, so nothing about a message needs to be kept or
//! shipped to know what it must be.
//!
//! A body of at least 20 bytes is (little endian) publisher u32, number u64, length u32, crc32 u32 of all other
//! bytes, then noise. A shorter one is noise, compared byte by byte; it is known by its `message-id`.

use crate::random::{Random, mix};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Publishers, each with a connection of its own.
pub const PUBLISHER_COUNT: u16 = 4;
/// Queues that get their messages one by one. The first ones through the default exchange, and nothing else happens to those.
pub const DIRECT_QUEUE_COUNT: usize = 10;
/// The one of them that gets what expired in another queue, or was dropped there.
pub const RELAYED_QUEUE: usize = 5;
/// The one with priorities.
pub const URGENT_QUEUE: usize = 6;
/// The one that gets what consumers of another queue refused, failed with or did not answer.
pub const WORKED_QUEUE: usize = 7;
/// The one that gets its messages some time after they were published.
pub const DELAYED_QUEUE: usize = 8;
/// The quorum queue whose messages have priorities: it has levels without being asked for them.
pub const RANKED_QUEUE: usize = 9;
/// Queues that are bound to the fan-out exchange.
pub const FANOUT_QUEUE_COUNT: usize = 3;
/// All queues.
pub const QUEUE_COUNT: usize = DIRECT_QUEUE_COUNT + FANOUT_QUEUE_COUNT;
/// Largest body.
pub const BODY_BYTES_MAX: u64 = 1 << 20;

/// Levels of the queues with priorities.
pub const LEVEL_COUNT: usize = 4;
/// Longest time for which a message is put off. It is shorter than the silence that ends a run.
const DELAY_MS_MAX: u64 = 400;

const HEADER_BYTES: usize = 20;
const CHECKSUM: Range<usize> = 16..20;

/// A message: who published it, and his how manieth it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId {
    /// The publisher, from 0.
    pub publisher: u16,
    /// The number, from 0, without gaps.
    pub number: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.publisher, self.number)
    }
}

impl FromStr for MessageId {
    type Err = BodyFault;

    fn from_str(text: &str) -> Result<Self, BodyFault> {
        let parts = text
            .split_once('-')
            .and_then(|(p, n)| Some((p.parse().ok()?, n.parse().ok()?)));
        let (publisher, number) = parts.ok_or_else(|| BodyFault::Nameless { id: text.to_owned() })?;
        Ok(Self { publisher, number })
    }
}

/// What is wrong with a delivered message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// Its `message-id` is none of ours.
    Nameless {
        /// What it is.
        id: String,
    },
    /// It is shorter or longer than it was.
    Length {
        /// As published.
        expected: u64,
        /// As delivered.
        actual: u64,
    },
    /// It is another message's body.
    Foreign {
        /// Whose body it is.
        of: MessageId,
    },
    /// Its bytes are not those that were published.
    Bytes,
}

/// The messages of a run.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    seed: u64,
}

impl Workload {
    /// The messages that belong to a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The queues that a message goes to: one, or all of the fan-out.
    pub fn queues_of(&self, id: MessageId) -> Range<usize> {
        let queue = match self.random(id, 1).below(100) {
            0..15 => return DIRECT_QUEUE_COUNT..QUEUE_COUNT,
            15..22 => URGENT_QUEUE,
            22..29 => RANKED_QUEUE,
            29..34 => WORKED_QUEUE,
            34..42 => DELAYED_QUEUE,
            _ => {
                let queues = u64::try_from(URGENT_QUEUE).expect("a handful");
                usize::try_from(self.random(id, 2).below(queues)).expect("less than a handful")
            }
        };
        queue..queue + 1
    }

    /// The messages of a publisher that come in order out of a queue: those with the same number. Without one, no order is promised.
    pub fn lane(&self, queue: usize, id: MessageId) -> Option<u8> {
        match queue {
            URGENT_QUEUE | RANKED_QUEUE => Some(self.priority(id)),
            WORKED_QUEUE | DELAYED_QUEUE => None,
            _ => Some(0),
        }
    }

    /// The priority of a message for a queue with priorities.
    pub fn priority(&self, id: MessageId) -> u8 {
        let levels = u64::try_from(LEVEL_COUNT).expect("a handful");
        u8::try_from(self.random(id, 5).below(levels)).expect("less than a handful")
    }

    /// For how long a message is put off.
    pub fn delay_ms(&self, id: MessageId) -> u64 {
        self.random(id, 6).between(1, DELAY_MS_MAX)
    }

    /// Whether a message goes through the fan-out exchange.
    pub fn is_fan_out(&self, id: MessageId) -> bool {
        self.queues_of(id).len() > 1
    }

    /// Length of a message's body: mostly small, sometimes empty, sometimes a MiB, often at a border.
    pub fn body_len(&self, id: MessageId) -> u64 {
        let mut random = self.random(id, 3);
        match random.below(10_000) {
            0..500 => 0,
            500..2_000 => random.between(1, 24),
            2_000..8_000 => random.between(24, 512),
            8_000..9_700 => random.between(512, 8_192),
            9_700..9_980 => random.between(8_192, 65_536),
            // A frame's payload and its neighbours, for the default frame_max of 131072.
            9_980..9_990 => 131_063 + random.below(3),
            9_990..9_998 => random.between(65_536, BODY_BYTES_MAX),
            _ => BODY_BYTES_MAX,
        }
    }

    /// Writes a message's body into `body`.
    pub fn fill(&self, id: MessageId, body: &mut Vec<u8>) {
        let len = usize::try_from(self.body_len(id)).expect("a body fits into memory");
        body.clear();
        let mut noise = self.random(id, 4);
        while body.len() < len {
            body.extend_from_slice(&noise.number().to_le_bytes());
        }
        body.truncate(len);
        if len >= HEADER_BYTES {
            body[0..4].copy_from_slice(&u32::from(id.publisher).to_le_bytes());
            body[4..12].copy_from_slice(&id.number.to_le_bytes());
            body[12..16].copy_from_slice(&u32::try_from(len).expect("at most a MiB").to_le_bytes());
            let checksum = checksum(body);
            body[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        }
    }

    /// Says whether `body` is what was published as `id`.
    pub fn check(&self, id: MessageId, body: &[u8]) -> Result<(), BodyFault> {
        let actual = u64::try_from(body.len()).expect("a length is at most 64 bits");
        if body.len() >= HEADER_BYTES && checksum(body).to_le_bytes() == body[CHECKSUM] {
            let of = owner(body);
            if of != Some(id) {
                return of.map_or(Err(BodyFault::Bytes), |of| Err(BodyFault::Foreign { of }));
            }
        }
        let expected = self.body_len(id);
        if actual != expected {
            return Err(BodyFault::Length { expected, actual });
        }
        let is_intact = if body.len() >= HEADER_BYTES {
            checksum(body).to_le_bytes() == body[CHECKSUM]
        } else {
            let mut published = Vec::new();
            self.fill(id, &mut published);
            body == published
        };
        if is_intact { Ok(()) } else { Err(BodyFault::Bytes) }
    }

    fn random(&self, id: MessageId, purpose: u64) -> Random {
        Random::of(
            self.seed ^ mix(u64::from(id.publisher) << 48 ^ id.number),
            purpose,
        )
    }
}

fn checksum(body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&body[..CHECKSUM.start]);
    hasher.update(&body[CHECKSUM.end..]);
    hasher.finalize()
}

fn owner(body: &[u8]) -> Option<MessageId> {
    let publisher = u32::from_le_bytes(body[0..4].try_into().ok()?);
    let number = u64::from_le_bytes(body[4..12].try_into().ok()?);
    Some(MessageId {
        publisher: u16::try_from(publisher).ok()?,
        number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKLOAD: Workload = Workload { seed: 7 };

    fn id(number: u64) -> MessageId {
        MessageId { publisher: 1, number }
    }

    fn body(number: u64) -> Vec<u8> {
        let mut body = Vec::new();
        WORKLOAD.fill(id(number), &mut body);
        body
    }

    /// The first message whose body has at least `min` bytes and fewer than `max`.
    fn with_len(min: u64, max: u64) -> u64 {
        (0..)
            .find(|&n| (min..max).contains(&WORKLOAD.body_len(id(n))))
            .unwrap()
    }

    #[test]
    fn every_body_passes_its_own_check() {
        for number in 0..2_000 {
            assert_eq!(WORKLOAD.check(id(number), &body(number)), Ok(()));
        }
    }

    #[test]
    fn a_flipped_bit_is_found_wherever_it_is() {
        for number in [with_len(1, 20), with_len(20, 100)] {
            for at in 0..body(number).len() {
                let mut damaged = body(number);
                damaged[at] ^= 0x10;
                assert!(WORKLOAD.check(id(number), &damaged).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_shortened_body_is_found() {
        let number = with_len(100, 500);
        let mut short = body(number);
        short.pop();
        assert!(matches!(
            WORKLOAD.check(id(number), &short),
            Err(BodyFault::Length { .. })
        ));
    }

    #[test]
    fn another_messages_body_is_named() {
        let (one, other) = (with_len(20, 50), with_len(50, 500));
        assert_eq!(
            WORKLOAD.check(id(one), &body(other)),
            Err(BodyFault::Foreign { of: id(other) })
        );
    }

    #[test]
    fn bodies_reach_from_nothing_to_a_mebibyte() {
        assert_eq!(WORKLOAD.body_len(id(with_len(0, 1))), 0);
        assert_eq!(
            WORKLOAD.body_len(id(with_len(BODY_BYTES_MAX, u64::MAX))),
            BODY_BYTES_MAX
        );
    }

    #[test]
    fn a_message_id_survives_its_text() {
        assert_eq!(
            "3-99".parse(),
            Ok(MessageId {
                publisher: 3,
                number: 99
            })
        );
        assert!("99".parse::<MessageId>().is_err());
    }
}
