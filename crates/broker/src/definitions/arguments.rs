//! Arguments from JSON, with the types that RabbitMQ gives them: integers become signed 64-bit numbers, other
//! numbers doubles, strings long strings, `null` void.

use logpond_routing::{Arguments, Name, Value};
use serde_json::Value as Json;

use super::DefinitionsError;
use super::item::{Item, Path, kind};

/// The arguments of an item; none if it has none.
pub(super) fn arguments(item: &Item<'_>) -> Result<Arguments, DefinitionsError> {
    object(item, "arguments")
}

/// The object under `key`, with the types of arguments; none if it is missing.
pub(super) fn object(item: &Item<'_>, key: &str) -> Result<Arguments, DefinitionsError> {
    let path = Path::Key(&item.path, key);
    match item.get(key) {
        None => Ok(Arguments::new()),
        // Erlang writes an empty table as an empty list.
        Some(Json::Array(list)) if list.is_empty() => Ok(Arguments::new()),
        Some(Json::Object(object)) => table(object, &path),
        Some(other) => Err(path.error(format_args!("expected an object, found {}", kind(other)))),
    }
}

/// The exchange that gets what this one routes nowhere.
pub(super) fn alternate(item: &Item<'_>, arguments: &Arguments) -> Result<Option<Name>, DefinitionsError> {
    let Some(value) = arguments.get("alternate-exchange") else {
        return Ok(None);
    };
    let name = value.as_str_bytes().ok_or_else(|| {
        let path = Path::Key(&item.path, "arguments");
        Path::Key(&path, "alternate-exchange").error("expected a string")
    })?;
    Ok(Some(Name::from(name)))
}

fn table(object: &serde_json::Map<String, Json>, path: &Path<'_>) -> Result<Arguments, DefinitionsError> {
    object
        .iter()
        .map(|(key, json)| {
            let path = Path::Key(path, key);
            if key.len() > usize::from(u8::MAX) {
                return Err(path.error("the name of an argument has at most 255 bytes"));
            }
            Ok((key.as_str(), value(json, &path)?))
        })
        .collect()
}

/// Recursion is bounded: the JSON parser refuses what nests deeper than 128.
fn value(json: &Json, path: &Path<'_>) -> Result<Value, DefinitionsError> {
    Ok(match json {
        Json::Null => Value::Void,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::String(text) => Value::str(text),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::I64(integer),
            (None, Some(float)) if number.is_f64() => Value::F64(float),
            _ => return Err(path.error(format_args!("the number {number} is too large"))),
        },
        Json::Array(list) => {
            let list = list.iter().enumerate();
            Value::Array(
                list.map(|(at, json)| value(json, &Path::Index(path, at)))
                    .collect::<Result<_, _>>()?,
            )
        }
        Json::Object(object) => Value::Table(table(object, path)?),
    })
}
