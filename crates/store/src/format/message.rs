//! Messages among the records: MESSAGE and COPY (docs/format.md, "MESSAGE, COPY").
//!
//! Invariants:
//! - A message is encoded once, by whoever brings it; what only the log knows is set later ([`run::complete`](super::run::complete)).
//! - A body above 256 bytes has a checksum of its own, in the part that the record's covers.
//!
//! Elsewhere: all that records have in common (`record`), what a message changes (`gist`), messages in a row (`run`).

use crate::format::short::copy_short;
use crate::format::{disk_len, gist, memory_len, pad8};
use crate::ids::{QueueId, Seq};
use crate::limits::INLINE_BODY_BYTES_MAX;
use byteorder::{ByteOrder, LittleEndian as LE};

pub(crate) const MESSAGE_HEADER_LEN: usize = 48;
pub(crate) const REFERENCE_LEN: usize = 24;

pub(super) const TYPE_MESSAGE: u8 = 1;
pub(super) const TYPE_COPY: u8 = 2;

/// The message is dropped when the store is opened again.
const FLAG_TRANSIENT: u8 = 1;

/// One AMQP message. Number 2 is reserved for a batch of stream records.
pub(super) const FORMAT_MESSAGE: u8 = 1;

/// Whether a message outlives the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// It is kept until it is acknowledged.
    Persistent,
    /// It is dropped when the store is opened again.
    Transient,
}

/// What to write for a message; the references follow with [`put_reference`].
pub(crate) struct MessageParts<'a> {
    pub persistence: Persistence,
    pub priority: u8,
    pub message_id: u64,
    pub timestamp_ms: u64,
    pub properties: &'a [&'a [u8]],
    pub body: &'a [&'a [u8]],
}

/// Bytes of a message record, padding not counted.
pub(crate) fn message_len(references: usize, properties: usize, body: usize) -> usize {
    MESSAGE_HEADER_LEN + REFERENCE_LEN * references + properties + body
}

/// Writes a message into `out`, which has exactly its length, but for references and checksum.
pub(crate) fn put_message(out: &mut [u8], ordinal: u32, references: usize, message: &MessageParts<'_>) {
    let len = disk_len(out.len());
    let (head, rest) = out
        .split_first_chunk_mut::<MESSAGE_HEADER_LEN>()
        .expect("a message has a header");
    let (_, parts) = rest.split_at_mut(REFERENCE_LEN * references);
    let (properties, parts) = put_parts(parts, message.properties);
    let (body, rest) = put_parts(parts, message.body);
    assert!(
        rest.is_empty(),
        "the length of a record was computed from its parts"
    );
    LE::write_u32(&mut head[0..], 0);
    LE::write_u32(&mut head[4..], len);
    head[8] = TYPE_MESSAGE;
    head[9] = message_flags(message.persistence);
    head[10] = message.priority;
    head[11] = FORMAT_MESSAGE;
    LE::write_u32(&mut head[12..], ordinal);
    LE::write_u32(&mut head[16..], disk_len(references));
    LE::write_u32(&mut head[20..], disk_len(properties));
    LE::write_u32(&mut head[24..], disk_len(body));
    LE::write_u32(&mut head[28..], 0);
    LE::write_u64(&mut head[32..], message.message_id);
    LE::write_u64(&mut head[40..], message.timestamp_ms);
}

/// Writes `parts` one behind the other; how many bytes that were, and the rest of `out`.
fn put_parts<'o>(out: &'o mut [u8], parts: &[&[u8]]) -> (usize, &'o mut [u8]) {
    let mut len = 0;
    let mut rest = out;
    for part in parts {
        let (to, behind) = rest.split_at_mut(part.len());
        copy_short(to, part);
        len += part.len();
        rest = behind;
    }
    (len, rest)
}

const fn message_flags(persistence: Persistence) -> u8 {
    match persistence {
        Persistence::Persistent => 0,
        Persistence::Transient => FLAG_TRANSIENT,
    }
}

