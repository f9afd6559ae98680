//! The gist of a record: all of it that changes the state. Of a message everything before its properties, of any other
//! record the whole.
//!
//! Invariants:
//! - A gist is the beginning of its record as it stands in the log, checksum and length of the whole record included.
//! - The state is given gists and nothing else, so that whoever keeps the gists of a log can rebuild from them what the log
//!   says.
//!
//! Elsewhere: what a gist does (`state`), the records themselves (`record`), who keeps gists (`footer`).

use super::message::{self, Form, Layout, Origin, Persistence, Reference, References};
use super::record::{self, QueueRecord, Ranges, RangesKind, Record};
use crate::format::{memory_len, pad8};
use crate::priority::Priority;
use byteorder::{ByteOrder, LittleEndian as LE};

/// The gist of a record, read in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Gist<'a> {
    Message(MessageGist<'a>),
    Ranges { kind: RangesKind, ranges: Ranges<'a> },
    Queue(QueueRecord<'a>),
    Mark,
}

/// A message without its properties and its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MessageGist<'a> {
    pub origin: Origin,
    pub form: Form,
    pub persistence: Persistence,
    pub priority: Priority,
    /// The compact form has none.
    pub message_id: Option<u64>,
    pub timestamp_ms: u64,
    pub properties_len: usize,
    pub(super) references: References<'a>,
}

impl<'a> MessageGist<'a> {
    /// How many other entries each entry shares this record with, as it was written.
    pub(crate) fn sharers(&self) -> u16 {
        message::sharers(self.references.len())
    }

    /// The queues that hold this message.
    pub(crate) fn references(&self) -> impl Iterator<Item = Reference> + 'a {
        self.references.iter()
    }
}

/// Bytes of the gist of the record that begins at `bytes`, which holds at least the gist; `None` when no record can begin so.
pub(crate) fn len(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < record::MARK_LEN {
        return None;
    }
    let whole = record_len(bytes);
    let len = if message::is_message(bytes[8]) {
        Layout::of(bytes)?.properties_at
    } else {
        whole
    };
    (record::MARK_LEN..=bytes.len().min(whole))
        .contains(&len)
        .then_some(len)
}

/// Bytes of the record that this is the gist of.
pub(crate) fn record_len(gist: &[u8]) -> usize {
    memory_len(LE::read_u32(&gist[4..]))
}

/// Reads a gist of exactly these bytes. `None` when they make no sense, which that of an intact record never does.
pub(crate) fn decode(bytes: &[u8]) -> Option<Gist<'_>> {
    if bytes.len() < record::MARK_LEN {
        return None;
    }
    if message::is_message(bytes[8]) {
        return decode_message(bytes).map(Gist::Message);
    }
    Some(match record::decode(bytes)? {
        // Those are no other type's.
        Record::Message(_) => return None,
        Record::Ranges { kind, ranges } => Gist::Ranges { kind, ranges },
        Record::Queue(queue) => Gist::Queue(queue),
        Record::Mark { .. } => Gist::Mark,
    })
}

/// Reads the gist of a message of exactly these bytes.
pub(super) fn decode_message(bytes: &[u8]) -> Option<MessageGist<'_>> {
    let layout = Layout::of(bytes).filter(|layout| layout.properties_at == bytes.len())?;
    let (message_id, timestamp_ms) = layout.stamps_in(bytes);
    Some(MessageGist {
        origin: layout.origin,
        form: layout.form,
        persistence: message::persistence(bytes[9]),
        priority: message::priority(bytes[9], bytes[10]),
        message_id,
        timestamp_ms,
        properties_len: layout.properties_len,
        references: layout.references_in(bytes)?,
    })
}

/// The records of a payload, or the gists that were kept of them, one behind the other.
pub(crate) struct Gists<'a> {
    rest: &'a [u8],
    kept: Kept,
    offset: usize,
}

/// What follows a gist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// The rest of its record.
    Records,
    /// The next gist.
    Gists,
}

impl<'a> Gists<'a> {
    pub(crate) const fn new(bytes: &'a [u8], kept: Kept) -> Self {
        Self {
            rest: bytes,
            kept,
            offset: 0,
        }
    }
}

