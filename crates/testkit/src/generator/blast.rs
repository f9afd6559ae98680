//! Publishes as fast as the broker takes it, or at a given rate, with or without confirms.
//!
//! Invariants:
//! - One thread: it sends while the window has room, and reads confirms while it has none.
//! - With a rate the loop is open: a message carries the time at which it was due, so a broker that falls behind shows it.

use super::clock::Clock;
use super::connection::{Connection, refuse_close};
use super::histogram::Histogram;
use super::tape::Tape;
use super::window::{Settled, Window};
use logpond_amqp::{FrameKind, Method};
use std::time::{Duration, Instant};

/// What is written to the socket in one go, at most.
const WRITE_BYTES_MAX: usize = 256 << 10;
/// Longest wait until a message is due, so that a deadline is seen.
const NAP_MAX: Duration = Duration::from_millis(100);

/// What to publish.
#[derive(Clone, Copy, Debug)]
pub struct BlastOptions {
    /// Messages that may wait for their confirms; nothing is confirmed without.
    pub in_flight: Option<u64>,
    /// Most messages.
    pub count: u64,
    /// When to stop, at the latest.
    pub deadline: Option<Instant>,
    /// Messages per second, when the loop is open.
    pub rate: Option<u64>,
    /// Whether bodies carry the time.
    pub stamps: Stamps,
    /// The time that they carry.
    pub clock: Clock,
}

/// Whether bodies carry the time at which they were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// They do.
    Time,
    /// They do not.
    None,
}

/// What came of it.
#[derive(Debug)]
pub struct Blasted {
    /// Messages sent.
    pub sent: u64,
    /// Those that the broker did not take.
    pub refused: u64,
    /// From being sent to the confirm.
    pub latency: Histogram,
    /// From the first publish to the last confirm, or to the last byte sent.
    pub elapsed: Duration,
}

/// Publishes until count or deadline, and until all is confirmed. On the connection nothing was published before,
/// and confirms are selected if there is a window.
pub fn blast(
    connection: &mut Connection,
    tape: &mut Tape,
    options: &BlastOptions,
) -> anyhow::Result<Blasted> {
    let mut blast = Blast {
        batch: batch_of(tape),
        chunk: options.in_flight.map_or(1, |in_flight| (in_flight / 10).max(1)),
        window: options.in_flight.map(Window::new),
        sent: 0,
        began: options.clock.now(),
        tape,
        options,
    };
    let start = Instant::now();
    while !blast.is_over() {
        if blast.send(connection)? == Progress::Waits {
            blast.settle(connection)?;
        }
    }
    while blast.window.as_ref().is_some_and(|window| window.in_flight() > 0) {
        blast.settle(connection)?;
    }
    let elapsed = start.elapsed();
    let refused = blast.window.as_ref().map_or(0, Window::refused);
    let latency = blast.window.map(Window::into_latency);
    Ok(Blasted {
        sent: blast.sent,
        refused,
        latency: latency.unwrap_or_default(),
        elapsed,
    })
}

/// How many messages are written at once.
fn batch_of(tape: &Tape) -> u64 {
    let (count, place) = tape.piece(0, u64::MAX);
    let bytes = u64::try_from(place.len()).unwrap_or(u64::MAX);
    let most = u64::try_from(WRITE_BYTES_MAX).unwrap_or(u64::MAX);
    (most * count / bytes.max(1)).max(1)
}

struct Blast<'a> {
    tape: &'a mut Tape,
    options: &'a BlastOptions,
    window: Option<Window>,
    batch: u64,
    /// Sending less than this is put off while more confirms are to come.
    chunk: u64,
    sent: u64,
    began: u64,
}

#[derive(PartialEq, Eq)]
enum Progress {
    Sent,
    Waits,
}

impl Blast<'_> {
    fn is_over(&self) -> bool {
        self.sent >= self.options.count
            || self
                .options
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn send(&mut self, connection: &mut Connection) -> anyhow::Result<Progress> {
        let left = self.options.count - self.sent;
        let free = self.window.as_ref().map_or(u64::MAX, Window::free);
        let mut count = self.batch.min(left).min(free);
        if count < self.chunk.min(self.batch).min(left) {
            return Ok(Progress::Waits);
        }
        let mut time = self.options.clock.now();
        if let Some(rate) = self.options.rate {
            count = count.min(self.due(rate, time));
            if count == 0 {
                self.wait_until_due(connection, rate, time)?;
                return Ok(Progress::Sent);
            }
            time = self.due_at(rate);
        }
        let (count, place) = self.tape.piece(self.sent, count);
        if self.options.stamps == Stamps::Time {
            self.tape.stamp(self.sent, count, time);
        }
        if let Some(window) = &mut self.window {
            window.sent(count, time);
        }
        self.sent += count;
        connection.send(self.tape.frames(place))?;
        Ok(Progress::Sent)
    }

    /// How many messages should have been sent and were not.
    fn due(&self, rate: u64, now: u64) -> u64 {
        let due = u128::from(now - self.began) * u128::from(rate) / 1_000_000_000;
        u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(self.sent)
    }

    /// When the next message is due.
    fn due_at(&self, rate: u64) -> u64 {
        let after = u128::from(self.sent) * 1_000_000_000 / u128::from(rate);
        self.began + u64::try_from(after).unwrap_or(u64::MAX)
    }

    /// Waits until the next message is due, or a confirm comes.
    fn wait_until_due(&mut self, connection: &mut Connection, rate: u64, now: u64) -> anyhow::Result<()> {
        let until_due = Duration::from_nanos(self.due_at(rate).saturating_sub(now).max(1));
        if connection.is_readable_within(until_due.min(NAP_MAX))? {
            self.settle(connection)?;
        }
        Ok(())
    }

    /// Reads what confirms there are, and waits for one if there is none.
    fn settle(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        let Some(window) = &mut self.window else {
            return Ok(());
        };
        connection.fill()?;
        let now = self.options.clock.now();
        while let Some(frame) = connection.frame_here()? {
            match Settled::of(frame.payload) {
                Some(settled) => window.confirm(settled, now)?,
                None if frame.kind == FrameKind::Method => refuse_close(&Method::decode(frame.payload)?)?,
                None => {}
            }
        }
        Ok(())
    }
}
