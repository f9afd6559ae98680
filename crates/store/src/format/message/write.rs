//! How messages are written: at once, or encoded by whoever brings them and completed by the log.
//!
//! Invariants:
//! - The form is the one that [`Shape::form`] gives, and the length the one that [`Shape::record_len`] gives.
//! - A message that was encoded and completed is, byte for byte, one that was written at once.
//!
//! Elsewhere: the forms, and how they are read (`message`).

use super::{
    COMPACT_HEADER_LEN, COMPACT_REFERENCE_LEN, CRC_LEN, FLAG_TRANSIENT, FORMAT_MESSAGE, FULL_HEADER_LEN,
    FULL_REFERENCE_LEN, Form, MessageParts, MessageRecord, Origin, Persistence, Reference, Shape,
    TIMESTAMP_MS_MAX, TYPE_COMPACT_MESSAGE, ZERO_GIVEN_BIT,
};
use crate::format::short::copy_short;
use crate::format::{disk_len, memory_len, pad8};
use crate::ids::{QueueId, Seq};
use crate::limits::INLINE_BODY_BYTES_MAX;
use crate::priority::Priority;
use byteorder::{ByteOrder, LittleEndian as LE};

/// Writes a message of this shape into `out`, which has exactly the length that it gives; checksums are left open.
pub(crate) fn put_message(
    out: &mut [u8],
    ordinal: u32,
    shape: &Shape,
    message: &MessageParts<'_>,
    references: &[Reference],
) {
    debug_assert_eq!(*shape, message.shape(references), "it is the message's shape");
    let form = shape.form();
    assert!(
        out.len() == shape.record_len(),
        "the length of a record was computed from its parts"
    );
    let (head, parts) = out.split_at_mut(shape.properties_at());
    let len = disk_len(parts.len() + head.len());
    put_head(
        head,
        len,
        shape,
        form.to_type(message.origin),
        message.persistence,
        message.priority,
    );
    LE::write_u32(&mut head[12..], ordinal);
    let (header, behind) = head.split_at_mut(form.header_len());
    match form {
        Form::Full => {
            LE::write_u64(&mut header[32..], message.message_id);
            LE::write_u64(&mut header[40..], message.timestamp_ms);
        }
        Form::Compact => put_timestamp(header, message.timestamp_ms),
    }
    match form {
        Form::Full => put_references::<FULL_REFERENCE_LEN>(behind, references),
        Form::Compact => put_references::<COMPACT_REFERENCE_LEN>(behind, references),
    }
    let behind = put_parts(parts, message.properties);
    let behind = put_parts(behind, message.body);
    assert!(
        behind.is_empty(),
        "the shape of a message counts all of its parts"
    );
}

/// Writes all of a head that follows from what a message is, and zeros for the rest but its references.
#[inline]
fn put_head(
    head: &mut [u8],
    len: u32,
    shape: &Shape,
    record_type: u8,
    persistence: Persistence,
    priority: Priority,
) {
    let capped = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    LE::write_u32(&mut head[0..], 0);
    LE::write_u32(&mut head[4..], len);
    head[8] = record_type;
    head[9] = match persistence {
        Persistence::Persistent => 0,
        Persistence::Transient => FLAG_TRANSIENT,
    };
    head[9] |= priority.zero_given() << ZERO_GIVEN_BIT;
    head[10] = priority.byte();
    LE::write_u32(&mut head[12..], 0);
    match shape.form() {
        Form::Full => {
            head[11] = FORMAT_MESSAGE;
            LE::write_u32(&mut head[16..], capped(shape.references));
            LE::write_u32(&mut head[20..], capped(shape.properties));
            LE::write_u32(&mut head[24..], capped(shape.body));
            head[28..FULL_HEADER_LEN].fill(0);
        }
        Form::Compact => {
            // As many as its form takes.
            head[11] = u8::try_from(shape.references).unwrap_or(u8::MAX);
            LE::write_u48(&mut head[16..], 0);
            let properties = u16::try_from(shape.properties).unwrap_or(u16::MAX);
            LE::write_u16(&mut head[22..], properties);
            if shape.body > INLINE_BODY_BYTES_MAX {
                put_body_crc(head, 0);
            }
        }
    }
}

