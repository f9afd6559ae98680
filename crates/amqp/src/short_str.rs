//! Short strings: at most 255 octets behind an octet of length.
//!
//! Invariants:
//! - A `ShortStr` never exceeds 255 octets, so that writing one cannot fail.
//! - Its octets are any octets. RabbitMQ takes names as they come and so do we; UTF-8 is checked by whoever needs text.

use crate::limits::SHORT_STRING_BYTES_MAX;

/// A string of at most 255 octets, not necessarily UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ShortStr<'a>(&'a [u8]);

/// The octets do not fit into a short string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a short string holds at most 255 octets, not {len}")]
pub struct TooLong {
    /// How many octets there were.
    pub len: usize,
}

impl<'a> ShortStr<'a> {
    /// The empty string.
    pub const EMPTY: Self = Self(&[]);

    /// Checks the length.
    pub const fn new(bytes: &'a [u8]) -> Result<Self, TooLong> {
        if bytes.len() <= SHORT_STRING_BYTES_MAX {
            Ok(Self(bytes))
        } else {
            Err(TooLong { len: bytes.len() })
        }
    }

    /// Cuts a text to what fits, never inside a character: for reply texts, which must not fail.
    pub fn truncated(text: &'a str) -> Self {
        let end = text.floor_char_boundary(SHORT_STRING_BYTES_MAX);
        Self(&text.as_bytes()[..end])
    }

    /// For what was read behind an octet of length.
    pub(crate) fn from_wire(bytes: &'a [u8]) -> Self {
        debug_assert!(
            bytes.len() <= SHORT_STRING_BYTES_MAX,
            "an octet cannot claim more"
        );
        Self(bytes)
    }

    /// The octets.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text, if it is UTF-8.
    pub const fn to_str(self) -> Result<&'a str, std::str::Utf8Error> {
        std::str::from_utf8(self.0)
    }

    /// The text with replacement characters where it is not UTF-8: for logs and reply texts.
    pub fn to_string_lossy(self) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.0)
    }

    /// Number of octets.
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The octet of length that goes before the string.
    pub(crate) fn len_octet(self) -> u8 {
        u8::try_from(self.0.len()).expect("a short string holds at most 255 octets")
    }
}

impl<'a> TryFrom<&'a str> for ShortStr<'a> {
    type Error = TooLong;

    fn try_from(text: &'a str) -> Result<Self, TooLong> {
        Self::new(text.as_bytes())
    }
}

impl<'a> TryFrom<&'a [u8]> for ShortStr<'a> {
    type Error = TooLong;

    fn try_from(bytes: &'a [u8]) -> Result<Self, TooLong> {
        Self::new(bytes)
    }
}

impl std::fmt::Debug for ShortStr<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.to_string_lossy())
    }
}

impl std::fmt::Display for ShortStr<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_string_lossy())
    }
}

impl PartialEq<str> for ShortStr<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for ShortStr<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}