/// Writes reference `index` of the message in `out`.
pub(crate) fn put_reference(out: &mut [u8], index: usize, queue: QueueId, seq: Seq, expires_ms: u64) {
    let at = MESSAGE_HEADER_LEN + REFERENCE_LEN * index;
    let reference = out[at..]
        .first_chunk_mut::<REFERENCE_LEN>()
        .expect("a message has room for its references");
    LE::write_u64(&mut reference[0..], queue.get());
    LE::write_u64(&mut reference[8..], seq.get());
    LE::write_u64(&mut reference[16..], expires_ms);
}

/// Writes an evacuated message into `out`, which has exactly the length of a message with the references of `kept`.
pub(crate) fn put_copy(out: &mut [u8], ordinal: u32, message: &MessageRecord<'_>, kept: &[Reference]) {
    let parts = MessageParts {
        persistence: message.persistence,
        priority: message.priority,
        message_id: message.message_id,
        timestamp_ms: message.timestamp_ms,
        properties: &[message.properties],
        body: &[message.body],
    };
    put_message(out, ordinal, kept.len(), &parts);
    out[8] = TYPE_COPY;
    for (index, reference) in kept.iter().enumerate() {
        let Reference {
            queue,
            seq,
            expires_ms,
        } = *reference;
        put_reference(out, index, queue, seq, expires_ms);
    }
}

/// A message as it is known before the log has a place for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnplacedMessage<'a> {
    pub properties: &'a [u8],
    pub body: &'a [u8],
    pub persistence: Persistence,
    pub priority: u8,
    /// For how long it lives.
    pub life_ms: Option<u64>,
}

/// What records are appended to.
pub(crate) trait Append {
    fn append(&mut self, bytes: &[u8]);
}

impl Append for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends a message with everything but what only the log knows: that is zero, and [`run::complete`](super::run::complete) sets it. Where a time
/// of expiry will stand, its references hold one more than the milliseconds that it lives, see [`life_ms`]. A body that is too
/// large for any record gets lengths that say so.
pub(crate) fn encode_message(out: &mut impl Append, queues: &[QueueId], message: &UnplacedMessage<'_>) {
    let UnplacedMessage {
        properties,
        body,
        persistence,
        priority,
        life_ms,
    } = *message;
    let len = message_len(queues.len(), properties.len(), body.len());
    let capped = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    let mut head = [0; MESSAGE_HEADER_LEN];
    LE::write_u32(&mut head[4..], capped(len));
    head[8] = TYPE_MESSAGE;
    head[9] = message_flags(persistence);
    head[10] = priority;
    head[11] = FORMAT_MESSAGE;
    LE::write_u32(&mut head[16..], capped(queues.len()));
    LE::write_u32(&mut head[20..], capped(properties.len()));
    LE::write_u32(&mut head[24..], capped(body.len()));
    if body.len() > INLINE_BODY_BYTES_MAX && persistence == Persistence::Persistent && life_ms.is_none() {
        // It knows no place, and the body is in the caches now. Others are encoded again when they are published.
        LE::write_u32(&mut head[28..], crc32fast::hash(body));
    }
    let life = life_ms.map_or(0, |ms| ms.saturating_add(1));
    let reference_to = |queue: &QueueId| {
        let mut reference = [0; REFERENCE_LEN];
        LE::write_u64(&mut reference, queue.get());
        LE::write_u64(&mut reference[16..], life);
        reference
    };
    if let [queue] = queues {
        // In one piece of a size that the compiler knows.
        let mut both = [0; MESSAGE_HEADER_LEN + REFERENCE_LEN];
        both[..MESSAGE_HEADER_LEN].copy_from_slice(&head);
        both[MESSAGE_HEADER_LEN..].copy_from_slice(&reference_to(queue));
        out.append(&both);
    } else {
        out.append(&head);
        for queue in queues {
            out.append(&reference_to(queue));
        }
    }
    if !properties.is_empty() {
        out.append(properties);
    }
    out.append(body);
    if !len.is_multiple_of(8) {
        out.append(&[0; 7][..pad8(len) - len]);
    }
}

