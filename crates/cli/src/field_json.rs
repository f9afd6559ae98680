//! Field tables as JSON and back, for flags and for `--output json`.
//!
//! Invariants:
//! - Octets that are not UTF-8 become `{"base64": "…"}`; whole numbers go out and come back as signed 64-bit.
//! - JSON knows neither timestamps nor decimals: they are shown as a number and a text, and never made from JSON.

use logpond_amqp::{ArrayWriter, PropertyList, ShortStr, Table, TableWriter, TooLong, Value as Field};
use serde_json::{Map, Value, json};

/// Octets as text, or as base64 when they are none.
pub fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "base64": base64(bytes) }),
    }
}

/// A table as an object. Of equal keys the last one is seen, since objects have no others.
pub fn table(table: Table<'_>) -> Value {
    Value::Object(
        table
            .iter()
            .map(|(key, field)| (key.to_string_lossy().into_owned(), value(field)))
            .collect(),
    )
}

/// The properties that are set, under the specification's names.
pub fn properties(list: &PropertyList<'_>) -> Value {
    let mut object = Map::new();
    let texts = [
        ("content_type", list.content_type),
        ("content_encoding", list.content_encoding),
        ("correlation_id", list.correlation_id),
        ("reply_to", list.reply_to),
        ("expiration", list.expiration),
        ("message_id", list.message_id),
        ("type", list.kind),
        ("user_id", list.user_id),
        ("app_id", list.app_id),
        ("cluster_id", list.cluster_id),
    ];
    let texts = texts
        .into_iter()
        .filter_map(|(name, value)| Some((name, text(value?.as_bytes()))));
    object.extend(texts.map(|(name, value)| (name.to_owned(), value)));
    let numbers = [
        ("delivery_mode", list.delivery_mode.map(u64::from)),
        ("priority", list.priority.map(u64::from)),
        ("timestamp", list.timestamp),
    ];
    let numbers = numbers
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))));
    object.extend(numbers);
    if let Some(headers) = list.headers {
        object.insert("headers".to_owned(), table(headers));
    }
    Value::Object(object)
}

/// Puts an object's entries into a table.
pub fn write(writer: &mut TableWriter<'_>, object: &Map<String, Value>) -> Result<(), TooLong> {
    for (key, value) in object {
        let key = ShortStr::try_from(key.as_str())?;
        let mut outcome = Ok(());
        match value {
            Value::Object(inner) => {
                writer.nested(key, |writer| outcome = write(writer, inner));
            }
            Value::Array(items) => {
                writer.array(key, |writer| outcome = write_items(writer, items));
            }
            leaf => {
                writer.put(key, field(leaf));
            }
        }
        outcome?;
    }
    Ok(())
}

fn write_items(writer: &mut ArrayWriter<'_>, items: &[Value]) -> Result<(), TooLong> {
    for item in items {
        let mut outcome = Ok(());
        match item {
            Value::Object(inner) => {
                writer.table(|writer| outcome = write(writer, inner));
            }
            Value::Array(inner) => {
                writer.array(|writer| outcome = write_items(writer, inner));
            }
            leaf => {
                writer.push(field(leaf));
            }
        }
        outcome?;
    }
    Ok(())
}

/// A value that holds no others.
fn field(leaf: &Value) -> Field<'_> {
    match leaf {
        Value::Bool(value) => Field::Bool(*value),
        Value::String(text) => Field::LongString(text.as_bytes()),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Field::I64(whole),
            None => Field::F64(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Field::Void,
    }
}

fn value(field: Field<'_>) -> Value {
    match field {
        Field::Bool(value) => value.into(),
        Field::I8(value) => value.into(),
        Field::U8(value) => value.into(),
        Field::I16(value) => value.into(),
        Field::U16(value) => value.into(),
        Field::I32(value) => value.into(),
        Field::U32(value) => value.into(),
        Field::I64(value) => value.into(),
        Field::F32(value) => value.into(),
        Field::F64(value) => value.into(),
        Field::Decimal(decimal) => format!("{}e-{}", decimal.value, decimal.scale).into(),
        Field::Timestamp(seconds) => seconds.into(),
        Field::LongString(bytes) => text(bytes),
        Field::Bytes(bytes) => json!({ "base64": base64(bytes) }),
        Field::Array(array) => array.iter().map(value).collect(),
        Field::Table(inner) => table(inner),
        _ => Value::Null,
    }
}

/// Standard base64 with padding.
//= rfc4648 section 4
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let octet = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = octet(0) << 16 | octet(1) << 8 | octet(2);
        for position in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * position) & 63).expect("six bits");
            text.push(if position <= chunk.len() {
                char::from(ALPHABET[index])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use logpond_amqp::TableWriter;
    use serde_json::{Value, json};

    fn there_and_back(object: &Value) -> Value {
        let mut out = Vec::new();
        let mut writer = TableWriter::new(&mut out);
        super::write(&mut writer, object.as_object().unwrap()).unwrap();
        super::table(writer.finish().unwrap())
    }

    #[test]
    fn what_json_can_say_comes_back() {
        let object = json!({
            "text": "ä", "whole": -5, "half": 0.5, "yes": true, "nothing": null,
            "list": [1, "two", [3], {"four": 4}], "inner": {"a": {"b": 1}},
        });
        assert_eq!(there_and_back(&object), object);
    }

    #[test]
    fn a_key_that_is_too_long_is_refused_even_inside() {
        let object = json!({ "outer": [{ "k".repeat(256): 1 }] });
        let mut out = Vec::new();
        assert!(super::write(&mut TableWriter::new(&mut out), object.as_object().unwrap()).is_err());
    }

    #[test]
    fn octets_that_are_no_text_are_shown_as_base64() {
        assert_eq!(super::text(b"plain"), json!("plain"));
        assert_eq!(super::text(&[0xFF]), json!({"base64": "/w=="}));
        assert_eq!(super::base64(b"foobar"), "Zm9vYmFy");
        assert_eq!(super::base64(b"fooba"), "Zm9vYmE=");
    }
}
