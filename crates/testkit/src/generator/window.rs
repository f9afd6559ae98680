//! Publishes that wait for their confirms.
//!
//! Invariants:
//! - A tag is in flight from when it was sent until it is confirmed or refused, once.
//! - `lowest` is the lowest tag in flight, or the next one to be sent.

use super::histogram::Histogram;
use anyhow::ensure;

/// When each publish in flight was sent, by its tag.
#[derive(Debug)]
pub struct Window {
    sent_at: Vec<u64>,
    mask: u64,
    limit: u64,
    next: u64,
    lowest: u64,
    in_flight: u64,
    refused: u64,
    latency: Histogram,
}

impl Window {
    /// Room for so many at a time.
    pub fn new(limit: u64) -> Self {
        // Twice as many, because a broker may confirm out of order: late ones keep their places meanwhile.
        let places = (limit.max(1) * 2).next_power_of_two();
        Self {
            sent_at: vec![0; usize::try_from(places).expect("a window fits into memory")],
            mask: places - 1,
            limit,
            next: 1,
            lowest: 1,
            in_flight: 0,
            refused: 0,
            latency: Histogram::default(),
        }
    }

    /// How many more may be sent.
    pub fn free(&self) -> u64 {
        let places = self.mask - (self.next - self.lowest);
        (self.limit - self.in_flight).min(places)
    }

    /// How many wait.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// How many the broker did not take.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// From being sent to the confirm.
    pub fn into_latency(self) -> Histogram {
        self.latency
    }

    /// So many more were sent. `now` is never 0.
    pub fn sent(&mut self, count: u64, now: u64) {
        assert!(count <= self.free(), "the window has no room for {count}");
        for tag in self.next..self.next + count {
            let place = self.place(tag);
            self.sent_at[place] = now;
        }
        self.next += count;
        self.in_flight += count;
    }

    /// A confirm came.
    pub fn confirm(&mut self, settled: Settled, now: u64) -> anyhow::Result<()> {
        let Settled {
            tag,
            multiple,
            verdict,
        } = settled;
        ensure!(
            tag >= self.lowest && tag < self.next,
            "confirm {tag} is none of {} to {}",
            self.lowest,
            self.next
        );
        let first = if multiple { self.lowest } else { tag };
        for tag in first..=tag {
            let place = self.place(tag);
            let sent_at = std::mem::take(&mut self.sent_at[place]);
            if sent_at == 0 {
                ensure!(multiple, "{tag} was confirmed twice");
                continue;
            }
            self.in_flight -= 1;
            match verdict {
                Verdict::Taken => self.latency.record(now.saturating_sub(sent_at)),
                Verdict::Refused => self.refused += 1,
            }
        }
        if multiple {
            self.lowest = tag + 1;
        }
        while self.lowest < self.next && self.sent_at[self.place(self.lowest)] == 0 {
            self.lowest += 1;
        }
        Ok(())
    }

    #[inline]
    fn place(&self, tag: u64) -> usize {
        usize::try_from(tag & self.mask).expect("the mask is below the length")
    }
}

/// A `basic.ack` or `basic.nack` of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which publish.
    pub tag: u64,
    /// And all before it.
    pub multiple: bool,
    /// Which of the two.
    pub verdict: Verdict,
}

/// What became of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Confirmed.
    Taken,
    /// Not stored.
    Refused,
}

impl Settled {
    /// Reads the payload of a method frame; nothing if it is another method.
    #[inline]
    pub fn of(payload: &[u8]) -> Option<Self> {
        let &[0, 60, 0, method, t0, t1, t2, t3, t4, t5, t6, t7, bits] = payload else {
            return None;
        };
        let verdict = match method {
            80 => Verdict::Taken,
            120 => Verdict::Refused,
            _ => return None,
        };
        Some(Self {
            tag: u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            multiple: bits & 1 != 0,
            verdict,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Settled, Verdict, Window};

    fn taken(tag: u64) -> Settled {
        Settled {
            tag,
            multiple: false,
            verdict: Verdict::Taken,
        }
    }

    fn up_to(tag: u64) -> Settled {
        Settled {
            multiple: true,
            ..taken(tag)
        }
    }

    #[test]
    fn a_multiple_confirm_frees_all_up_to_its_tag() {
        let mut window = Window::new(10);
        window.sent(10, 100);
        assert_eq!(window.free(), 0);
        window.confirm(up_to(7), 150).unwrap();
        assert_eq!((window.free(), window.in_flight()), (7, 3));
        let latency = window.into_latency();
        assert_eq!((latency.count(), latency.max()), (7, 50));
    }

    #[test]
    fn confirms_may_come_in_any_order_and_a_late_one_keeps_its_place() {
        let mut window = Window::new(2);
        for round in 0..100 {
            window.sent(window.free(), 1);
            if window.in_flight() == 2 && round < 2 {
                window.confirm(taken(2 + round), 2).unwrap();
            }
        }
        assert_eq!(window.free(), 0, "tag 1 is still in flight, and so is another");
        window.confirm(taken(1), 2).unwrap();
        assert!(window.free() > 0);
    }

    #[test]
    fn a_confirm_of_nothing_is_an_error() {
        let mut window = Window::new(4);
        assert!(window.confirm(taken(1), 1).is_err());
        window.sent(2, 1);
        window.confirm(taken(2), 1).unwrap();
        assert!(window.confirm(taken(2), 1).is_err());
        assert!(window.confirm(up_to(3), 1).is_err());
    }

    #[test]
    fn a_refused_publish_is_counted_and_is_no_latency() {
        let mut window = Window::new(4);
        window.sent(2, 1);
        let refused = Settled {
            verdict: Verdict::Refused,
            ..up_to(2)
        };
        window.confirm(refused, 9).unwrap();
        assert_eq!((window.refused(), window.in_flight()), (2, 0));
        assert_eq!(window.into_latency().count(), 0);
    }

    #[test]
    fn confirms_are_read_from_their_frames() {
        let mut payload = [0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 1, 2, 1];
        assert_eq!(Settled::of(&payload), Some(up_to(258)));
        payload[3] = 120;
        assert_eq!(Settled::of(&payload).unwrap().verdict, Verdict::Refused);
        payload[3] = 60;
        assert_eq!(Settled::of(&payload), None);
    }
}