/// Sets the checksum of a body at the end of a compact head.
fn put_body_crc(head: &mut [u8], crc: u32) {
    let place = head.last_chunk_mut::<CRC_LEN>();
    *place.expect("the head of such a body ends with its checksum") = crc.to_le_bytes();
}

/// Sets the time of a message with a compact head.
#[inline]
fn put_timestamp(head: &mut [u8], timestamp_ms: u64) {
    LE::write_u48(&mut head[16..], timestamp_ms.min(TIMESTAMP_MS_MAX));
}

/// Writes references of `N` bytes each, which say when they expire if there is room for that.
#[inline]
fn put_references<const N: usize>(out: &mut [u8], references: &[Reference]) {
    let (places, _) = out.as_chunks_mut::<N>();
    for (out, reference) in places.iter_mut().zip(references) {
        LE::write_u64(&mut out[0..], reference.queue.get());
        LE::write_u64(&mut out[8..], reference.seq.get());
        if let Some(expires) = out.get_mut(16..FULL_REFERENCE_LEN) {
            LE::write_u64(expires, reference.expires_ms);
        }
    }
}

/// Writes `parts` one behind the other; the rest of `out`.
fn put_parts<'o>(out: &'o mut [u8], parts: &[&[u8]]) -> &'o mut [u8] {
    let mut rest = out;
    for part in parts {
        let (to, behind) = rest.split_at_mut(part.len());
        copy_short(to, part);
        rest = behind;
    }
    rest
}

/// Writes an evacuated message into `out`, which has exactly the length of a message with the references of `kept`.
pub(crate) fn put_copy(out: &mut [u8], ordinal: u32, message: &MessageRecord<'_>, kept: &[Reference]) {
    let parts = MessageParts {
        origin: Origin::Evacuated,
        persistence: message.persistence,
        priority: message.priority,
        // What has none is compact, and its copies are.
        message_id: message.message_id.unwrap_or_default(),
        timestamp_ms: message.timestamp_ms,
        properties: &[message.properties],
        body: &[message.body],
    };
    put_message(out, ordinal, &shape_of_copy(message, kept), &parts, kept);
}

/// The shape of the copy of a message that still lives in `kept`.
pub(crate) fn shape_of_copy(message: &MessageRecord<'_>, kept: &[Reference]) -> Shape {
    Shape {
        references: kept.len(),
        expires: kept.iter().any(|reference| reference.expires_ms != 0),
        properties: message.properties.len(),
        body: message.body.len(),
    }
}

/// A message as it is known before the log has a place for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnplacedMessage<'a> {
    pub properties: &'a [u8],
    pub body: &'a [u8],
    pub persistence: Persistence,
    pub priority: Priority,
    /// For how long it lives.
    pub life_ms: Option<u64>,
}

impl UnplacedMessage<'_> {
    /// Its shape, should so many queues hold it.
    #[inline]
    pub(crate) const fn shape(&self, queues: usize) -> Shape {
        Shape {
            references: queues,
            expires: self.life_ms.is_some(),
            properties: self.properties.len(),
            body: self.body.len(),
        }
    }
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

/// Appends a message with everything but what only the log knows: that is zero, and [`complete`] sets it. Where a time
/// of expiry will stand, its references hold one more than the milliseconds that it lives, see [`life_ms`]. What is too
/// large for any record gets a length that says so, and nobody reads it.
pub(crate) fn encode_message(out: &mut impl Append, queues: &[QueueId], message: &UnplacedMessage<'_>) {
    let shape = message.shape(queues.len());
    let len = shape.record_len();
    match shape.form() {
        Form::Compact => encode_compact(out, queues, message, &shape),
        Form::Full => encode_full(out, queues, message, &shape),
    }
    if !message.properties.is_empty() {
        out.append(message.properties);
    }
    out.append(message.body);
    if !len.is_multiple_of(8) {
        out.append(&[0; 7][..pad8(len) - len]);
    }
}

