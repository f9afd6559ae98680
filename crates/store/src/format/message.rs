//! Messages among the records: MESSAGE and COPY, in two forms (docs/format.md, "MESSAGE, COPY").
//!
//! Invariants:
//! - What is written has the compact form if it fits into it, as nearly all messages do: [`Shape::form`] decides. Whoever reads takes
//!   either form of either record.
//! - Where the parts of a record are follows from its head: [`Layout`] is the only place that knows.
//! - A message is encoded once, by whoever brings it; what only the log knows is set later ([`complete`]).
//! - A body above 256 bytes has a checksum of its own, in the part that the record's covers.
//!
//! Elsewhere: all that records have in common (`record`), how messages are written (`write`), what they change (`gist`), messages in a row (`run`).

mod write;

use crate::format::{memory_len, pad8};
use crate::ids::{QueueId, Seq};
use crate::limits::INLINE_BODY_BYTES_MAX;
use crate::priority::Priority;
use byteorder::{ByteOrder, LittleEndian as LE};
pub(crate) use write::{
    Append, Stamps, UnplacedMessage, complete, encode_message, put_copy, put_message, shape_of_copy,
};

const FULL_HEADER_LEN: usize = 48;
const COMPACT_HEADER_LEN: usize = 24;
const FULL_REFERENCE_LEN: usize = 24;
const COMPACT_REFERENCE_LEN: usize = 16;
const COMPACT_REFERENCES_MAX: usize = 255;
const COMPACT_PROPERTIES_MAX: usize = 65_535;
const CRC_LEN: usize = 4;
/// The last millisecond that the compact form can name: in the year 10889.
const TIMESTAMP_MS_MAX: u64 = (1 << 48) - 1;

const TYPE_MESSAGE: u8 = 1;
const TYPE_COPY: u8 = 2;
const TYPE_COMPACT_MESSAGE: u8 = 14;
const TYPE_COMPACT_COPY: u8 = 15;

/// The message is dropped when the store is opened again.
const FLAG_TRANSIENT: u8 = 1;
/// A priority of 0 was given; without it a 0 says that none was.
const FLAG_ZERO_GIVEN: u8 = 1 << ZERO_GIVEN_BIT;
const ZERO_GIVEN_BIT: u8 = 1;
/// One AMQP message. Number 2 is reserved for a batch of stream records.
const FORMAT_MESSAGE: u8 = 1;

/// Whether a message outlives the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Persistence {
    /// It is kept until it is acknowledged.
    Persistent,
    /// It is dropped when the store is opened again.
    Transient,
}

/// How a message came to where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// It was published there: MESSAGE.
    Published,
    /// It was evacuated to there: COPY.
    Evacuated,
}

/// How a message is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// With an identity, and a time of expiry for each queue.
    Full,
    /// Without them: half of what stands before the properties.
    Compact,
}

impl Form {
    const fn header_len(self) -> usize {
        match self {
            Self::Full => FULL_HEADER_LEN,
            Self::Compact => COMPACT_HEADER_LEN,
        }
    }

    const fn reference_len(self) -> usize {
        match self {
            Self::Full => FULL_REFERENCE_LEN,
            Self::Compact => COMPACT_REFERENCE_LEN,
        }
    }

    /// Bytes of a body, in a record of so many with so many references and bytes of properties; 0 where these are more.
    pub(crate) const fn body_len(self, record: usize, references: usize, properties: usize) -> usize {
        let before = self.header_len() + self.reference_len() * references;
        let behind = record.saturating_sub(before).saturating_sub(properties);
        match self {
            Self::Compact if behind > INLINE_BODY_BYTES_MAX => behind - CRC_LEN,
            Self::Full | Self::Compact => behind,
        }
    }

    const fn of_type(record_type: u8) -> Option<Self> {
        match record_type {
            TYPE_MESSAGE | TYPE_COPY => Some(Self::Full),
            TYPE_COMPACT_MESSAGE | TYPE_COMPACT_COPY => Some(Self::Compact),
            _ => None,
        }
    }