/// For how long a message lives that [`encode_message`] made.
pub(crate) fn life_ms(message: &MessageRecord<'_>) -> Option<u64> {
    message.references().next()?.expires_ms.checked_sub(1)
}

/// The messages in `records`, which [`encode_message`] made, read one by one.
pub(crate) fn messages(records: &[u8]) -> impl Iterator<Item = MessageRecord<'_>> {
    let mut rest = records;
    std::iter::from_fn(move || {
        let len = memory_len(LE::read_u32(rest.get(4..8)?));
        let message = decode_message(rest.get(..len)?)?;
        rest = rest.get(pad8(len)..)?;
        Some(message)
    })
}

/// Where the body of this record begins, if it has a checksum of its own.
pub(super) fn body_with_own_checksum(record: &[u8]) -> Option<usize> {
    if !is_message(record[8]) || record.len() < MESSAGE_HEADER_LEN {
        return None;
    }
    let body_len = memory_len(LE::read_u32(&record[24..]));
    (body_len > INLINE_BODY_BYTES_MAX && body_len <= record.len() - MESSAGE_HEADER_LEN)
        .then(|| record.len() - body_len)
}

/// Whether a record of this type is a message, published or evacuated.
pub(super) const fn is_message(record_type: u8) -> bool {
    matches!(record_type, TYPE_MESSAGE | TYPE_COPY)
}

/// How a message came to where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// It was published there: MESSAGE.
    Published,
    /// It was evacuated to there: COPY.
    Evacuated,
}

/// A message, read in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MessageRecord<'a> {
    pub origin: Origin,
    pub persistence: Persistence,
    pub priority: u8,
    pub message_id: u64,
    pub timestamp_ms: u64,
    references: &'a [u8],
    pub properties: &'a [u8],
    pub body: &'a [u8],
}

/// One queue's entry for a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reference {
    pub queue: QueueId,
    pub seq: Seq,
    pub expires_ms: u64,
}

impl<'a> MessageRecord<'a> {
    /// How many other entries each entry shares this record with, as it was written.
    pub(crate) fn sharers(&self) -> u16 {
        sharers(self.references.len() / REFERENCE_LEN)
    }

    /// The queues that hold this message.
    pub(crate) fn references(&self) -> impl Iterator<Item = Reference> + 'a {
        references(self.references)
    }
}

/// The references in these bytes.
pub(super) fn references(bytes: &[u8]) -> impl Iterator<Item = Reference> {
    bytes.chunks_exact(REFERENCE_LEN).map(|bytes| Reference {
        queue: QueueId::new(LE::read_u64(&bytes[0..])),
        seq: Seq::new(LE::read_u64(&bytes[8..])),
        expires_ms: LE::read_u64(&bytes[16..]),
    })
}

/// How many others each of so many entries shares a record with.
pub(crate) fn sharers(references: usize) -> u16 {
    u16::try_from(references.saturating_sub(1)).unwrap_or(u16::MAX)
}

/// Reads a message of exactly these bytes.
pub(crate) fn decode_message(bytes: &[u8]) -> Option<MessageRecord<'_>> {
    let properties_at = gist::len(bytes).filter(|_| is_message(bytes[8]))?;
    let gist = gist::decode_message(&bytes[..properties_at])?;
    let body_at = properties_at.checked_add(gist.properties_len)?;
    if gist::record_len(bytes) != bytes.len() {
        return None;
    }
    Some(MessageRecord {
        origin: gist.origin,
        persistence: gist.persistence,
        priority: gist.priority,
        message_id: gist.message_id,
        timestamp_ms: gist.timestamp_ms,
        references: gist.references,
        properties: bytes.get(properties_at..body_at)?,
        body: &bytes[body_at..],
    })
}

pub(super) const fn origin(record_type: u8) -> Origin {
    if record_type == TYPE_COPY {
        Origin::Evacuated
    } else {
        Origin::Published
    }
}

pub(super) const fn persistence(flags: u8) -> Persistence {
    if flags & FLAG_TRANSIENT == 0 {
        Persistence::Persistent
    } else {
        Persistence::Transient
    }
}
