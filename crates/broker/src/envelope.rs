//! The properties of a stored message: shortstr exchange, shortstr routing key, then the raw AMQP property
//! flags and list.
//!
//! Invariant: what `parts` wrote, `Envelope::parse` reads back byte for byte.

/// A message's address and properties, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope<'a> {
    /// The exchange that it was published to.
    pub exchange: &'a [u8],
    /// The routing key that it was published with.
    pub routing_key: &'a [u8],
    /// AMQP property flags and list.
    pub properties: &'a [u8],
}

/// Property flags that say: no property.
const NO_PROPERTIES: &[u8] = &[0, 0];

impl<'a> Envelope<'a> {
    /// Splits stored bytes; `None` if they are none of ours.
    pub(crate) fn parse(stored: &'a [u8]) -> Option<Self> {
        let (exchange, rest) = short_string(stored)?;
        let (routing_key, properties) = short_string(rest)?;
        Some(Self {
            exchange,
            routing_key,
            properties,
        })
    }

    /// What stands in for bytes that cannot be parsed.
    pub(crate) const fn unknown() -> Self {
        Self {
            exchange: &[],
            routing_key: &[],
            properties: NO_PROPERTIES,
        }
    }
}

/// The lengths in front of exchange and routing key; `None` if one of them is no shortstr.
pub(crate) fn lengths(exchange: &[u8], routing_key: &[u8]) -> Option<([u8; 1], [u8; 1])> {
    Some((
        [u8::try_from(exchange.len()).ok()?],
        [u8::try_from(routing_key.len()).ok()?],
    ))
}

fn short_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(len))
}

#[cfg(test)]
mod tests {
    use super::{Envelope, lengths};

    #[test]
    fn what_is_stored_is_read_back() {
        let ([a], [b]) = lengths(b"orders", b"eu.new").unwrap();
        let stored = [&[a], b"orders".as_slice(), &[b], b"eu.new", &[0, 0]].concat();
        let envelope = Envelope::parse(&stored).unwrap();
        assert_eq!(
            envelope,
            Envelope {
                exchange: b"orders",
                routing_key: b"eu.new",
                properties: &[0, 0]
            }
        );
    }

    #[test]
    fn foreign_bytes_are_refused() {
        assert_eq!(Envelope::parse(&[]), None);
        assert_eq!(Envelope::parse(&[3, b'a', b'b']), None);
        assert_eq!(Envelope::parse(&[0, 1]), None);
    }
}
