//! The property list of a message, read in place.
//!
//! Invariants:
//! - The structure of a `Properties` was walked once: each property that a flag announces is there, and nothing follows.
//!   What is inside the headers table was not looked at; [`Properties::headers`] validates it.
//!
//! Elsewhere: a list to be changed and written (`property_list`).

use crate::cursor::Cursor;
use crate::decode_error::{ContentError, Malformed, TableError};
use crate::property_list::PropertyList;
use crate::short_str::ShortStr;
use crate::table::Table;

/// The flag of each property, in the order in which the properties follow.
//= amqp-0-9-1 2.3.5.2 property flags
pub(crate) mod flag {
    pub const CONTENT_TYPE: u16 = 1 << 15;
    pub const CONTENT_ENCODING: u16 = 1 << 14;
    pub const HEADERS: u16 = 1 << 13;
    pub const DELIVERY_MODE: u16 = 1 << 12;
    pub const PRIORITY: u16 = 1 << 11;
    pub const CORRELATION_ID: u16 = 1 << 10;
    pub const REPLY_TO: u16 = 1 << 9;
    pub const EXPIRATION: u16 = 1 << 8;
    pub const MESSAGE_ID: u16 = 1 << 7;
    pub const TIMESTAMP: u16 = 1 << 6;
    pub const KIND: u16 = 1 << 5;
    pub const USER_ID: u16 = 1 << 4;
    pub const APP_ID: u16 = 1 << 3;
    pub const CLUSTER_ID: u16 = 1 << 2;
    /// Announces a second word of flags. Bit 1 has no meaning and is ignored, as by RabbitMQ.
    pub const CONTINUATION: u16 = 1;
}

/// A property list whose structure is sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

/// What routing and storing need to know of each message, found in one walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HotProperties<'a> {
    /// 2 asks for persistence.
    pub delivery_mode: Option<u8>,
    /// Higher goes first, in queues that have priorities.
    pub priority: Option<u8>,
    /// Milliseconds to live, as decimal digits if the publisher is sane.
    pub expiration: Option<ShortStr<'a>>,
    /// Who claims to have published.
    pub user_id: Option<ShortStr<'a>>,
    /// The headers table's octets, not validated; see [`Table::parse`].
    pub raw_headers: Option<&'a [u8]>,
}

impl HotProperties<'_> {
    /// Whether the message asks to survive a restart.
    //= amqp-0-9-1 basic/delivery-mode
    pub fn is_persistent(&self) -> bool {
        self.delivery_mode == Some(2)
    }
}

impl<'a> HotProperties<'a> {
    /// Checks the structure of flags and list, and takes out what is needed for each message.
    #[inline]
    pub fn parse(raw: &'a [u8]) -> Result<Self, ContentError> {
        // Most publishers set nothing, or the delivery mode alone.
        match raw {
            [0, 0] => return Ok(Self::default()),
            [0x10, 0, mode] => {
                return Ok(Self {
                    delivery_mode: Some(*mode),
                    ..Self::default()
                });
            }
            _ => {}
        }
        let mut hot = Self::default();
        walk(raw, |found| match found {
            Found::Headers(raw) => hot.raw_headers = Some(raw),
            Found::DeliveryMode(mode) => hot.delivery_mode = Some(mode),
            Found::Priority(priority) => hot.priority = Some(priority),
            Found::Text(flag::EXPIRATION, text) => hot.expiration = Some(text),
            Found::Text(flag::USER_ID, text) => hot.user_id = Some(text),
            Found::Text(..) | Found::Timestamp(_) => {}
        })?;
        Ok(hot)
    }

    /// The headers, validated now.
    pub fn headers(&self) -> Result<Option<Table<'a>>, TableError> {
        self.raw_headers.map(Table::parse).transpose()
    }
}

impl<'a> Properties<'a> {
    /// The list without properties.
    pub const EMPTY: Self = Self { raw: &[0, 0] };

    /// Checks the structure of flags and list.
    pub fn parse(raw: &'a [u8]) -> Result<Self, ContentError> {
        walk(raw, |_| {})?;
        Ok(Self { raw })
    }

    /// Flags and list as they came.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.raw
    }

    /// Everything, with the headers validated.
    pub fn decode(&self) -> Result<PropertyList<'a>, ContentError> {
        let mut list = PropertyList::default();
        let mut headers = None;
        walk(self.raw, |found| match found {
            Found::Headers(raw) => headers = Some(raw),
            Found::DeliveryMode(mode) => list.delivery_mode = Some(mode),
            Found::Priority(priority) => list.priority = Some(priority),
            Found::Timestamp(seconds) => list.timestamp = Some(seconds),
            Found::Text(flag, text) => list.set_text(flag, text),
        })?;
        list.headers = headers.map(Table::parse).transpose()?;
        Ok(list)
    }

    /// What routing and storing need.
    pub fn hot(&self) -> HotProperties<'a> {
        HotProperties::parse(self.raw).unwrap_or_default()
    }

    /// The headers, validated now.
    pub fn headers(&self) -> Result<Option<Table<'a>>, TableError> {
        self.hot().headers()
    }
}

/// One property of a list.
enum Found<'a> {
    Text(u16, ShortStr<'a>),
    Headers(&'a [u8]),
    DeliveryMode(u8),
    Priority(u8),
    Timestamp(u64),
}

/// Shows each property in order and checks that the list ends where its flags say.
fn walk<'a>(raw: &'a [u8], mut show: impl FnMut(Found<'a>)) -> Result<(), ContentError> {
    let mut cursor = Cursor::new(raw);
    let flags = cursor.short()?;
    if flags & flag::CONTINUATION != 0 {
        return Err(ContentError::UnknownFlags { flags });
    }
    let mut left = flags & !0b11;
    while left != 0 {
        let property = 1 << (15 - left.leading_zeros());
        left &= !property;
        show(read(property, &mut cursor)?);
    }
    cursor.finish()?;
    Ok(())
}

#[inline]
fn read<'a>(property: u16, cursor: &mut Cursor<'a>) -> Result<Found<'a>, Malformed> {
    Ok(match property {
        flag::HEADERS => Found::Headers(cursor.long_string()?),
        flag::DELIVERY_MODE => Found::DeliveryMode(cursor.octet()?),
        flag::PRIORITY => Found::Priority(cursor.octet()?),
        flag::TIMESTAMP => Found::Timestamp(cursor.long_long()?),
        text => Found::Text(text, cursor.short_string()?),
    })
}
