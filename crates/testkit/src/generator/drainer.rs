//! Consumes numbered messages with manual acks, and judges what comes.

use super::connection::{CHANNEL, Connection, refuse_close};
use super::numbered::Numbered;
use anyhow::ensure;
use logpond_amqp::{ContentHeader, FrameKind, Method, encode_ack};
use std::time::{Duration, Instant};

/// How to consume.
#[derive(Clone, Debug)]
pub struct DrainOptions {
    /// The queue.
    pub queue: String,
    /// Messages that may be on their way.
    pub prefetch: u16,
    /// One multiple ack for so many.
    pub ack_every: u64,
    /// Number of the first message.
    pub first: u64,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Deliveries.
    pub deliveries: u64,
    /// Numbers that should have come and did not, seen as gaps.
    pub missing: u64,
    /// Deliveries of a number at or below one that came before.
    pub repeated: u64,
    /// Those of them without `redelivered`.
    pub unflagged: u64,
    /// Deliveries with `redelivered`.
    pub redelivered: u64,
    /// Bodies that do not prove themselves whole.
    pub damaged: u64,
    /// From the first delivery to the last.
    pub elapsed: Duration,
}

/// A consumer at work.
pub struct Drain<'c> {
    connection: &'c mut Connection,
    options: DrainOptions,
    drained: Drained,
    expected: u64,
    body: Body,
    last_tag: u64,
    unacknowledged: u64,
    acks: Vec<u8>,
    began: Option<Instant>,
}

/// A message whose frames are coming.
#[derive(Default)]
struct Body {
    is_redelivered: bool,
    missing_bytes: u64,
    first_bytes: Vec<u8>,
}

impl<'c> Drain<'c> {
    /// Starts the consumer.
    pub fn start(connection: &'c mut Connection, options: DrainOptions) -> anyhow::Result<Self> {
        connection.consume(&options.queue, options.prefetch)?;
        Ok(Self {
            expected: options.first,
            connection,
            options,
            drained: Drained::default(),
            body: Body::default(),
            last_tag: 0,
            unacknowledged: 0,
            acks: Vec::new(),
            began: None,
        })
    }

    /// Takes deliveries until there were `count`, and acknowledges them.
    pub fn run(mut self, count: u64) -> anyhow::Result<Drained> {
        while self.drained.deliveries < count {
            self.take_what_is_here(count)?;
            if !self.acks.is_empty() {
                self.connection.send(&self.acks)?;
                self.acks.clear();
            }
            if self.drained.deliveries < count {
                self.connection.fill()?;
            }
        }
        self.acknowledge();
        self.connection.send(&self.acks)?;
        self.drained.elapsed = self.began.map_or(Duration::ZERO, |began| began.elapsed());
        Ok(self.drained)
    }

    /// Takes one delivery and leaves it unacknowledged.
    pub fn first(mut self) -> anyhow::Result<Drained> {
        while self.drained.deliveries == 0 {
            self.take_what_is_here(1)?;
            if self.drained.deliveries == 0 {
                self.connection.fill()?;
            }
        }
        Ok(self.drained)
    }

    fn take_what_is_here(&mut self, count: u64) -> anyhow::Result<()> {
        while self.drained.deliveries < count {
            let Some(frame) = self.connection.frame_here()? else {
                return Ok(());
            };
            let is_whole = match frame.kind {
                FrameKind::Method => {
                    let method = Method::decode(frame.payload)?;
                    if let Method::BasicDeliver(deliver) = method {
                        ensure!(
                            deliver.delivery_tag == self.last_tag + 1,
                            "a delivery tag was left out"
                        );
                        self.last_tag = deliver.delivery_tag;
                        self.body.is_redelivered = deliver.redelivered;
                    } else {
                        refuse_close(&method)?;
                    }
                    false
                }
                FrameKind::Header => self.body.begin(ContentHeader::parse(frame.payload)?.body_size),
                FrameKind::Body => self.body.extend(frame.payload)?,
                FrameKind::Heartbeat => false,
            };
            if is_whole {
                self.judge();
            }
        }
        Ok(())
    }

    fn judge(&mut self) {
        self.began.get_or_insert_with(Instant::now);
        let drained = &mut self.drained;
        drained.deliveries += 1;
        drained.redelivered += u64::from(self.body.is_redelivered);
        match Numbered::of(&self.body.first_bytes) {
            None => drained.damaged += 1,
            Some(Numbered(number)) if number < self.expected => {
                drained.repeated += 1;
                drained.unflagged += u64::from(!self.body.is_redelivered);
            }
            Some(Numbered(number)) => {
                drained.missing += number - self.expected;
                self.expected = number + 1;
            }
        }
        self.unacknowledged += 1;
        if self.unacknowledged >= self.options.ack_every {
            self.acknowledge();
        }
    }

    fn acknowledge(&mut self) {
        if self.unacknowledged > 0 {
            encode_ack(&mut self.acks, CHANNEL, self.last_tag, true);
            self.unacknowledged = 0;
        }
    }
}

impl Body {
    /// Says whether the message is whole already.
    fn begin(&mut self, len: u64) -> bool {
        self.missing_bytes = len;
        self.first_bytes.clear();
        len == 0
    }

    fn extend(&mut self, bytes: &[u8]) -> anyhow::Result<bool> {
        let len = u64::try_from(bytes.len())?;
        ensure!(len <= self.missing_bytes, "more body than announced");
        if self.first_bytes.is_empty() {
            self.first_bytes
                .extend_from_slice(&bytes[..bytes.len().min(super::NUMBERED_BYTES_MIN)]);
        }
        self.missing_bytes -= len;
        Ok(self.missing_bytes == 0)
    }
}
