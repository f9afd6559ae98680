//! Header tables as they stand in a message: looked through, or turned into values for a headers exchange.
//!
//! Invariants: lengths are checked before they are followed, nesting is bounded, and what cannot be parsed
//! ends the table instead of guessing on.

use logpond_routing::{Arguments, Decimal, Value};

use crate::limits::TABLE_DEPTH_MAX;

/// The header whose keys a message is routed by as well.
const CC: &[u8] = b"CC";
/// The same, and taken out before anybody sees the message.
const BCC: &[u8] = b"BCC";

/// The routing keys that a message brings in its headers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FurtherKeys<'a> {
    /// Those that everybody may see first.
    pub keys: Vec<&'a [u8]>,
    /// How many of them everybody may see.
    pub shown: usize,
    /// Whether there is something to be hidden from those who get the message.
    pub has_hidden: bool,
}

/// A `CC` or `BCC` header that is no array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{{unacceptable_type_in_header,\"{header}\",{found}}}")]
pub(crate) struct NoArray {
    header: &'static str,
    /// RabbitMQ's name of the type.
    found: &'static str,
}

/// The keys in the table's `CC` and `BCC`: of the arrays' elements those that are strings.
pub(crate) fn further_keys(table: &[u8]) -> Result<FurtherKeys<'_>, NoArray> {
    let mut further = FurtherKeys::default();
    let (mut has_shown, mut hidden) = (false, Vec::new());
    for field in Fields(Cursor(table)) {
        let (header, is_known, keys) = match field.name {
            CC => ("CC", &mut has_shown, &mut further.keys),
            BCC => ("BCC", &mut further.has_hidden, &mut hidden),
            _ => continue,
        };
        // Of equal names the first counts.
        if std::mem::replace(is_known, true) {
            continue;
        }
        let &[b'A', _, _, _, _, ref array @ ..] = field.value else {
            let found = field.value.first().copied().map_or("undefined", type_name);
            return Err(NoArray { header, found });
        };
        let mut elements = Cursor(array);
        while let Some(element) = elements.raw_value() {
            if let &[b'S', _, _, _, _, ref key @ ..] = element {
                keys.push(key);
            }
        }
    }
    further.shown = further.keys.len();
    further.keys.append(&mut hidden);
    Ok(further)
}

/// The table without what is to be hidden.
pub(crate) fn without_hidden(table: &[u8]) -> Vec<u8> {
    let mut left = Vec::with_capacity(table.len());
    for field in Fields(Cursor(table)).filter(|field| field.name != BCC) {
        left.extend_from_slice(field.bytes);
    }
    left
}

/// The table with a signed 64-bit number under `name`, in place of what stood there.
pub(crate) fn with_long(table: &[u8], name: &[u8], value: i64) -> Vec<u8> {
    let mut whole = Vec::with_capacity(table.len() + name.len() + 10);
    for field in Fields(Cursor(table)).filter(|field| field.name != name) {
        whole.extend_from_slice(field.bytes);
    }
    whole.push(u8::try_from(name.len()).expect("our own names are short"));
    whole.extend_from_slice(name);
    whole.push(b'l');
    whole.extend_from_slice(&value.to_be_bytes());
    whole
}

/// RabbitMQ's name of a field type.
const fn type_name(kind: u8) -> &'static str {
    match kind {
        b't' => "bool",
        b'b' => "byte",
        b'B' => "unsignedbyte",
        b's' => "short",
        b'u' => "unsignedshort",
        b'I' => "signedint",
        b'i' => "unsignedint",
        b'l' | b'L' => "long",
        b'f' => "float",
        b'd' => "double",
        b'D' => "decimal",
        b'T' => "timestamp",
        b'V' => "void",
        b'S' => "longstr",
        b'x' => "binary",
        b'F' => "table",
        _ => "array",
    }
}

/// A field as it stands in a table.
pub(crate) struct Field<'a> {
    pub name: &'a [u8],
    /// Its type and contents.
    pub value: &'a [u8],
    /// All of it.
    bytes: &'a [u8],
}

/// The fields at a table's top level, up to the first that cannot be read.
pub(crate) fn raw_fields(table: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Fields(Cursor(table))
}

/// The fields at a table's top level, up to the first that cannot be read.
struct Fields<'a>(Cursor<'a>);

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let from = self.0.0;
        let name = self.0.short_string()?;
        let value = self.0.raw_value()?;
        let bytes = &from[..from.len() - self.0.0.len()];
        Some(Field { name, value, bytes })
    }
}

/// The first field of this name, if its value can be read.
pub(crate) fn find(table: &[u8], name: &[u8]) -> Option<Value> {
    let field = raw_fields(table).find(|field| field.name == name)?;
    Cursor(field.value).value(0)
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

    /// A value with its type in front.
    fn raw_value(&mut self) -> Option<&'a [u8]> {
        let from = self.0;
        self.skip_value()?;
        Some(&from[..from.len() - self.0.len()])
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
        let read = arguments(TABLE);
        assert_eq!(read.get("a"), Some(&Value::I32(5)));
        assert_eq!(read.get("CC"), Some(&Value::Array(vec![Value::str("abc")])));
        assert_eq!(read.get("z"), Some(&Value::Void));
    }

    #[test]
    fn further_keys_are_the_strings_in_cc_and_bcc() {
        assert_eq!(
            further_keys(TABLE),
            Ok(FurtherKeys {
                keys: vec![b"abc"],
                shown: 1,
                has_hidden: false
            })
        );
        let both = b"\x03BCCA\x00\x00\x00\x09tS\x00\x00\x00\x02xyV\x02CCA\x00\x00\x00\x00";
        assert!(
            further_keys(both).is_ok_and(|further| further.keys.is_empty()),
            "t needs a byte"
        );
        let both =
            b"\x03BCCA\x00\x00\x00\x0at\x01S\x00\x00\x00\x02xyV\x02CCA\x00\x00\x00\x06S\x00\x00\x00\x01k";
        assert_eq!(
            further_keys(both),
            Ok(FurtherKeys {
                keys: vec![b"k", b"xy"],
                shown: 1,
                has_hidden: true
            })
        );
        assert_eq!(without_hidden(both), b"\x02CCA\x00\x00\x00\x06S\x00\x00\x00\x01k");
        let twice = b"\x02CCA\x00\x00\x00\x06S\x00\x00\x00\x01k\x02CCA\x00\x00\x00\x06S\x00\x00\x00\x01l";
        assert_eq!(
            further_keys(twice).map(|further| further.keys),
            Ok(vec![&b"k"[..]]),
            "the first of equal keys counts"
        );
        let problem = further_keys(b"\x03BCCS\x00\x00\x00\x01k").unwrap_err();
        assert_eq!(
            problem.to_string(),
            "{unacceptable_type_in_header,\"BCC\",longstr}"
        );
    }

    #[test]
    fn truncated_tables_end_and_never_panic() {
        for len in 0..TABLE.len() {
            assert!(arguments(&TABLE[..len]).len() <= 3);
            assert!(further_keys(&TABLE[..len]).is_ok_and(|further| further.keys.len() <= 1));
            assert!(TABLE.starts_with(&without_hidden(&TABLE[..len])));
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
