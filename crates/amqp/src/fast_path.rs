//! The two shapes that a busy connection consists of, recognised without going through `Method`.
//!
//! Invariants:
//! - What is recognised here means exactly what the general path would find; whatever is odd, incomplete or wrong is
//!   left to the general path, which names the error.

use crate::channel_id::ChannelId;
use crate::cursor::Cursor;
use crate::frame::{Frame, FrameKind, parse_frame};
use crate::limits::FRAME_END;
use crate::method::basic;
use crate::short_str::ShortStr;

/// A whole publish: method, content header and at most one body frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// The channel of all its frames.
    pub channel: ChannelId,
    /// The exchange; empty is the default exchange.
    pub exchange: ShortStr<'a>,
    /// The routing key.
    pub routing_key: ShortStr<'a>,
    /// Return the message if no queue takes it.
    pub mandatory: bool,
    /// Return it if no consumer takes it at once.
    pub immediate: bool,
    /// Property flags and list as they came, unchecked.
    pub raw_properties: &'a [u8],
    /// The whole body.
    pub body: &'a [u8],
}

/// A `basic.ack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The channel.
    pub channel: ChannelId,
    /// Which delivery.
    pub delivery_tag: u64,
    /// And all before it.
    pub multiple: bool,
}

/// Recognises a publish whose frames are all in the buffer; the number is how many octets they take.
///
/// `None` says only "not here": go on with [`parse_frame`].
#[inline]
pub fn parse_publish(buf: &[u8], frame_max: u32) -> Option<(Publish<'_>, usize)> {
    let method = frame_of(buf, frame_max, FrameKind::Method)?;
    let (id, arguments) = method.0.payload.split_first_chunk::<4>()?;
    if *id != PUBLISH_ID {
        return None;
    }
    let mut cursor = Cursor::new(arguments);
    cursor.short().ok()?;
    let exchange = cursor.short_string().ok()?;
    let routing_key = cursor.short_string().ok()?;
    let bits = cursor.octet().ok()?;
    cursor.finish().ok()?;

    let channel = method.0.channel;
    let header = frame_of(&buf[method.1..], frame_max, FrameKind::Header)?;
    let mut taken = method.1 + header.1;
    let (&[class_high, class_low, w0, w1, s0, s1, s2, s3, s4, s5, s6, s7], raw_properties) =
        header.0.payload.split_first_chunk::<12>()?;
    let sound = header.0.channel == channel
        && u16::from_be_bytes([class_high, class_low]) == basic::CLASS
        && [w0, w1] == [0, 0]
        && raw_properties.len() >= 2;
    if !sound {
        return None;
    }
    let body_size = u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
    let mut body: &[u8] = &[];
    if body_size != 0 {
        let frame = frame_of(&buf[taken..], frame_max, FrameKind::Body)?;
        if frame.0.channel != channel || u64::try_from(frame.0.payload.len()) != Ok(body_size) {
            return None;
        }
        body = frame.0.payload;
        taken += frame.1;
    }
    let mandatory = bits & 1 != 0;
    let immediate = bits & 2 != 0;
    Some((
        Publish {
            channel,
            exchange,
            routing_key,
            mandatory,
            immediate,
            raw_properties,
            body,
        },
        taken,
    ))
}

const PUBLISH_ID: [u8; 4] = [0, 60, 0, 40];

#[inline]
fn frame_of(buf: &[u8], frame_max: u32, kind: FrameKind) -> Option<(Frame<'_>, usize)> {
    parse_frame(buf, frame_max)
        .ok()
        .flatten()
        .filter(|(frame, _)| frame.kind == kind)
}

/// Octets of a `basic.ack` frame.
const ACK_BYTES: usize = 21;

/// Recognises a `basic.ack`; the number is how many octets it takes.
///
/// `None` says only "not here": go on with [`parse_frame`].
#[inline]
pub fn parse_ack(buf: &[u8]) -> Option<(Ack, usize)> {
    let frame = buf.first_chunk::<ACK_BYTES>()?;
    let &[
        1,
        c0,
        c1,
        0,
        0,
        0,
        13,
        0,
        60,
        0,
        80,
        t0,
        t1,
        t2,
        t3,
        t4,
        t5,
        t6,
        t7,
        bits,
        FRAME_END,
    ] = frame
    else {
        return None;
    };
    let channel = ChannelId::new(u16::from_be_bytes([c0, c1]));
    let delivery_tag = u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
    Some((
        Ack {
            channel,
            delivery_tag,
            multiple: bits & 1 != 0,
        },
        ACK_BYTES,
    ))
}
