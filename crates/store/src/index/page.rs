//! One page of index entries (docs/format.md, "Index page").
//!
//! Invariants:
//! - A page belongs to one queue and holds the entries of [`ENTRIES`] sequence numbers that follow each
//!   other, beginning at a multiple of [`ENTRIES`].
//! - An entry of length 0 is absent.

use crate::disk::Now;
use crate::format::message::Form;
use crate::format::{byte_count, memory_len};
use crate::ids::{Lsn, QueueId, Seq};
use crate::limits::PAGE_BYTES;
use crate::priority::Priority;
use byteorder::{ByteOrder, LittleEndian as LE};
use std::ops::Range;

const MAGIC: u64 = u64::from_le_bytes(*b"LPINDEX1");
const HEADER_LEN: usize = 64;
pub(crate) const ENTRY_LEN: usize = 24;
/// Entries in a page.
pub(crate) const ENTRIES: u64 = 168;
const _: () = assert!(HEADER_LEN + 168 * ENTRY_LEN == PAGE_BYTES);

const FLAG_TRANSIENT: u8 = 1;
/// The record has the compact form.
const FLAG_COMPACT: u8 = 2;
/// A priority of 0 was given.
const FLAG_ZERO_GIVEN: u8 = 1 << ZERO_GIVEN_BIT;
const ZERO_GIVEN_BIT: u8 = 2;
/// The last millisecond that an entry can name: in the year 10889.
pub(crate) const EXPIRES_MS_MAX: u64 = (1 << 48) - 1;

/// One entry: where the message is, and what is known of it without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub lsn: Lsn,
    /// Bytes of the record; 0 when there is no entry.
    pub len: u32,
    pub form: Form,
    pub transient: bool,
    pub priority: Priority,
    /// How many other entries the record was written for: they share its bytes.
    pub sharers: u16,
    /// Wall clock; 0 when it never expires, and never above [`EXPIRES_MS_MAX`].
    pub expires_ms: u64,
    /// Bytes of the properties, as far as 16 bits tell.
    pub properties_len: u16,
}

impl Entry {
    /// What stands where no entry was written.
    pub(crate) const ABSENT: Self = Self {
        lsn: Lsn::new(0),
        len: 0,
        form: Form::Full,
        transient: false,
        priority: Priority::NONE,
        sharers: 0,
        expires_ms: 0,
        properties_len: 0,
    };

    /// Whether its time has come.
    pub(crate) const fn is_expired(&self, now: Now) -> bool {
        self.expires_ms != 0 && self.expires_ms <= now.wall_ms
    }

    /// Bytes of the body, as limits count them.
    pub(crate) fn body_bytes(&self) -> u64 {
        let (references, properties) = (usize::from(self.sharers) + 1, usize::from(self.properties_len));
        byte_count(self.form.body_len(memory_len(self.len), references, properties))
    }
}

/// Bytes of properties, as far as an entry can tell.
pub(crate) fn counted_properties(properties: usize) -> u16 {
    u16::try_from(properties).unwrap_or(u16::MAX)
}

/// Bytes of a body, as limits count them: properties beyond what an entry can tell count with it.
pub(crate) fn counted_bytes(properties: usize, body: usize) -> u64 {
    byte_count(body + properties.saturating_sub(usize::from(u16::MAX)))
}

/// Number of the page, within its queue, that holds `seq`.
pub(crate) const fn page_of(seq: Seq) -> u64 {
    seq.get() / ENTRIES
}

/// Makes an empty page of `queue` out of whatever the bytes held.
pub(crate) fn format(page: &mut [u8], queue: QueueId, number: u64) {
    page.fill(0);
    LE::write_u64(&mut page[0..], MAGIC);
    LE::write_u64(&mut page[16..], queue.get());
    LE::write_u64(&mut page[24..], number * ENTRIES);
}

/// Computes the page's checksum, stores it, and returns it.
pub(crate) fn seal(page: &mut [u8]) -> u32 {
    let crc = crc32fast::hash(&page[16..]);
    LE::write_u32(&mut page[8..], crc);
    crc
}

