//! Levels that count from when messages of more than one of them wait until nothing waits.
//!
//! Invariants:
//! - Until then the queue is kept as one without levels: the cursor tells what is next, and all behind it has one level.
//! - What was seen is never less than the priorities of all that lives: it is emptied when nothing does.
//!
//! Elsewhere: the levels (`levels`), and the queue that has them (`queue`).

use crate::priority::Priority;

/// The most that priorities are told apart to, but by queues that always have levels.
const HIGHEST_MAX: u8 = 62;
/// The bit of a message to which nobody gave a priority.
const UNSAID: u64 = 1 << 63;

/// Which level a priority means in a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scale {
    highest: u8,
    /// The level of what has no priority.
    unsaid: u8,
}

impl Scale {
    /// Levels from 0, which is that of what has no priority.
    pub(crate) const fn up_to(highest: u8) -> Self {
        Self { highest, unsaid: 0 }
    }

    #[inline]
    pub(crate) fn level(self, priority: Priority) -> u8 {
        priority.get().unwrap_or(self.unsaid).min(self.highest)
    }
}

/// What a queue knows whose levels count only while they are in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ranks {
    pub scale: Scale,
    /// The level of all that lies between the cursor and the visible end, while there is no order.
    pub fresh: u8,
}

impl Ranks {
    /// Those of a queue in which nothing waits.
    pub(crate) fn new(highest: u8, unsaid: u8) -> Self {
        let highest = highest.min(HIGHEST_MAX);
        let scale = Scale { highest, unsaid };
        Self {
            scale,
            fresh: scale.level(Priority::NONE),
        }
    }
}

/// Which priorities the messages of a queue have, or have had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen(u64);

/// The levels of messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spread {
    /// There are none.
    None,
    /// All have this one.
    One(u8),
    /// They have several.
    Many,
}

impl Seen {
    /// Any, for all that is known.
    pub(crate) const ANY: Self = Self(u64::MAX);

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    #[inline]
    pub(crate) fn add(&mut self, priority: Priority) {
        self.0 |= priority
            .get()
            .map_or(UNSAID, |priority| 1 << priority.min(HIGHEST_MAX));
    }

    /// Which levels these are on a scale.
    pub(crate) fn spread(self, scale: Scale) -> Spread {
        let mut rest = self.0;
        let mut spread = Spread::None;
        while rest != 0 {
            let bit = rest & rest.wrapping_neg();
            rest ^= bit;
            // A bit's number is below 64.
            let number = u8::try_from(bit.trailing_zeros()).unwrap_or(HIGHEST_MAX);
            let priority = if bit == UNSAID {
                Priority::NONE
            } else {
                Priority::new(number)
            };
            let level = scale.level(priority);
            spread = match spread {
                Spread::None => Spread::One(level),
                Spread::One(known) if known == level => spread,
                Spread::One(_) | Spread::Many => return Spread::Many,
            };
        }
        spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(priorities: &[Option<u8>]) -> Seen {
        let mut seen = Seen::default();
        for priority in priorities {
            seen.add(priority.map_or(Priority::NONE, Priority::new));
        }
        seen
    }

    #[test]
    fn priorities_that_mean_the_same_level_are_one() {
        let Ranks { scale, fresh } = Ranks::new(31, 4);
        assert_eq!(fresh, 4);
        assert_eq!(seen(&[]).spread(scale), Spread::None);
        assert_eq!(seen(&[None, Some(4)]).spread(scale), Spread::One(4));
        assert_eq!(
            seen(&[Some(31), Some(32), Some(255)]).spread(scale),
            Spread::One(31)
        );
        assert_eq!(seen(&[None, Some(0)]).spread(scale), Spread::Many);
        assert_eq!(seen(&[Some(30), Some(31)]).spread(scale), Spread::Many);
        assert_eq!(Seen::ANY.spread(scale), Spread::Many);
    }
}
