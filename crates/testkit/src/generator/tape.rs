//! Publishes as frames, encoded once and sent again and again.
//!
//! Invariants:
//! - The same options give the same bytes on every machine.
//! - Two neighbours differ in body, and with [`Variety::Varied`] in properties and routing key too; what differs comes
//!   round again after [`Tape::len`] messages.
//!
//! Elsewhere: who sends them (`blast`, `fleet`).

use super::connection::{CHANNEL, short};
use super::numbered::NUMBERED_BYTES_MIN;
use crate::random::Random;
use anyhow::ensure;
use logpond_amqp::method::basic;
use logpond_amqp::{PropertyList, Table, TableWriter, Value, encode_content};
use std::ops::Range;

/// A tape stays in a core's cache where it can, for the generator must not be what is measured.
const TAPE_BYTES: usize = 1 << 20;
const MESSAGES_MIN: usize = 16;
const MESSAGES_MAX: usize = 4096;
/// Encoded beside the body, roughly.
const FRAME_BYTES: usize = 80;

/// What is on a tape.
#[derive(Clone, Debug)]
pub struct TapeOptions {
    /// Where it is published; empty is the default exchange.
    pub exchange: String,
    /// The routing keys, in turn.
    pub keys: Vec<String>,
    /// Length of each body, at least 16.
    pub body_len: usize,
    /// Delivery mode.
    pub delivery: Delivery,
    /// How much the messages differ.
    pub variety: Variety,
    /// Largest frame of the connection.
    pub frame_bytes_max: u32,
}

/// Whether messages survive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Delivery mode 1.
    Transient,
    /// Delivery mode 2.
    Persistent,
}

/// How much the messages differ from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Variety {
    /// All bodies are the same, and there is no property but the delivery mode.
    Same,
    /// Bodies and properties differ from message to message.
    Varied,
}

/// Publishes, one after the other.
#[derive(Clone, Debug)]
pub struct Tape {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    bodies: Vec<usize>,
    body_len: usize,
}

impl Tape {
    /// Encodes them.
    pub fn new(options: &TapeOptions) -> anyhow::Result<Self> {
        ensure!(
            options.body_len >= NUMBERED_BYTES_MIN,
            "a body has at least {NUMBERED_BYTES_MIN} bytes"
        );
        ensure!(!options.keys.is_empty(), "a publish needs a routing key");
        let fitting = TAPE_BYTES / (options.body_len + FRAME_BYTES);
        let count = fitting
            .clamp(MESSAGES_MIN, MESSAGES_MAX)
            .next_multiple_of(options.keys.len());
        let mut tape = Self {
            bytes: Vec::new(),
            ends: Vec::with_capacity(count),
            bodies: Vec::with_capacity(count),
            body_len: options.body_len,
        };
        let mut random = Random::new(1);
        for number in 0..count {
            tape.append(options, number, &mut random)?;
        }
        Ok(tape)
    }

    fn append(&mut self, options: &TapeOptions, number: usize, random: &mut Random) -> anyhow::Result<()> {
        basic::Publish {
            exchange: short(&options.exchange)?,
            routing_key: short(&options.keys[number % options.keys.len()])?,
            mandatory: false,
            immediate: false,
        }
        .encode(CHANNEL, &mut self.bytes);
        let properties = properties(options, number)?;
        let body = match options.variety {
            Variety::Same => vec![b'x'; options.body_len],
            Variety::Varied => random_bytes(random, options.body_len),
        };
        // Frame of the content header, then the front of the body's first frame.
        let header = 7 + 12 + properties.len() + 1;
        self.bodies.push(self.bytes.len() + header + 7);
        encode_content(
            &mut self.bytes,
            CHANNEL,
            &properties,
            &body,
            options.frame_bytes_max,
        );
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// How many messages there are before it begins anew.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Never: a tape has messages.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Length of a body.
    pub fn body_len(&self) -> usize {
        self.body_len
    }

    /// So many messages from `first` on, or as many as there are until the end of the tape; how many, and where they lie.
    #[inline]
    pub fn piece(&self, first: u64, count: u64) -> (u64, Range<usize>) {
        let len = self.ends.len();
        let at = index(first, len);
        let taken = usize::try_from(count).unwrap_or(len).min(len - at);
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        let end = if taken == 0 {
            start
        } else {
            self.ends[at + taken - 1]
        };
        (u64::try_from(taken).unwrap_or(count), start..end)
    }

    /// The frames in a place that [`Tape::piece`] named.
    #[inline]
    pub fn frames(&self, place: Range<usize>) -> &[u8] {
        &self.bytes[place]
    }

    /// Writes a time into the first bytes of so many bodies from `first` on, which do not go beyond the end.
    #[inline]
    pub fn stamp(&mut self, first: u64, count: u64, nanoseconds: u64) {
        let at = index(first, self.ends.len());
        let count = usize::try_from(count).unwrap_or(0);
        for &body in &self.bodies[at..at + count] {
            self.bytes[body..body + 8].copy_from_slice(&nanoseconds.to_be_bytes());
        }
    }
}

#[inline]
fn index(number: u64, len: usize) -> usize {
    let len = u64::try_from(len).expect("a tape is short");
    usize::try_from(number % len).expect("a tape is short")
}

fn random_bytes(random: &mut Random, len: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(len + 8);
    while body.len() < len {
        body.extend_from_slice(&random.number().to_le_bytes());
    }
    body.truncate(len);
    body
}

/// Four shapes in turn, as applications use them: bare, typed, with ids, with headers.
fn properties(options: &TapeOptions, number: usize) -> anyhow::Result<Vec<u8>> {
    let mut list = PropertyList {
        delivery_mode: Some(match options.delivery {
            Delivery::Transient => 1,
            Delivery::Persistent => 2,
        }),
        ..PropertyList::default()
    };
    let mut out = Vec::new();
    if options.variety == Variety::Same {
        list.encode(&mut out);
        return Ok(out);
    }
    let message_id = format!("{number:016x}");
    let tenant = format!("tenant-{}", number % 97);
    let mut headers = Vec::new();
    TableWriter::new(&mut headers).put(short("tenant")?, Value::LongString(tenant.as_bytes()));
    match number % 4 {
        0 => {}
        1 => list.content_type = Some(short("application/json")?),
        2 => {
            list.message_id = Some(short(&message_id)?);
            list.timestamp = Some(1_700_000_000 + u64::try_from(number)?);
        }
        _ => {
            list.content_type = Some(short("text/plain")?);
            list.headers = Some(Table::parse(&headers)?);
        }
    }
    list.encode(&mut out);
    Ok(out)
}

#[cfg(test)]
mod tests;