impl<'a> Iterator for Gists<'a> {
    /// Offset of the record in its payload, and its gist.
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let gist = &self.rest[..len(self.rest)?];
        let found = (self.offset, gist);
        let record = pad8(record_len(gist));
        let taken = match self.kept {
            // A record that is not whole is none.
            Kept::Records if record_len(gist) > self.rest.len() => return None,
            Kept::Records => record,
            Kept::Gists => pad8(gist.len()),
        };
        self.rest = self.rest.get(taken..).unwrap_or_default();
        self.offset = self.offset.checked_add(record)?;
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::message::{MessageParts, record_of};
    use crate::format::record::{AckReason, Range, put_mark, put_ranges, ranges_len};
    use crate::ids::{QueueId, Seq};

    /// A message that expires in its second queue.
    fn message(body: &[u8]) -> Vec<u8> {
        expiring(body, 99)
    }

    fn expiring(body: &[u8], expires_ms: u64) -> Vec<u8> {
        let parts = MessageParts {
            origin: Origin::Published,
            persistence: Persistence::Transient,
            priority: Priority::new(4),
            message_id: 5,
            timestamp_ms: 6,
            properties: &[b"props"],
            body: &[body],
        };
        record_of(0, &parts, &[(1, 10, 0), (2, 20, expires_ms)])
    }

    #[test]
    fn the_gist_of_a_message_says_all_but_properties_and_body() {
        for (bytes, expected) in [
            (message(b"a body"), 48 + 2 * 24),
            (expiring(b"a body", 0), 24 + 2 * 16),
            (expiring(&[7; 300], 0), 24 + 2 * 16 + 4),
        ] {
            let gist = &bytes[..len(&bytes).unwrap()];
            assert_eq!(gist.len(), expected);
            let Some(Gist::Message(read)) = decode(gist) else {
                panic!("it is a message")
            };
            let whole = message::decode_message(&bytes).unwrap();
            assert_eq!(read.sharers(), whole.sharers());
            assert!(read.references().eq(whole.references()));
            assert_eq!(
                (
                    read.origin,
                    read.form,
                    read.persistence,
                    read.priority,
                    read.message_id
                ),
                (
                    whole.origin,
                    whole.form,
                    whole.persistence,
                    whole.priority,
                    whole.message_id
                )
            );
            assert_eq!(
                (read.properties_len, read.timestamp_ms),
                (whole.properties.len(), whole.timestamp_ms)
            );
        }
    }

    #[test]
    fn gists_alone_lead_to_the_same_places_as_the_records() {
        let range = Range {
            queue: QueueId::new(1),
            first: Seq::new(3),
            count: 4,
        };
        let mut ack = vec![0; ranges_len(1)];
        put_ranges(&mut ack, 1, RangesKind::Ack(AckReason::Dropped), &[range]);
        let mut mark = vec![0; record::MARK_LEN];
        put_mark(&mut mark, 2, 7);
        let (mut payload, mut kept) = (Vec::new(), Vec::new());
        for record in [message(b"first"), ack, expiring(&[7; 300], 0), message(b""), mark] {
            let gist = len(&record).unwrap();
            for (out, bytes) in [(&mut payload, &record[..]), (&mut kept, &record[..gist])] {
                out.extend_from_slice(bytes);
                out.resize(pad8(out.len()), 0);
            }
        }
        assert!(kept.len() < payload.len());
        let of_payload: Vec<_> = Gists::new(&payload, Kept::Records).collect();
        let of_kept: Vec<_> = Gists::new(&kept, Kept::Gists).collect();
        assert_eq!(of_payload.len(), 5);
        assert_eq!(of_payload, of_kept);
    }

    #[test]
    fn whatever_bytes_stand_there_nothing_panics_and_no_walk_is_endless() {
        for sound in [message(b"body"), expiring(b"body", 0), expiring(&[7; 300], 0)] {
            for (at, value) in (0..sound.len()).flat_map(|at| [0, 1, 0x7f, 0xff].map(|value| (at, value))) {
                let mut bytes = sound.clone();
                bytes[at] = value;
                for kept in [Kept::Records, Kept::Gists] {
                    let gists = Gists::new(&bytes, kept);
                    assert!(gists.filter_map(|(_, gist)| decode(gist)).count() <= bytes.len() / 8);
                }
            }
        }
    }
}