fn encode_compact(out: &mut impl Append, queues: &[QueueId], message: &UnplacedMessage<'_>, shape: &Shape) {
    const ONE: usize = COMPACT_HEADER_LEN + COMPACT_REFERENCE_LEN;
    let len = u32::try_from(shape.record_len()).unwrap_or(u32::MAX);
    let record_type = Form::Compact.to_type(Origin::Published);
    let has_crc = shape.body > INLINE_BODY_BYTES_MAX;
    let header = |head: &mut [u8]| {
        put_head(
            head,
            len,
            &Shape { body: 0, ..*shape },
            record_type,
            message.persistence,
            message.priority,
        );
    };
    if let [queue] = queues {
        // In one piece of a size that the compiler knows.
        let mut both = [0; ONE];
        header(&mut both);
        LE::write_u64(&mut both[COMPACT_HEADER_LEN..], queue.get());
        out.append(&both);
    } else {
        let mut head = [0; COMPACT_HEADER_LEN];
        header(&mut head);
        out.append(&head);
        for queue in queues {
            let mut reference = [0; COMPACT_REFERENCE_LEN];
            LE::write_u64(&mut reference, queue.get());
            out.append(&reference);
        }
    }
    if has_crc {
        out.append(&early_crc(message).to_le_bytes());
    }
}

fn encode_full(out: &mut impl Append, queues: &[QueueId], message: &UnplacedMessage<'_>, shape: &Shape) {
    let len = u32::try_from(shape.record_len()).unwrap_or(u32::MAX);
    let mut head = [0; FULL_HEADER_LEN];
    let record_type = Form::Full.to_type(Origin::Published);
    put_head(
        &mut head,
        len,
        shape,
        record_type,
        message.persistence,
        message.priority,
    );
    if shape.body > INLINE_BODY_BYTES_MAX {
        LE::write_u32(&mut head[28..], early_crc(message));
    }
    out.append(&head);
    let life = message.life_ms.map_or(0, |ms| ms.saturating_add(1));
    for queue in queues {
        let mut reference = [0; FULL_REFERENCE_LEN];
        LE::write_u64(&mut reference, queue.get());
        LE::write_u64(&mut reference[16..], life);
        out.append(&reference);
    }
}

/// The checksum of a body that stays where it is encoded: it knows no place, and the body is in the caches now. Others are encoded again
/// when they are published, and have none yet.
fn early_crc(message: &UnplacedMessage<'_>) -> u32 {
    if message.persistence == Persistence::Persistent && message.life_ms.is_none() {
        crc32fast::hash(message.body)
    } else {
        0
    }
}

/// What only the log gives to a message.
#[derive(Clone, Copy)]
pub(crate) struct Stamps {
    /// Of its record in the block.
    pub ordinal: u32,
    /// The compact form has none.
    pub message_id: u64,
    pub timestamp_ms: u64,
}

/// Gives the message that `records` begins with, which [`encode_message`] made, what only the log knows. In each of its queues, in their order, it comes
/// so much behind the seq that is named. Returns the bytes of its record, padding counted.
#[inline]
pub(crate) fn complete(records: &mut [u8], stamps: &Stamps, seqs: &[Seq], behind: u64) -> usize {
    let head: &mut [u8; COMPACT_HEADER_LEN + COMPACT_REFERENCE_LEN] = records
        .first_chunk_mut()
        .expect("each message has been counted when it was encoded");
    let len = pad8(memory_len(LE::read_u32(&head[4..])));
    LE::write_u32(&mut head[12..], stamps.ordinal);
    if head[8] == TYPE_COMPACT_MESSAGE {
        put_timestamp(head, stamps.timestamp_ms);
        if let [seq] = seqs {
            LE::write_u64(&mut head[32..], seq.plus(behind).get());
            return len;
        }
        let references = records[COMPACT_HEADER_LEN..len].chunks_exact_mut(COMPACT_REFERENCE_LEN);
        put_seqs(references, seqs, behind);
    } else {
        let header = &mut records[..FULL_HEADER_LEN];
        LE::write_u64(&mut header[32..], stamps.message_id);
        LE::write_u64(&mut header[40..], stamps.timestamp_ms);
        let references = records[FULL_HEADER_LEN..len].chunks_exact_mut(FULL_REFERENCE_LEN);
        put_seqs(references, seqs, behind);
    }
    len
}

fn put_seqs<'a>(references: impl Iterator<Item = &'a mut [u8]>, seqs: &[Seq], behind: u64) {
    for (reference, seq) in references.zip(seqs) {
        LE::write_u64(&mut reference[8..], seq.plus(behind).get());
    }
}