    const fn to_type(self, origin: Origin) -> u8 {
        match (self, origin) {
            (Self::Full, Origin::Published) => TYPE_MESSAGE,
            (Self::Full, Origin::Evacuated) => TYPE_COPY,
            (Self::Compact, Origin::Published) => TYPE_COMPACT_MESSAGE,
            (Self::Compact, Origin::Evacuated) => TYPE_COMPACT_COPY,
        }
    }
}

/// Whether a record of this type is a message, of any form, published or evacuated.
pub(super) const fn is_message(record_type: u8) -> bool {
    Form::of_type(record_type).is_some()
}

/// What the form of a message and the length of its record follow from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Queues that hold it.
    pub references: usize,
    /// Whether it expires in any of them.
    pub expires: bool,
    /// Bytes of its properties.
    pub properties: usize,
    /// Bytes of its body.
    pub body: usize,
}

impl Shape {
    /// The form in which such a message is written.
    #[inline]
    pub(crate) const fn form(&self) -> Form {
        let few = self.references > 0 && self.references <= COMPACT_REFERENCES_MAX;
        if few && !self.expires && self.properties <= COMPACT_PROPERTIES_MAX {
            Form::Compact
        } else {
            Form::Full
        }
    }

    /// Bytes of its record, padding not counted.
    #[inline]
    pub(crate) const fn record_len(&self) -> usize {
        self.properties_at() + self.properties + self.body
    }

    const fn properties_at(&self) -> usize {
        let form = self.form();
        let crc = match form {
            Form::Compact if self.body > INLINE_BODY_BYTES_MAX => CRC_LEN,
            Form::Full | Form::Compact => 0,
        };
        form.header_len() + form.reference_len() * self.references + crc
    }
}

/// By how many bytes the record of a message in so many queues is longer in the full form, at most.
pub(crate) const fn full_excess(references: usize) -> usize {
    FULL_HEADER_LEN - COMPACT_HEADER_LEN + (FULL_REFERENCE_LEN - COMPACT_REFERENCE_LEN) * references
}

/// One queue's entry for a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reference {
    pub queue: QueueId,
    pub seq: Seq,
    /// Wall clock, ms since 1970; 0 when it never expires.
    pub expires_ms: u64,
}

/// What to write for a message, but for its references.
pub(crate) struct MessageParts<'a> {
    pub origin: Origin,
    pub persistence: Persistence,
    pub priority: Priority,
    /// The compact form has none.
    pub message_id: u64,
    pub timestamp_ms: u64,
    pub properties: &'a [&'a [u8]],
    pub body: &'a [&'a [u8]],
}

impl MessageParts<'_> {
    /// Its shape with these references.
    pub(crate) fn shape(&self, references: &[Reference]) -> Shape {
        let sum = |parts: &[&[u8]]| parts.iter().map(|part| part.len()).sum::<usize>();
        Shape {
            references: references.len(),
            expires: references.iter().any(|reference| reference.expires_ms != 0),
            properties: sum(self.properties),
            body: sum(self.body),
        }
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
        let len = LE::read_u32(rest.get(4..8)?);
        let len = memory_len(Some(len).filter(|len| *len != u32::MAX)?);
        let message = decode_message(rest.get(..len)?)?;
        rest = rest.get(pad8(len)..)?;
        Some(message)
    })
}

/// Where in the record of a message its parts are, as its head tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    pub form: Form,
    pub origin: Origin,
    pub references: usize,
    pub properties_at: usize,
    pub properties_len: usize,
    pub body_len: usize,
}

