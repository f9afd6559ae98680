//! Consumes with manual acks as fast as the broker delivers, and looks at nothing but the time in each body.
//!
//! Invariants:
//! - Only whole messages are acknowledged.
//! - What is left over below a full ack is acknowledged when nothing comes for a moment.
//!
//! Elsewhere: the consumer that judges every message (`drainer`).

use super::blast::Stamps;
use super::clock::Clock;
use super::connection::{CHANNEL, Connection, Filled, refuse_close};
use super::histogram::Histogram;
use anyhow::{Context, ensure};
use logpond_amqp::{Frame, FrameKind, Method, encode_ack};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When nothing came for so long, what is left is acknowledged.
const QUIET: Duration = Duration::from_millis(100);
/// When nothing came for so long, nothing will.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to consume.
#[derive(Clone, Debug)]
pub struct CountOptions {
    /// The queue.
    pub queue: String,
    /// Messages that may be on their way.
    pub prefetch: u16,
    /// One multiple ack for so many.
    pub ack_every: u64,
    /// Whether bodies carry the time.
    pub stamps: Stamps,
    /// The time that they carry.
    pub clock: Clock,
}

/// How many messages are to come, which may become known while they do.
#[derive(Debug)]
pub struct Goal {
    wanted: AtomicU64,
}

impl Goal {
    /// So many.
    pub fn of(count: u64) -> Self {
        Self {
            wanted: AtomicU64::new(count),
        }
    }

    /// Not known yet.
    pub fn open() -> Self {
        Self::of(u64::MAX)
    }

    /// Now it is known.
    pub fn set(&self, count: u64) {
        self.wanted.store(count, Ordering::Release);
    }

    fn is_reached(&self, count: u64) -> bool {
        count >= self.wanted.load(Ordering::Acquire)
    }
}

/// What came.
#[derive(Debug, Default)]
pub struct Counted {
    /// Whole messages.
    pub messages: u64,
    /// From the call to the last message.
    pub elapsed: Duration,
    /// From the time in the body to now.
    pub latency: Histogram,
}

/// Consumes until the goal is reached, and acknowledges all of it.
pub fn count(connection: &mut Connection, options: &CountOptions, goal: &Goal) -> anyhow::Result<Counted> {
    let start = Instant::now();
    connection.consume(&options.queue, options.prefetch)?;
    connection.set_patience(QUIET)?;
    let mut counter = Counter {
        options,
        counted: Counted::default(),
        tag: 0,
        whole: 0,
        acknowledged: 0,
        missing_bytes: 0,
        acks: Vec::with_capacity(64 << 10),
    };
    let mut last_came = Instant::now();
    loop {
        // `consume` may have read deliveries already: what is here goes before what is to come.
        let before = counter.counted.messages;
        counter.take_what_is_here(connection)?;
        if counter.counted.messages > before {
            last_came = Instant::now();
        }
        let is_over = goal.is_reached(counter.counted.messages);
        counter.acknowledge(if is_over { 1 } else { options.ack_every });
        counter.send_acks(connection)?;
        if is_over {
            break;
        }
        if connection.try_fill()? == Filled::Nothing {
            counter.acknowledge(1);
            counter.send_acks(connection)?;
            ensure!(
                last_came.elapsed() < PATIENCE,
                "{} messages came, and no more for {PATIENCE:?}",
                counter.counted.messages
            );
        }
    }
    counter.counted.elapsed = last_came.duration_since(start);
    connection.restore_patience()?;
    Ok(counter.counted)
}

struct Counter<'a> {
    options: &'a CountOptions,
    counted: Counted,
    /// Of the last delivery whose first frame came.
    tag: u64,
    /// Of the last delivery that is whole.
    whole: u64,
    acknowledged: u64,
    missing_bytes: u64,
    acks: Vec<u8>,
}

impl Counter<'_> {
    fn take_what_is_here(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        let now = self.options.clock.now();
        while let Some(frame) = connection.frame_here()? {
            self.take(&frame, now)?;
        }
        Ok(())
    }

    #[inline]
    fn take(&mut self, frame: &Frame<'_>, now: u64) -> anyhow::Result<()> {
        match frame.kind {
            FrameKind::Method => match delivery_tag(frame.payload) {
                Some(tag) => self.tag = tag,
                None => refuse_close(&Method::decode(frame.payload)?)?,
            },
            FrameKind::Header => {
                let size = frame.payload.get(4..12).context("a short content header")?;
                self.missing_bytes = u64::from_be_bytes(size.try_into()?);
                ensure!(self.missing_bytes > 0, "a body without bytes is none of ours");
            }
            FrameKind::Body => self.take_body(frame.payload, now)?,
            FrameKind::Heartbeat => {}
        }
        Ok(())
    }

    #[inline]
    fn take_body(&mut self, bytes: &[u8], now: u64) -> anyhow::Result<()> {
        let len = u64::try_from(bytes.len())?;
        ensure!(len <= self.missing_bytes, "more body than announced");
        self.missing_bytes -= len;
        if self.missing_bytes == 0 {
            self.counted.messages += 1;
            self.whole = self.tag;
            if self.options.stamps == Stamps::Time {
                // The last frame has it only if it is the first too, which it is up to the largest frame.
                if let Some(stamp) = bytes.first_chunk() {
                    let sent = u64::from_be_bytes(*stamp);
                    self.counted.latency.record(now.saturating_sub(sent));
                }
            }
        }
        Ok(())
    }

    /// Acknowledges what is whole, if it is at least so many.
    fn acknowledge(&mut self, at_least: u64) {
        if self.whole - self.acknowledged >= at_least {
            encode_ack(&mut self.acks, CHANNEL, self.whole, true);
            self.acknowledged = self.whole;
        }
    }

    fn send_acks(&mut self, connection: &mut Connection) -> anyhow::Result<()> {
        if !self.acks.is_empty() {
            connection.send(&self.acks)?;
            self.acks.clear();
        }
        Ok(())
    }
}

/// Of a `basic.deliver`; nothing for another method.
#[inline]
fn delivery_tag(payload: &[u8]) -> Option<u64> {
    let (&[0, 60, 0, 60, consumer], rest) = payload.split_first_chunk()? else {
        return None;
    };
    let rest = rest.get(usize::from(consumer)..)?;
    Some(u64::from_be_bytes(*rest.first_chunk()?))
}
