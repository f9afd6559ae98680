//! Header tables as they stand in a message: looked through, or turned into values for a headers exchange.
//!
//! Invariants: lengths are checked before they are followed, nesting is bounded, and what cannot be parsed
//! ends the table instead of guessing on.

use logpond_routing::{Arguments, Decimal, Value};

use crate::limits::TABLE_DEPTH_MAX;

/// Whether the table has a field of this name at its top level.
pub(crate) fn has_field(table: &[u8], name: &[u8]) -> bool {
    let mut cursor = Cursor(table);
    while let Some(key) = cursor.short_string() {
        if key == name {
            return true;
        }
        if cursor.skip_value().is_none() {
            return false;
        }
    }
    false
}

/// The table's fields as values.
pub(crate) fn arguments(table: &[u8]) -> Arguments {
    fields(table, 0)
}

fn fields(table: &[u8], depth: usize) -> Arguments {
    let mut cursor = Cursor(table);
    let mut pairs = Vec::new();
    while let Some(key) = cursor.short_string()
        && let Some(value) = cursor.value(depth)
    {
        pairs.push((key, value));
    }
    pairs.into_iter().collect()
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn short_string(&mut self) -> Option<&'a [u8]> {
        let [len] = self.array()?;
        self.take(usize::from(len))
    }

    fn long_string(&mut self) -> Option<&'a [u8]> {
        let len = u32::from_be_bytes(self.array()?);
        self.take(usize::try_from(len).ok()?)
    }

    fn skip_value(&mut self) -> Option<()> {
        let [kind] = self.array()?;
        let len = match kind {
            b't' | b'b' | b'B' => 1,
            b's' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'l' | b'L' | b'd' | b'T' => 8,
            b'D' => 5,
            b'V' => 0,
            b'S' | b'x' | b'A' | b'F' => return self.long_string().map(|_| ()),
            _ => return None,
        };
        self.take(len).map(|_| ())
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        let [kind] = self.array()?;
        Some(match kind {
            b't' => Value::Bool(self.array::<1>()? != [0]),
            b'b' => Value::I8(i8::from_be_bytes(self.array()?)),
            b'B' => Value::U8(u8::from_be_bytes(self.array()?)),
            b's' => Value::I16(i16::from_be_bytes(self.array()?)),
            b'u' => Value::U16(u16::from_be_bytes(self.array()?)),
            b'I' => Value::I32(i32::from_be_bytes(self.array()?)),
            b'i' => Value::U32(u32::from_be_bytes(self.array()?)),
            b'l' | b'L' => Value::I64(i64::from_be_bytes(self.array()?)),
            b'f' => Value::F32(f32::from_be_bytes(self.array()?)),
            b'd' => Value::F64(f64::from_be_bytes(self.array()?)),
            b'T' => Value::Timestamp(u64::from_be_bytes(self.array()?)),
            b'V' => Value::Void,
            b'D' => {
                let [scale] = self.array()?;
                Value::Decimal(Decimal {
                    scale,
                    unscaled: u32::from_be_bytes(self.array()?),
                })
            }
            b'S' => Value::Str(self.long_string()?.into()),
            b'x' => Value::Bytes(self.long_string()?.into()),
            b'F' if depth < TABLE_DEPTH_MAX => Value::Table(fields(self.long_string()?, depth + 1)),
            b'A' if depth < TABLE_DEPTH_MAX => Value::Array(elements(self.long_string()?, depth + 1)),
            _ => return None,
        })
    }
}

fn elements(array: &[u8], depth: usize) -> Vec<Value> {
    let mut cursor = Cursor(array);
    let mut values = Vec::new();
    while let Some(value) = cursor.value(depth) {
        values.push(value);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\x01aI\x00\x00\x00\x05\x02CCA\x00\x00\x00\x08S\x00\x00\x00\x03abc\x01zV";

    #[test]
    fn fields_are_found_and_read() {
        assert!(has_field(TABLE, b"CC") && has_field(TABLE, b"z") && !has_field(TABLE, b"BCC"));
        let read = arguments(TABLE);
        assert_eq!(read.get("a"), Some(&Value::I32(5)));
        assert_eq!(read.get("CC"), Some(&Value::Array(vec![Value::str("abc")])));
        assert_eq!(read.get("z"), Some(&Value::Void));
    }

    #[test]
    fn truncated_tables_end_and_never_panic() {
        for len in 0..TABLE.len() {
            assert!(arguments(&TABLE[..len]).len() <= 3);
            has_field(&TABLE[..len], b"none");
        }
        assert!(arguments(b"\x01a?").is_empty());
    }

    #[test]
    fn deep_nesting_is_cut() {
        let mut nested = Vec::new();
        for _ in 0..200 {
            let mut outer = b"\x01tF".to_vec();
            outer.extend(u32::try_from(nested.len()).unwrap().to_be_bytes());
            outer.extend(&nested);
            nested = outer;
        }
        assert_eq!(arguments(&nested).len(), 1);
    }
}
