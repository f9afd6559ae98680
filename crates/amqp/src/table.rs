//! Field tables and arrays: validated octets, read in place.
//!
//! Invariants:
//! - A `Table` or `Array` was walked to its end, nested ones included, so iterating it cannot fail.
//! - Its octets are at most `TABLE_BYTES_MAX`, nested at most `TABLE_DEPTH_MAX` deep: a table bomb is an error, and
//!   walking costs time in proportion to the octets and no memory.
//! - Equal keys may repeat, as in RabbitMQ: iteration shows each, `get` finds the first.
//!
//! Elsewhere: writing (`table_writer`), the meaning of values (`value`).

use crate::cursor::Cursor;
use crate::decode_error::{Malformed, TableError};
use crate::limits::{TABLE_BYTES_MAX, TABLE_DEPTH_MAX};
use crate::short_str::ShortStr;
use crate::value::{Decimal, Value};

/// A field table: keys and values in the order of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Table<'a>(&'a [u8]);

/// A field array: values in the order of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Array<'a>(&'a [u8]);

impl<'a> Table<'a> {
    /// The table without entries.
    pub const EMPTY: Self = Self(&[]);

    /// Validates the octets behind a table's length.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        if bytes.len() > TABLE_BYTES_MAX {
            return Err(TableError::TooLarge {
                len: bytes.len(),
                limit: TABLE_BYTES_MAX,
            });
        }
        walk_table(bytes, TABLE_DEPTH_MAX)?;
        Ok(Self(bytes))
    }

    /// The octets behind the length.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there are no entries.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The entries in order.
    pub fn iter(self) -> Entries<'a> {
        Entries(Cursor::new(self.0))
    }

    /// The first value under `key`.
    pub fn get(self, key: &[u8]) -> Option<Value<'a>> {
        self.iter()
            .find(|(name, _)| name.as_bytes() == key)
            .map(|(_, value)| value)
    }
}

impl<'a> Array<'a> {
    /// The array without items.
    pub const EMPTY: Self = Self(&[]);

    /// Validates the octets behind an array's length.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        if bytes.len() > TABLE_BYTES_MAX {
            return Err(TableError::TooLarge {
                len: bytes.len(),
                limit: TABLE_BYTES_MAX,
            });
        }
        walk_array(bytes, TABLE_DEPTH_MAX)?;
        Ok(Self(bytes))
    }

    /// The octets behind the length.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether there are no items.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The items in order.
    pub fn iter(self) -> Items<'a> {
        Items(Cursor::new(self.0))
    }
}

/// The entries of a table.
#[derive(Debug, Clone)]
pub struct Entries<'a>(Cursor<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = (ShortStr<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.rest().is_empty() {
            return None;
        }
        let entry = self
            .0
            .short_string()
            .map_err(TableError::from)
            .and_then(|key| Ok((key, read_value(&mut self.0)?)));
        debug_assert!(entry.is_ok(), "a table is validated before it is iterated");
        entry.ok()
    }
}

/// The items of an array.
#[derive(Debug, Clone)]
pub struct Items<'a>(Cursor<'a>);

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.rest().is_empty() {
            return None;
        }
        let item = read_value(&mut self.0);
        debug_assert!(item.is_ok(), "an array is validated before it is iterated");
        item.ok()
    }
}

impl<'a> IntoIterator for Table<'a> {
    type Item = (ShortStr<'a>, Value<'a>);
    type IntoIter = Entries<'a>;

    fn into_iter(self) -> Entries<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for Array<'a> {
    type Item = Value<'a>;
    type IntoIter = Items<'a>;

    fn into_iter(self) -> Items<'a> {
        self.iter()
    }
}

fn walk_table(bytes: &[u8], depth_left: usize) -> Result<(), TableError> {
    let mut cursor = Cursor::new(bytes);
    while !cursor.rest().is_empty() {
        cursor.short_string()?;
        walk_value(&mut cursor, depth_left)?;
    }
    Ok(())
}

fn walk_array(bytes: &[u8], depth_left: usize) -> Result<(), TableError> {
    let mut cursor = Cursor::new(bytes);
    while !cursor.rest().is_empty() {
        walk_value(&mut cursor, depth_left)?;
    }
    Ok(())
}

fn walk_value(cursor: &mut Cursor<'_>, depth_left: usize) -> Result<(), TableError> {
    let inner = |depth_left: usize| {
        depth_left.checked_sub(1).ok_or(TableError::TooDeep {
            limit: TABLE_DEPTH_MAX,
        })
    };
    match read_value(cursor)? {
        Value::Table(table) => walk_table(table.0, inner(depth_left)?),
        Value::Array(array) => walk_array(array.0, inner(depth_left)?),
        _ => Ok(()),
    }
}

/// Reads one value; what is inside a table or array stays unread.
fn read_value<'a>(cursor: &mut Cursor<'a>) -> Result<Value<'a>, TableError> {
    let letter = cursor.octet()?;
    Ok(match letter {
        b't' => Value::Bool(cursor.octet()? != 0),
        b'b' => Value::I8(cursor.octet()?.cast_signed()),
        b'B' => Value::U8(cursor.octet()?),
        b's' => Value::I16(cursor.short()?.cast_signed()),
        b'u' => Value::U16(cursor.short()?),
        b'I' => Value::I32(cursor.long()?.cast_signed()),
        b'i' => Value::U32(cursor.long()?),
        b'l' | b'L' => Value::I64(cursor.long_long()?.cast_signed()),
        b'f' => Value::F32(f32::from_bits(cursor.long()?)),
        b'd' => Value::F64(f64::from_bits(cursor.long_long()?)),
        b'D' => Value::Decimal(Decimal {
            scale: cursor.octet()?,
            value: cursor.long()?,
        }),
        b'S' => Value::LongString(cursor.long_string()?),
        b'x' => Value::Bytes(cursor.long_string()?),
        b'T' => Value::Timestamp(cursor.long_long()?),
        b'A' => Value::Array(Array(cursor.long_string()?)),
        b'F' => Value::Table(Table(cursor.long_string()?)),
        b'V' => Value::Void,
        letter => return Err(TableError::UnknownType { letter }),
    })
}

/// A cursor knows only one failure while it reads fields inside a table.
impl From<Malformed> for TableError {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Truncated { needed, left } => Self::Truncated { needed, left },
            Malformed::Trailing { left } => Self::Truncated { needed: 0, left },
            Malformed::Table(error) => error,
        }
    }
}
