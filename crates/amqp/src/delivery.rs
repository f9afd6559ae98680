//! What a busy session writes: deliveries, acknowledgements and confirms.
//!
//! Invariants:
//! - Nothing is allocated but what `out` lacks, and that at most once for each delivery.
//! - What is written here equals what the generated encoders write.

use crate::channel_id::ChannelId;
use crate::content::{encode_content, frame_header};
use crate::frame::{FrameKind, payload_bytes_max};
use crate::limits::FRAME_END;
use crate::method::basic;
use crate::short_str::ShortStr;

/// The fields of `basic.deliver`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The consumer's name.
    pub consumer_tag: ShortStr<'a>,
    /// The delivery's number on its channel.
    pub delivery_tag: u64,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// Where it was published.
    pub exchange: ShortStr<'a>,
    /// Its routing key.
    pub routing_key: ShortStr<'a>,
}

/// Appends `basic.deliver`, the content header and the body's frames, no frame larger than `frame_max` (0: no limit).
///
/// `raw_properties` are flags and list as they were received.
pub fn encode_delivery(
    out: &mut Vec<u8>,
    channel: ChannelId,
    delivery: &Delivery<'_>,
    raw_properties: &[u8],
    body: &[u8],
    frame_max: u32,
) {
    let names = delivery.consumer_tag.len() + delivery.exchange.len() + delivery.routing_key.len();
    let frames = 2 + body_frames(body.len(), payload_bytes_max(frame_max));
    out.reserve(FIXED_BYTES + names + raw_properties.len() + body.len() + frames * FRAME_OVERHEAD);
    basic::Deliver {
        consumer_tag: delivery.consumer_tag,
        delivery_tag: delivery.delivery_tag,
        redelivered: delivery.redelivered,
        exchange: delivery.exchange,
        routing_key: delivery.routing_key,
    }
    .encode(channel, out);
    encode_content(out, channel, raw_properties, body, frame_max);
}

/// Method: ids, tag, bits and three octets of length; content header: class, weight and size.
const FIXED_BYTES: usize = (4 + 8 + 1 + 3) + 12;
const FRAME_OVERHEAD: usize = 8;

/// Bodies mostly fit one frame, and then no division is needed. An empty one is given room for a frame that it lacks.
fn body_frames(len: usize, payload_max: usize) -> usize {
    if len <= payload_max {
        1
    } else {
        len.div_ceil(payload_max)
    }
}

/// Appends `basic.ack`: a confirm from a server, an acknowledgement from a client.
#[inline]
pub fn encode_ack(out: &mut Vec<u8>, channel: ChannelId, delivery_tag: u64, multiple: bool) {
    tagged(
        out,
        channel,
        basic::Ack::ID.method(),
        delivery_tag,
        u8::from(multiple),
    );
}

/// Appends `basic.nack`: bit 0 is `multiple`, bit 1 `requeue`, which means nothing to a publisher; RabbitMQ sets it.
#[inline]
pub fn encode_nack(out: &mut Vec<u8>, channel: ChannelId, delivery_tag: u64, multiple: bool, requeue: bool) {
    let bits = u8::from(multiple) | u8::from(requeue) << 1;
    tagged(out, channel, basic::Nack::ID.method(), delivery_tag, bits);
}

#[inline]
fn tagged(out: &mut Vec<u8>, channel: ChannelId, method: u16, delivery_tag: u64, bits: u8) {
    let mut frame = [0; 21];
    frame[..7].copy_from_slice(&frame_header(FrameKind::Method, channel, 13));
    frame[7..9].copy_from_slice(&basic::CLASS.to_be_bytes());
    frame[9..11].copy_from_slice(&method.to_be_bytes());
    frame[11..19].copy_from_slice(&delivery_tag.to_be_bytes());
    frame[19] = bits;
    frame[20] = FRAME_END;
    out.extend_from_slice(&frame);
}
