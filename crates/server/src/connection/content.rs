//! Content: what follows `basic.publish`, whole in the read buffer or assembled over several reads.
//!
//! Invariants:
//! - Memory grows with the bytes that arrived, never with the size that a header claims.
//! - A body never exceeds the size that its header announced, and no header announces more than [`MESSAGE_BYTES_CEILING`].

use logpond_amqp::{
    ContentError, ContentHeader, Frame, FrameKind, HotProperties, Method, ReplyCode, method, parse_frame,
};
use logpond_broker::{Body, ChannelId, Publish};

use super::refusal::Refusal;
use crate::limits::MESSAGE_BYTES_CEILING;

/// First octet of the property flags that says that there is a headers table.
const HEADERS_FLAG: u8 = 0x20;

/// What the bytes from a `basic.publish` on amount to.
pub(super) enum Scan<'b> {
    /// The whole message: its frames take so many bytes, the body is in `parts`.
    Whole { publish: Publish<'b>, taken: usize },
    /// Nothing is wrong so far, and more has to come.
    Partial,
    /// Not a publish that is continued at once, or one of a size that is refused: to be taken frame by frame.
    Other,
}

/// Looks for a whole publish with a body of at most so many bytes in any number of frames; `parts` gets them.
pub(super) fn scan<'b>(
    buf: &'b [u8],
    payload_max: u32,
    body_bytes_max: u64,
    parts: &mut Vec<&'b [u8]>,
) -> Scan<'b> {
    let mut taken = 0;
    let mut next = |kind: FrameKind| match parse_frame(&buf[taken..], payload_max) {
        Ok(Some((frame, len))) if frame.kind == kind => {
            taken += len;
            Ok((frame, taken))
        }
        Ok(None) => Err(Scan::Partial),
        Ok(Some(_)) | Err(_) => Err(Scan::Other),
    };
    let (frame, _) = match next(FrameKind::Method) {
        Ok(found) => found,
        Err(scan) => return scan,
    };
    let Ok(Method::BasicPublish(fields)) = Method::decode(frame.payload) else {
        return Scan::Other;
    };
    let channel = frame.channel;
    let (frame, mut end) = match next(FrameKind::Header) {
        Ok(found) => found,
        Err(scan) => return scan,
    };
    let Ok(header) = ContentHeader::parse(frame.payload) else {
        return Scan::Other;
    };
    // Whoever announces too much hears of it before the rest has come.
    if frame.channel != channel || header.body_size > body_bytes_max {
        return Scan::Other;
    }
    let mut missing = header.body_size;
    while missing > 0 {
        let (frame, now_at) = match next(FrameKind::Body) {
            Ok(found) => found,
            Err(scan) => return scan,
        };
        let len = u64::try_from(frame.payload.len()).expect("a frame is below 16 EiB");
        if frame.channel != channel || len > missing {
            return Scan::Other;
        }
        missing -= len;
        end = now_at;
        parts.push(frame.payload);
    }
    let publish = Publish {
        channel: ChannelId::new(channel.get()),
        exchange: fields.exchange.as_bytes(),
        routing_key: fields.routing_key.as_bytes(),
        mandatory: fields.mandatory,
        immediate: fields.immediate,
        properties: header.raw_properties,
        body: Body::Whole(&[]),
    };
    Scan::Whole { publish, taken: end }
}

/// Checks what is inside the headers table; the broker checks the rest of the list.
#[inline]
pub(super) fn check_headers(raw_properties: &[u8]) -> Result<(), ContentError> {
    if raw_properties
        .first()
        .is_none_or(|flags| flags & HEADERS_FLAG == 0)
    {
        return Ok(());
    }
    HotProperties::parse(raw_properties)?.headers()?;
    Ok(())
}

/// A message that arrives in pieces.
#[derive(Debug)]
pub(super) struct Assembly {
    exchange: Box<[u8]>,
    routing_key: Box<[u8]>,
    mandatory: bool,
    immediate: bool,
    header: Option<Header>,
    body: Vec<u8>,
}

#[derive(Debug)]
struct Header {
    properties: Box<[u8]>,
    body_size: u64,
}

impl Assembly {
    /// After the method.
    pub fn new(fields: &method::basic::Publish<'_>) -> Self {
        Self {
            exchange: fields.exchange.as_bytes().into(),
            routing_key: fields.routing_key.as_bytes().into(),
            mandatory: fields.mandatory,
            immediate: fields.immediate,
            header: None,
            body: Vec::new(),
        }
    }

    /// Bytes of the body that are here.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    /// Whether the body is complete.
    pub fn is_complete(&self) -> bool {
        self.header
            .as_ref()
            .is_some_and(|header| header.body_size == len_of(&self.body))
    }

    /// Something else came than what has to, in RabbitMQ's words.
    pub fn interrupted(&self) -> Refusal {
        by_publish(unexpected(match self.header {
            None => "expected content header for class 60, got non content header frame instead",
            Some(_) => "expected content body, got non content body frame instead",
        }))
    }

    /// Takes the content header; the size of the body that it announces.
    pub fn take_header(&mut self, frame: &Frame<'_>) -> Result<u64, Refusal> {
        if self.header.is_some() {
            return Err(self.interrupted());
        }
        let header = ContentHeader::parse(frame.payload)?;
        check_announced(header.body_size)?;
        check_headers(header.raw_properties)?;
        self.header = Some(Header {
            properties: header.raw_properties.into(),
            body_size: header.body_size,
        });
        Ok(header.body_size)
    }

    /// Takes a piece of the body.
    pub fn take_body(&mut self, frame: &Frame<'_>) -> Result<(), Refusal> {
        let Some(header) = &self.header else {
            return Err(self.interrupted());
        };
        let missing = header.body_size - len_of(&self.body);
        if len_of(frame.payload) > missing {
            let text = "content body frame exceeds remaining content size";
            return Err(by_publish(Refusal::new(ReplyCode::FRAME_ERROR, text)));
        }
        self.body.extend_from_slice(frame.payload);
        Ok(())
    }

    /// The complete message.
    pub fn publish(&self, channel: ChannelId) -> Publish<'_> {
        let header = self.header.as_ref().expect("it is complete");
        Publish {
            channel,
            exchange: &self.exchange,
            routing_key: &self.routing_key,
            mandatory: self.mandatory,
            immediate: self.immediate,
            properties: &header.properties,
            body: Body::Whole(&self.body),
        }
    }
}

/// RabbitMQ's bound for any message. What is configured lies within it, and closes no more than the channel.
fn check_announced(body_size: u64) -> Result<(), Refusal> {
    if body_size <= MESSAGE_BYTES_CEILING {
        return Ok(());
    }
    let text =
        format_args!("content body size {body_size} exceeds maximum allowed size {MESSAGE_BYTES_CEILING}");
    Err(by_publish(Refusal::new(ReplyCode::FRAME_ERROR, text)))
}

fn by_publish(refusal: Refusal) -> Refusal {
    refusal.by(method::basic::Publish::ID)
}

pub(super) fn unexpected(text: &str) -> Refusal {
    Refusal::new(ReplyCode::UNEXPECTED_FRAME, text)
}

fn len_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("memory is below 16 EiB")
}