/// Whether the page is the one that a checkpoint recorded with this checksum.
pub(crate) fn is_intact(page: &[u8], crc: u32) -> bool {
    LE::read_u64(page) == MAGIC && LE::read_u32(&page[8..]) == crc && crc32fast::hash(&page[16..]) == crc
}

/// Whether what no checksum covers is zero, as it must be.
pub(crate) fn is_blank_where_reserved(page: &[u8]) -> bool {
    page[12..16].iter().all(|byte| *byte == 0)
}

/// The queue that a page belongs to and the first sequence number it has room for.
pub(crate) fn owner(page: &[u8]) -> (QueueId, Seq) {
    (
        QueueId::new(LE::read_u64(&page[16..])),
        Seq::new(LE::read_u64(&page[24..])),
    )
}

/// Where in a page its entry number `slot` stands.
pub(crate) const fn entry_offset(slot: u64) -> u64 {
    64 + slot * ENTRY_BYTES
}

/// Size of an entry.
pub(crate) const ENTRY_BYTES: u64 = 24;
const _: () = assert!(entry_offset(ENTRIES) == 4096);

/// Reads the entry of `seq`.
pub(crate) fn entry(page: &[u8], seq: Seq) -> Entry {
    let bytes = page[position(seq)..].first_chunk();
    decode(bytes.expect("a page ends with an entry"))
}

#[inline]
fn decode(bytes: &[u8; ENTRY_LEN]) -> Entry {
    Entry {
        lsn: Lsn::new(LE::read_u64(&bytes[0..])),
        len: LE::read_u32(&bytes[8..]),
        form: if bytes[12] & FLAG_COMPACT == 0 {
            Form::Full
        } else {
            Form::Compact
        },
        transient: bytes[12] & FLAG_TRANSIENT != 0,
        priority: Priority::of_parts(bytes[13], (bytes[12] & FLAG_ZERO_GIVEN) >> ZERO_GIVEN_BIT),
        sharers: LE::read_u16(&bytes[14..]),
        expires_ms: LE::read_u48(&bytes[16..]),
        properties_len: LE::read_u16(&bytes[22..]),
    }
}

/// Reads entries that were [encoded](encode), one behind the other.
pub(crate) fn decoded(entries: &[u8]) -> impl Iterator<Item = Entry> {
    entries.as_chunks().0.iter().map(decode)
}

/// Reads the entries of `range`, all of which lie in the page, each with its seq.
pub(crate) fn entries(page: &[u8], range: Range<u64>) -> impl Iterator<Item = (u64, Entry)> {
    let (entries, _) = page[position(Seq::new(range.start))..].as_chunks();
    range.zip(entries.iter().map(decode))
}

/// Writes the entry of `seq`.
pub(crate) fn put(page: &mut [u8], seq: Seq, entry: &Entry) {
    put_encoded(page, seq, &encode(entry));
}

/// The bytes of an entry.
pub(crate) fn encode(entry: &Entry) -> [u8; ENTRY_LEN] {
    let mut bytes = [0; ENTRY_LEN];
    LE::write_u64(&mut bytes[0..], entry.lsn.get());
    LE::write_u32(&mut bytes[8..], entry.len);
    let transient = if entry.transient { FLAG_TRANSIENT } else { 0 };
    let compact = match entry.form {
        Form::Full => 0,
        Form::Compact => FLAG_COMPACT,
    };
    bytes[12] = transient | compact | entry.priority.zero_given() << ZERO_GIVEN_BIT;
    bytes[13] = entry.priority.byte();
    LE::write_u16(&mut bytes[14..], entry.sharers);
    LE::write_u48(&mut bytes[16..], entry.expires_ms.min(EXPIRES_MS_MAX));
    LE::write_u16(&mut bytes[22..], entry.properties_len);
    bytes
}

/// Writes entries that were [encoded](encode), the first of them that of `seq`. All of them are of this page.
pub(crate) fn put_encoded(page: &mut [u8], seq: Seq, entries: &[u8]) {
    page[position(seq)..][..entries.len()].copy_from_slice(entries);
}

