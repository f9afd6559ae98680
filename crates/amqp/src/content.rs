//! Content: the header that announces a body, and the body's frames.
//!
//! Invariants:
//! - A body of length zero has no body frame; any other is cut into pieces that fit `frame_max`.
//!
//! Elsewhere: the property list (`properties`, `property_list`).

use crate::channel_id::ChannelId;
use crate::cursor::Cursor;
use crate::decode_error::ContentError;
use crate::frame::{FrameKind, payload_bytes_max};
use crate::limits::FRAME_END;
use crate::method::basic;
use crate::properties::Properties;

/// Octets of class, weight and body size.
const FIXED_BYTES: usize = 12;

/// A content header; its properties are not looked at until someone asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// Octets of the body that follows.
    pub body_size: u64,
    /// Property flags and list as they came, unchecked.
    pub raw_properties: &'a [u8],
}

impl<'a> ContentHeader<'a> {
    /// Reads the payload of a header frame.
    //= amqp-0-9-1 2.3.5.2 content frames
    pub fn parse(payload: &'a [u8]) -> Result<Self, ContentError> {
        let too_short = |_| ContentError::TooShort { len: payload.len() };
        let mut cursor = Cursor::new(payload);
        let class = cursor.short().map_err(too_short)?;
        let weight = cursor.short().map_err(too_short)?;
        let body_size = cursor.long_long().map_err(too_short)?;
        if weight != 0 {
            return Err(ContentError::Weighed { weight });
        }
        if class != basic::CLASS {
            return Err(ContentError::WrongClass { class });
        }
        if cursor.rest().len() < 2 {
            return Err(ContentError::TooShort { len: payload.len() });
        }
        Ok(Self {
            body_size,
            raw_properties: cursor.rest(),
        })
    }

    /// Checks the property list's structure.
    pub fn properties(&self) -> Result<Properties<'a>, ContentError> {
        Properties::parse(self.raw_properties)
    }
}

/// Appends a content header frame. `raw_properties` are flags and list, as [`Properties`] checks them.
pub fn encode_content_header(out: &mut Vec<u8>, channel: ChannelId, raw_properties: &[u8], body_size: u64) {
    let len = u32::try_from(FIXED_BYTES + raw_properties.len()).expect("a property list is below 4 GiB");
    let mut front = [0; 7 + FIXED_BYTES];
    front[..7].copy_from_slice(&frame_header(FrameKind::Header, channel, len));
    front[7..9].copy_from_slice(&basic::CLASS.to_be_bytes());
    front[11..].copy_from_slice(&body_size.to_be_bytes());
    out.extend_from_slice(&front);
    out.extend_from_slice(raw_properties);
    out.push(FRAME_END);
}

/// Appends a content header and the body's frames, no frame larger than `frame_max` (0: no limit).
///
/// This is what follows `basic.publish`, `basic.return`, `basic.deliver` and `basic.get-ok`.
pub fn encode_content(
    out: &mut Vec<u8>,
    channel: ChannelId,
    raw_properties: &[u8],
    body: &[u8],
    frame_max: u32,
) {
    let body_size = u64::try_from(body.len()).expect("a slice is below 16 EiB");
    encode_content_header(out, channel, raw_properties, body_size);
    encode_body(out, channel, body, frame_max);
}

/// Appends the body's frames.
pub(crate) fn encode_body(out: &mut Vec<u8>, channel: ChannelId, body: &[u8], frame_max: u32) {
    let payload_max = payload_bytes_max(frame_max);
    // Cutting needs a division, which a body that fits one frame does not pay for.
    if body.len() <= payload_max {
        if !body.is_empty() {
            encode_piece(out, channel, body);
        }
        return;
    }
    for piece in body.chunks(payload_max) {
        encode_piece(out, channel, piece);
    }
}

#[inline]
fn encode_piece(out: &mut Vec<u8>, channel: ChannelId, piece: &[u8]) {
    let len = u32::try_from(piece.len()).expect("a piece fits a frame");
    out.extend_from_slice(&frame_header(FrameKind::Body, channel, len));
    out.extend_from_slice(piece);
    out.push(FRAME_END);
}

/// The octets before a payload.
#[inline]
pub(crate) fn frame_header(kind: FrameKind, channel: ChannelId, len: u32) -> [u8; 7] {
    let [c0, c1] = channel.get().to_be_bytes();
    let [l0, l1, l2, l3] = len.to_be_bytes();
    [kind.octet(), c0, c1, l0, l1, l2, l3]
}
