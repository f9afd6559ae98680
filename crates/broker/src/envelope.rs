//! The properties of a stored message: shortstr exchange, shortstr routing key, then the raw AMQP property
//! flags and list. Before them stands, in few messages, a past.
//!
//! Invariants:
//! - What `lengths` and `prefix` wrote, `Envelope::parse` reads back byte for byte.
//! - A past is announced by a name that no exchange has, so that it costs nothing where there is none.
//!
//! Elsewhere: what a past says (`past`).

use crate::past::Past;

/// A message's address and properties, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope<'a> {
    /// The exchange that it was published to.
    pub exchange: &'a [u8],
    /// The routing key that it was published with.
    pub routing_key: &'a [u8],
    /// AMQP property flags and list.
    pub properties: &'a [u8],
    /// What the properties do not say of it.
    past: Option<&'a [u8]>,
}

/// Property flags that say: no property.
const NO_PROPERTIES: &[u8] = &[0, 0];
/// Stands where the exchange would: names are UTF-8, which this is not.
const PAST: &[u8] = &[0xff];

impl<'a> Envelope<'a> {
    /// Splits stored bytes; `None` if they are none of ours.
    pub(crate) fn parse(stored: &'a [u8]) -> Option<Self> {
        let (exchange, rest) = short_string(stored)?;
        if exchange != PAST {
            return Self::with_exchange(exchange, rest);
        }
        let (past, rest) = long_string(rest)?;
        let (exchange, rest) = short_string(rest)?;
        let past = Some(past);
        Some(Self {
            past,
            ..Self::with_exchange(exchange, rest)?
        })
    }

    fn with_exchange(exchange: &'a [u8], rest: &'a [u8]) -> Option<Self> {
        let (routing_key, properties) = short_string(rest)?;
        Some(Self {
            exchange,
            routing_key,
            properties,
            past: None,
        })
    }

    /// What stands in for bytes that cannot be parsed.
    pub(crate) const fn unknown() -> Self {
        Self {
            exchange: &[],
            routing_key: &[],
            properties: NO_PROPERTIES,
            past: None,
        }
    }

    /// What the properties do not say of it, if there is something.
    pub(crate) fn past(&self) -> Option<Past<'a>> {
        self.past.and_then(Past::parse)
    }
}

/// The lengths in front of exchange and routing key; `None` if one of them is no shortstr.
pub(crate) fn lengths(exchange: &[u8], routing_key: &[u8]) -> Option<([u8; 1], [u8; 1])> {
    Some((
        [u8::try_from(exchange.len()).ok()?],
        [u8::try_from(routing_key.len()).ok()?],
    ))
}

/// Exchange and routing key as they stand in front of the properties; `None` if one of them is no shortstr.
pub(crate) fn address(exchange: &[u8], routing_key: &[u8]) -> Option<Box<[u8]>> {
    let (exchange_len, key_len) = lengths(exchange, routing_key)?;
    Some([&exchange_len, exchange, &key_len, routing_key].concat().into())
}

/// Exchange and key of bytes that [`address`] made.
pub(crate) fn parts(address: &[u8]) -> Option<(&[u8], &[u8])> {
    let (exchange, rest) = short_string(address)?;
    let (routing_key, _) = short_string(rest)?;
    Some((exchange, routing_key))
}

/// Whether it is this address that [`address`] made these bytes of.
#[inline]
pub(crate) fn is_address(bytes: &[u8], exchange: &[u8], routing_key: &[u8]) -> bool {
    if bytes.len() != 2 + exchange.len() + routing_key.len() || usize::from(bytes[0]) != exchange.len() {
        return false;
    }
    let (front, back) = bytes.split_at(1 + exchange.len());
    is_same(&back[1..], routing_key) && is_same(&front[1..], exchange)
}

/// Whether two names are the same. They are short: a call of the library's `memcmp` takes longer than to compare them word by word.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    if one.len() < 8 {
        return one.iter().zip(other).all(|(one, other)| one == other);
    }
    // The last word may overlap the one before it.
    let words = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
    one.last_chunk::<8>() == other.last_chunk::<8>() && words.into_iter().all(|(one, other)| one == other)
}

/// What stands before the length of the exchange in a message with a past.
pub(crate) fn prefix(past: &Past<'_>) -> Vec<u8> {
    let past = past.to_bytes();
    let len = u32::try_from(past.len()).expect("keys are shorter than the properties that they came in");
    [&[1], PAST, &len.to_be_bytes(), &past].concat()
}

fn short_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(len))
}

fn long_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::{Envelope, address, is_address, is_same, lengths, parts, prefix};
    use crate::past::Past;

    #[test]
    fn what_is_stored_is_read_back() {
        let ([a], [b]) = lengths(b"orders", b"eu.new").unwrap();
        let stored = [&[a], b"orders".as_slice(), &[b], b"eu.new", &[0, 0]].concat();
        assert_eq!(
            stored.strip_suffix(&[0, 0]),
            address(b"orders", b"eu.new").as_deref()
        );
        let envelope = Envelope::parse(&stored).unwrap();
        let expected = Envelope {
            exchange: b"orders",
            routing_key: b"eu.new",
            properties: &[0, 0],
            past: None,
        };
        assert_eq!(envelope, expected);
        let past = Past {
            has_died: true,
            shown: vec![b"copy"],
            hidden: vec![b"secret"],
        };
        let stored = [prefix(&past), stored].concat();
        let envelope = Envelope::parse(&stored).unwrap();
        assert_eq!(envelope.past(), Some(past));
        assert_eq!(
            Envelope {
                past: None,
                ..envelope
            },
            expected
        );
    }

    #[test]
    fn an_address_is_that_of_its_parts_alone() {
        let bytes = address(b"orders", b"eu.new").unwrap();
        assert_eq!(parts(&bytes), Some((&b"orders"[..], &b"eu.new"[..])));
        assert!(is_address(&bytes, b"orders", b"eu.new"));
        assert!(!is_address(&bytes, b"orders", b"eu.net"));
        assert!(!is_address(&bytes, b"orderx", b"eu.new"));
        assert!(!is_address(&bytes, b"order", b"s\x06eu.new"));
        assert!(!is_address(&bytes, b"orders\x06eu", b".ew"));
        assert!(!is_address(&[], b"", b""));
    }

    #[test]
    fn names_differ_when_any_of_their_bytes_does() {
        let name: Vec<u8> = (0..40).collect();
        for len in 0..name.len() {
            let name = &name[..len];
            let mut other = name.to_vec();
            assert!(is_same(name, &other));
            for at in 0..len {
                other[at] ^= 0x80;
                assert!(!is_same(name, &other));
                other[at] ^= 0x80;
                assert!(!is_same(name, &name[..at]));
            }
        }
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(Envelope::parse(&[]), None);
        assert_eq!(Envelope::parse(&[3, b'a', b'b']), None);
        assert_eq!(Envelope::parse(&[0, 1]), None);
        assert_eq!(Envelope::parse(&[1, 0xff, 0, 0, 0, 9, 0, 0, 0]), None);
        assert_eq!(Envelope::parse(&[1, 0xff, 0, 0]), None);
    }
}
