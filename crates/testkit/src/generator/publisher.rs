//! Publishes numbered messages with confirms and a window.

use super::connection::{CHANNEL, Connection, refuse_close, short};
use super::numbered::{NUMBERED_BYTES_MIN, Numbered};
use anyhow::{Context, ensure};
use logpond_amqp::method::basic;
use logpond_amqp::{FrameKind, Method, PropertyList, encode_content};
use std::time::{Duration, Instant};

/// What is written to the socket in one go, at most.
const WRITE_BYTES_MAX: usize = 256 << 10;

/// What to publish.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// The queue, published to through the default exchange.
    pub queue: String,
    /// How many messages.
    pub count: u64,
    /// Length of each body.
    pub body_len: usize,
    /// Messages that may wait for their confirms.
    pub window: u64,
    /// Number of the first message.
    pub first: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Published {
    /// Messages confirmed.
    pub confirmed: u64,
    /// Confirm frames that this took.
    pub confirm_frames: u64,
    /// From the first publish to the last confirm.
    pub elapsed: Duration,
}

/// Publishes persistent messages, and returns when all are confirmed. The connection has confirms selected,
/// and nothing was published on it before.
pub fn publish(connection: &mut Connection, options: &PublishOptions) -> anyhow::Result<Published> {
    let template = Template::new(connection, options)?;
    let mut out = Vec::with_capacity(WRITE_BYTES_MAX + template.bytes.len());
    let (mut sent, mut confirmed, mut confirm_frames) = (0, 0, 0);
    let start = Instant::now();
    while confirmed < options.count {
        let may_send_until = options.count.min(confirmed + options.window);
        while sent < may_send_until {
            out.clear();
            while sent < may_send_until && out.len() < WRITE_BYTES_MAX {
                template.append(&mut out, Numbered(options.first + sent));
                sent += 1;
            }
            connection.send(&out)?;
        }
        connection.fill()?;
        while let Some(frame) = connection.frame_here()? {
            if frame.kind != FrameKind::Method {
                continue;
            }
            let method = Method::decode(frame.payload)?;
            let Method::BasicAck(ack) = method else {
                refuse_close(&method)?;
                continue;
            };
            let is_next = ack.delivery_tag == confirmed + 1;
            ensure!(
                is_next || ack.multiple,
                "confirm {} came before {}",
                ack.delivery_tag,
                confirmed + 1
            );
            ensure!(
                ack.delivery_tag > confirmed && ack.delivery_tag <= sent,
                "confirm {} is none of ours",
                ack.delivery_tag
            );
            confirmed = ack.delivery_tag;
            confirm_frames += 1;
        }
    }
    Ok(Published {
        confirmed,
        confirm_frames,
        elapsed: start.elapsed(),
    })
}

/// One publish as frames, and where its number lies.
struct Template {
    bytes: Vec<u8>,
    number_at: usize,
}

impl Template {
    fn new(connection: &Connection, options: &PublishOptions) -> anyhow::Result<Self> {
        ensure!(
            options.body_len >= NUMBERED_BYTES_MIN,
            "a numbered body has at least {NUMBERED_BYTES_MIN} bytes"
        );
        let (exchange, routing_key) = (short("")?, short(&options.queue)?);
        let mut bytes = Vec::new();
        basic::Publish {
            exchange,
            routing_key,
            mandatory: false,
            immediate: false,
        }
        .encode(CHANNEL, &mut bytes);
        let mut properties = Vec::new();
        PropertyList {
            delivery_mode: Some(2),
            ..PropertyList::default()
        }
        .encode(&mut properties);
        // A mark that occurs nowhere else, to find the body again in the frames.
        let mut body = vec![b'.'; options.body_len];
        let mark = Numbered(u64::MAX).bytes();
        body[..NUMBERED_BYTES_MIN].copy_from_slice(&mark);
        encode_content(
            &mut bytes,
            CHANNEL,
            &properties,
            &body,
            connection.frame_bytes_max(),
        );
        let number_at = bytes.windows(mark.len()).position(|window| window == mark);
        Ok(Self {
            number_at: number_at.context("the body is in no frame")?,
            bytes,
        })
    }

    #[inline]
    fn append(&self, out: &mut Vec<u8>, number: Numbered) {
        let at = out.len() + self.number_at;
        out.extend_from_slice(&self.bytes);
        out[at..at + NUMBERED_BYTES_MIN].copy_from_slice(&number.bytes());
    }
}