fn position(seq: Seq) -> usize {
    let slot = usize::try_from(seq.get() % ENTRIES).expect("a remainder of a small number is small");
    HEADER_LEN + slot * ENTRY_LEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::message::Shape;

    #[test]
    fn an_entry_reads_back_and_its_neighbours_stay_absent() {
        let mut page = vec![0xff; PAGE_BYTES];
        format(&mut page, QueueId::new(5), 2);
        let written = Entry {
            lsn: Lsn::new(4096),
            len: 99,
            form: Form::Compact,
            transient: true,
            priority: Priority::new(3),
            sharers: 2,
            expires_ms: 7,
            properties_len: 5,
        };
        put(&mut page, Seq::new(2 * ENTRIES + 167), &written);
        assert_eq!(entry(&page, Seq::new(2 * ENTRIES + 167)), written);
        assert_eq!(entry(&page, Seq::new(2 * ENTRIES + 166)).len, 0);
        assert_eq!(owner(&page), (QueueId::new(5), Seq::new(2 * ENTRIES)));
    }

    #[test]
    fn a_run_of_entries_is_what_they_are_one_by_one_up_to_the_last_of_the_page() {
        let mut page = vec![0; PAGE_BYTES];
        format(&mut page, QueueId::new(5), 2);
        for seq in 2 * ENTRIES..3 * ENTRIES {
            let len = u32::try_from(seq).unwrap();
            put(&mut page, Seq::new(seq), &Entry { len, ..Entry::ABSENT });
        }
        for range in [2 * ENTRIES..2 * ENTRIES + 3, 3 * ENTRIES - 2..3 * ENTRIES] {
            let one_by_one = range.clone().map(|seq| (seq, entry(&page, Seq::new(seq))));
            assert!(entries(&page, range.clone()).eq(one_by_one));
        }
    }

    #[test]
    fn the_length_of_a_body_follows_from_that_of_its_record() {
        let mut entry = Entry::ABSENT;
        for (queues, properties, body) in [(1, 0, 0), (1, 7, 256), (1, 7, 257), (3, 300, 5), (1, 100_000, 5)]
        {
            for expires in [false, true] {
                let shape = Shape {
                    references: queues,
                    expires,
                    properties,
                    body,
                };
                entry.len = u32::try_from(shape.record_len()).unwrap();
                entry.form = shape.form();
                entry.sharers = u16::try_from(queues - 1).unwrap();
                entry.properties_len = u16::try_from(properties).unwrap_or(u16::MAX);
                assert_eq!(entry.body_bytes(), counted_bytes(properties, body), "{shape:?}");
            }
        }
        assert_eq!(Entry::ABSENT.body_bytes(), 0);
    }

    #[test]
    fn a_priority_of_0_is_told_from_none() {
        let of = |given: Option<u8>| given.map_or(Priority::NONE, Priority::new);
        for priority in [None, Some(0), Some(1), Some(u8::MAX)].map(of) {
            let written = Entry {
                priority,
                ..Entry::ABSENT
            };
            assert_eq!(decoded(&encode(&written)).next(), Some(written));
        }
        assert_eq!(of(Some(0)).get(), Some(0));
        let before = Entry {
            transient: true,
            form: Form::Compact,
            ..Entry::ABSENT
        };
        assert_eq!(
            encode(&before)[12..14],
            [3, 0],
            "as entries without one always stood"
        );
    }

    #[test]
    fn the_bytes_are_those_of_the_golden_file() {
        let mut page = vec![0; PAGE_BYTES];
        format(&mut page, QueueId::new(5), 2);
        let entry = Entry {
            lsn: Lsn::new(0x1234_5000),
            len: 99,
            form: Form::Compact,
            transient: true,
            priority: Priority::new(3),
            sharers: 0,
            expires_ms: 7,
            properties_len: 0,
        };
        put(&mut page, Seq::new(2 * ENTRIES + 1), &entry);
        seal(&mut page);
        assert_eq!(page, include_bytes!("../../tests/golden/index-page.bin"));
    }

    #[test]
    fn a_changed_byte_breaks_the_checksum() {
        let mut page = vec![0; PAGE_BYTES];
        format(&mut page, QueueId::new(5), 0);
        let crc = seal(&mut page);
        assert!(is_intact(&page, crc));
        for at in (0..8).chain(8..12).chain(16..PAGE_BYTES) {
            page[at] ^= 1;
            assert!(!is_intact(&page, crc), "byte {at}");
            page[at] ^= 1;
        }
    }
}
