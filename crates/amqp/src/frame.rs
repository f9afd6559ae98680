//! Frames: kind, channel, length, payload and the end octet.
//!
//! Invariants:
//! - A frame is found only when all its octets are there; its payload borrows them.
//! - A length above the limit is refused from the seven octets of the header, before anything is awaited or kept.
//!
//! Elsewhere: what a payload means (`method`, `content`), which frame may come when (the server).

use crate::channel_id::ChannelId;
use crate::limits::{FRAME_END, FRAME_HEADER_BYTES, FRAME_OVERHEAD_BYTES};
use crate::reply_code::ReplyCode;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A method; see [`crate::Method::decode`].
    Method,
    /// A content header; see [`crate::ContentHeader::parse`].
    Header,
    /// A piece of a body.
    Body,
    /// A sign of life; without payload, on channel 0.
    Heartbeat,
}

impl FrameKind {
    /// The octet on the wire.
    //= amqp-0-9-1 constants/frame-method, frame-header, frame-body, frame-heartbeat
    pub const fn octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }

    const fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Method),
            2 => Some(Self::Header),
            3 => Some(Self::Body),
            8 => Some(Self::Heartbeat),
            _ => None,
        }
    }
}

/// One frame; the payload borrows from the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it carries.
    pub kind: FrameKind,
    /// Its channel.
    pub channel: ChannelId,
    /// What stands between header and end octet.
    pub payload: &'a [u8],
}

/// Why the stream is not a stream of frames. The connection ends, with `501 FRAME_ERROR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// No frame begins with this octet.
    #[error("unknown frame type {octet} on channel {channel}")]
    UnknownKind {
        /// The octet.
        octet: u8,
        /// The channel that follows it.
        channel: ChannelId,
    },
    /// The payload is longer than was agreed.
    #[error("type {}, channel {channel}: payload of {len} octets, and at most {limit} were agreed", .kind.octet())]
    TooLarge {
        /// The frame's kind.
        kind: FrameKind,
        /// The frame's channel.
        channel: ChannelId,
        /// The length that it claims.
        len: u32,
        /// The longest payload.
        limit: u32,
    },
    /// The octet behind the payload does not end a frame.
    #[error("type {}, channel {channel}: {found:#04x} instead of 0xce behind {len} octets", .kind.octet())]
    WrongEnd {
        /// The frame's kind.
        kind: FrameKind,
        /// The frame's channel.
        channel: ChannelId,
        /// The length that it claims.
        len: u32,
        /// What stands there.
        found: u8,
    },
    /// A heartbeat with a payload.
    #[error("a heartbeat with {len} octets of payload")]
    HeartbeatPayload {
        /// The payload's octets.
        len: u32,
    },
}

impl FrameError {
    /// The code for `connection.close`.
    //= amqp-0-9-1 constants/frame-error
    pub fn reply_code(&self) -> ReplyCode {
        ReplyCode::FRAME_ERROR
    }
}

/// Finds the first frame and how many octets it takes; `None` asks for more octets.
///
/// `frame_max` counts a frame with its overhead, 0 is no limit. As RabbitMQ we allow eight octets more, since some
/// clients take it for the payload's limit.
//= amqp-0-9-1 2.3.5 frame details
#[inline]
pub fn parse_frame(buf: &[u8], frame_max: u32) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    let Some((&[kind, c0, c1, l0, l1, l2, l3], rest)) = buf.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return Ok(None);
    };
    let channel = ChannelId::new(u16::from_be_bytes([c0, c1]));
    let len = u32::from_be_bytes([l0, l1, l2, l3]);
    let Some(kind) = FrameKind::from_octet(kind) else {
        return Err(FrameError::UnknownKind { octet: kind, channel });
    };
    if frame_max != 0 && len > frame_max {
        return Err(FrameError::TooLarge {
            kind,
            channel,
            len,
            limit: frame_max,
        });
    }
    if kind == FrameKind::Heartbeat && len != 0 {
        return Err(FrameError::HeartbeatPayload { len });
    }
    let Ok(len_here) = usize::try_from(len) else {
        return Ok(None);
    };
    let Some((payload, behind)) = rest.split_at_checked(len_here) else {
        return Ok(None);
    };
    match behind.first() {
        Some(&FRAME_END) => Ok(Some((
            Frame {
                kind,
                channel,
                payload,
            },
            FRAME_HEADER_BYTES + len_here + 1,
        ))),
        Some(&found) => Err(FrameError::WrongEnd {
            kind,
            channel,
            len,
            found,
        }),
        None => Ok(None),
    }
}

/// The longest payload that may be sent under `frame_max`, where 0 is no limit.
pub(crate) fn payload_bytes_max(frame_max: u32) -> usize {
    let limit = if frame_max == 0 { u32::MAX } else { frame_max };
    usize::try_from(limit.saturating_sub(FRAME_OVERHEAD_BYTES).max(1)).unwrap_or(usize::MAX)
}

/// Appends a heartbeat.
//= amqp-0-9-1 4.2.7 heartbeat frames
pub fn encode_heartbeat(out: &mut Vec<u8>) {
    out.extend_from_slice(&[FrameKind::Heartbeat.octet(), 0, 0, 0, 0, 0, 0, FRAME_END]);
}