impl Layout {
    /// Of the record that begins at `bytes`, of which only the header is looked at. `None` when no message begins so. What its lengths say
    /// agrees with the length of the record, of which there may be less in `bytes`.
    #[inline]
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; COMPACT_HEADER_LEN] = bytes.first_chunk()?;
        let record_len = memory_len(LE::read_u32(&head[4..]));
        let layout = match head[8] {
            TYPE_COMPACT_MESSAGE | TYPE_COMPACT_COPY => {
                let references = usize::from(head[11]);
                let properties_len = usize::from(LE::read_u16(&head[22..]));
                let body_len = Form::Compact.body_len(record_len, references, properties_len);
                let shape = Shape {
                    references,
                    expires: false,
                    properties: properties_len,
                    body: body_len,
                };
                Self {
                    form: Form::Compact,
                    origin: origin(head[8]),
                    references,
                    properties_at: shape.properties_at(),
                    properties_len,
                    body_len,
                }
            }
            TYPE_MESSAGE | TYPE_COPY => {
                let head: &[u8; FULL_HEADER_LEN] = bytes.first_chunk()?;
                let references = memory_len(LE::read_u32(&head[16..]));
                if head[11] != FORMAT_MESSAGE {
                    return None;
                }
                Self {
                    form: Form::Full,
                    origin: origin(head[8]),
                    references,
                    properties_at: FULL_HEADER_LEN
                        .checked_add(FULL_REFERENCE_LEN.checked_mul(references)?)?,
                    properties_len: memory_len(LE::read_u32(&head[20..])),
                    body_len: memory_len(LE::read_u32(&head[24..])),
                }
            }
            _ => return None,
        };
        (layout.record_len() == record_len && layout.is_possible()).then_some(layout)
    }

    #[inline]
    fn record_len(&self) -> usize {
        self.body_at().saturating_add(self.body_len)
    }

    /// Whether the form takes so many references.
    fn is_possible(&self) -> bool {
        self.form == Form::Full || self.references > 0
    }

    #[inline]
    fn body_at(&self) -> usize {
        self.properties_at.saturating_add(self.properties_len)
    }

    /// The references in the record, or the gist, that this is the layout of.
    #[inline]
    pub(super) fn references_in<'a>(&self, bytes: &'a [u8]) -> Option<References<'a>> {
        let from = self.form.header_len();
        let len = self.form.reference_len().checked_mul(self.references)?;
        Some(References {
            form: self.form,
            bytes: bytes.get(from..from.checked_add(len)?)?,
        })
    }

    /// Identity and time in the record, or the gist, that this is the layout of.
    #[inline]
    pub(super) fn stamps_in(&self, bytes: &[u8]) -> (Option<u64>, u64) {
        match self.form {
            Form::Full => (Some(LE::read_u64(&bytes[32..])), LE::read_u64(&bytes[40..])),
            Form::Compact => (None, LE::read_u48(&bytes[16..])),
        }
    }
}

const fn origin(record_type: u8) -> Origin {
    match record_type {
        TYPE_COPY | TYPE_COMPACT_COPY => Origin::Evacuated,
        _ => Origin::Published,
    }
}

pub(super) const fn persistence(flags: u8) -> Persistence {
    if flags & FLAG_TRANSIENT == 0 {
        Persistence::Persistent
    } else {
        Persistence::Transient
    }
}

/// The priority that somebody gave a message.
pub(super) const fn priority(flags: u8, byte: u8) -> Priority {
    Priority::of_parts(byte, (flags & FLAG_ZERO_GIVEN) >> ZERO_GIVEN_BIT)
}

/// A body with a checksum of its own.
pub(super) struct OwnChecksum {
    /// Where in the record the checksum stands.
    pub at: usize,
    /// Where the body begins, which the record ends with.
    pub body_at: usize,
}

/// The body of this record, if it has a checksum of its own.
#[inline]
pub(super) fn own_checksum(record: &[u8]) -> Option<OwnChecksum> {
    // The shortest record with such a body; most have a smaller one.
    if record.len() <= INLINE_BODY_BYTES_MAX {
        return None;
    }
    let layout = Layout::of(record).filter(|layout| layout.body_len > INLINE_BODY_BYTES_MAX)?;
    Some(OwnChecksum {
        at: match layout.form {
            Form::Full => 28,
            Form::Compact => layout.properties_at - CRC_LEN,
        },
        body_at: layout.body_at(),
    })
}

