//! Writes field tables and arrays.
//!
//! Invariants:
//! - `out[start..]` is always a valid table or array: each entry is appended whole, nested ones through a closure.
//!
//! Elsewhere: reading (`table`). Only `finish` checks the bounds of what will be read.

use crate::decode_error::TableError;
use crate::short_str::ShortStr;
use crate::table::Table;
use crate::value::Value;

/// Appends the entries of one table to a buffer; the table's length is the caller's, or [`TableWriter::nested`]'s.
#[derive(Debug)]
pub struct TableWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

impl<'o> TableWriter<'o> {
    /// A table at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start }
    }

    /// Appends an entry.
    pub fn put(&mut self, key: ShortStr<'_>, value: Value<'_>) -> &mut Self {
        self.key(key);
        write_value(self.out, value);
        self
    }

    /// Appends an entry that is a table, filled by `fill`.
    pub fn nested(&mut self, key: ShortStr<'_>, fill: impl FnOnce(&mut TableWriter<'_>)) -> &mut Self {
        self.key(key);
        self.out.push(b'F');
        with_length(self.out, |out| fill(&mut TableWriter::new(out)));
        self
    }

    /// Appends an entry that is an array, filled by `fill`.
    pub fn array(&mut self, key: ShortStr<'_>, fill: impl FnOnce(&mut ArrayWriter<'_>)) -> &mut Self {
        self.key(key);
        self.out.push(b'A');
        with_length(self.out, |out| fill(&mut ArrayWriter { out }));
        self
    }

    /// The finished table. Fails if it is larger or deeper than tables may be.
    pub fn finish(self) -> Result<Table<'o>, TableError> {
        let out: &'o Vec<u8> = self.out;
        Table::parse(&out[self.start..])
    }

    fn key(&mut self, key: ShortStr<'_>) {
        self.out.push(key.len_octet());
        self.out.extend_from_slice(key.as_bytes());
    }
}

/// Appends the items of one array.
#[derive(Debug)]
pub struct ArrayWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl ArrayWriter<'_> {
    /// Appends an item.
    pub fn push(&mut self, value: Value<'_>) -> &mut Self {
        write_value(self.out, value);
        self
    }

    /// Appends an item that is a table, filled by `fill`.
    pub fn table(&mut self, fill: impl FnOnce(&mut TableWriter<'_>)) -> &mut Self {
        self.out.push(b'F');
        with_length(self.out, |out| fill(&mut TableWriter::new(out)));
        self
    }

    /// Appends an item that is an array, filled by `fill`.
    pub fn array(&mut self, fill: impl FnOnce(&mut ArrayWriter<'_>)) -> &mut Self {
        self.out.push(b'A');
        with_length(self.out, |out| fill(&mut ArrayWriter { out }));
        self
    }
}

fn with_length(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let len = u32::try_from(out.len() - at - 4).expect("a table is below 4 GiB");
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

fn write_value(out: &mut Vec<u8>, value: Value<'_>) {
    out.push(value.letter());
    match value {
        Value::Bool(value) => out.push(u8::from(value)),
        Value::I8(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::U8(value) => out.push(value),
        Value::I16(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::U16(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::I32(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::U32(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::I64(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::F32(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::F64(value) => out.extend_from_slice(&value.to_be_bytes()),
        Value::Decimal(decimal) => {
            out.push(decimal.scale);
            out.extend_from_slice(&decimal.value.to_be_bytes());
        }
        Value::Timestamp(seconds) => out.extend_from_slice(&seconds.to_be_bytes()),
        Value::LongString(bytes) | Value::Bytes(bytes) => {
            with_length(out, |out| out.extend_from_slice(bytes));
        }
        Value::Array(array) => with_length(out, |out| out.extend_from_slice(array.as_bytes())),
        Value::Table(table) => with_length(out, |out| out.extend_from_slice(table.as_bytes())),
        Value::Void => {}
    }
}
