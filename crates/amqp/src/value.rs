//! Values of field tables, with RabbitMQ's reading of the type letters.

use crate::table::{Array, Table};

/// A decimal number: `value` divided by ten to the power of `scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// How many digits stand behind the point.
    pub scale: u8,
    /// The number without its point.
    pub value: u32,
}

/// One value; strings, arrays and tables borrow.
///
/// RabbitMQ's letters differ from the specification's; what other letters of the specification mean here is not defined.
//= amqp-0-9-1 4.2.5.5 field tables
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// `t`: one octet, false only if zero.
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`, and `L` too, which is signed as well; written as `l`.
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`
    Decimal(Decimal),
    /// `S`: a text or any octets.
    LongString(&'a [u8]),
    /// `x`: octets that are no text.
    Bytes(&'a [u8]),
    /// `T`: seconds since 1970.
    Timestamp(u64),
    /// `A`
    Array(Array<'a>),
    /// `F`
    Table(Table<'a>),
    /// `V`: nothing.
    Void,
}

impl Value<'_> {
    /// The letter that is written before the value.
    pub const fn letter(&self) -> u8 {
        match self {
            Self::Bool(_) => b't',
            Self::I8(_) => b'b',
            Self::U8(_) => b'B',
            Self::I16(_) => b's',
            Self::U16(_) => b'u',
            Self::I32(_) => b'I',
            Self::U32(_) => b'i',
            Self::I64(_) => b'l',
            Self::F32(_) => b'f',
            Self::F64(_) => b'd',
            Self::Decimal(_) => b'D',
            Self::LongString(_) => b'S',
            Self::Bytes(_) => b'x',
            Self::Timestamp(_) => b'T',
            Self::Array(_) => b'A',
            Self::Table(_) => b'F',
            Self::Void => b'V',
        }
    }
}