/// A message, read in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MessageRecord<'a> {
    pub origin: Origin,
    pub form: Form,
    pub persistence: Persistence,
    pub priority: Priority,
    /// The compact form has none.
    pub message_id: Option<u64>,
    pub timestamp_ms: u64,
    references: References<'a>,
    pub properties: &'a [u8],
    pub body: &'a [u8],
}

impl<'a> MessageRecord<'a> {
    /// How many other entries each entry shares this record with, as it was written.
    pub(crate) fn sharers(&self) -> u16 {
        sharers(self.references.len())
    }

    /// The queues that hold this message.
    pub(crate) fn references(&self) -> impl Iterator<Item = Reference> + 'a {
        self.references.iter()
    }
}

/// The references of a message, read in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct References<'a> {
    form: Form,
    bytes: &'a [u8],
}

impl<'a> References<'a> {
    /// How many.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len() / self.form.reference_len()
    }

    /// The first of them.
    #[inline]
    pub(super) fn first(&self) -> Option<Reference> {
        self.iter().next()
    }

    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = Reference> + use<'a> {
        let (form, mut rest) = (self.form, self.bytes);
        std::iter::from_fn(move || match form {
            Form::Full => take_reference::<FULL_REFERENCE_LEN>(&mut rest),
            Form::Compact => take_reference::<COMPACT_REFERENCE_LEN>(&mut rest),
        })
    }
}

/// Takes a reference of `N` bytes off.
#[inline]
fn take_reference<const N: usize>(rest: &mut &[u8]) -> Option<Reference> {
    let (bytes, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(Reference {
        queue: QueueId::new(LE::read_u64(&bytes[0..])),
        seq: Seq::new(LE::read_u64(&bytes[8..])),
        expires_ms: bytes.get(16..FULL_REFERENCE_LEN).map_or(0, LE::read_u64),
    })
}

/// How many others each of so many entries shares a record with.
pub(crate) fn sharers(references: usize) -> u16 {
    u16::try_from(references.saturating_sub(1)).unwrap_or(u16::MAX)
}

/// Reads a message of exactly these bytes.
pub(crate) fn decode_message(bytes: &[u8]) -> Option<MessageRecord<'_>> {
    let layout = Layout::of(bytes).filter(|layout| layout.record_len() == bytes.len())?;
    let (message_id, timestamp_ms) = layout.stamps_in(bytes);
    Some(MessageRecord {
        origin: layout.origin,
        form: layout.form,
        persistence: persistence(bytes[9]),
        priority: priority(bytes[9], bytes[10]),
        message_id,
        timestamp_ms,
        references: layout.references_in(bytes)?,
        properties: bytes.get(layout.properties_at..layout.body_at())?,
        body: bytes.get(layout.body_at()..)?,
    })
}

/// The record of a message for these queues, seqs and times of expiry, as a test wants it: its checksums open.
#[cfg(test)]
pub(crate) fn record_of(ordinal: u32, message: &MessageParts<'_>, references: &[(u64, u64, u64)]) -> Vec<u8> {
    let references: Vec<_> = references.iter().copied().map(Reference::of).collect();
    let shape = message.shape(&references);
    let mut record = vec![0xff; shape.record_len()];
    put_message(&mut record, ordinal, &shape, message, &references);
    record
}

#[cfg(test)]
impl Reference {
    pub(crate) const fn of((queue, seq, expires_ms): (u64, u64, u64)) -> Self {
        Self {
            queue: QueueId::new(queue),
            seq: Seq::new(seq),
            expires_ms,
        }
    }
}

#[cfg(test)]
mod tests;
