//! A JSON object that knows where in the document it stands, so that every complaint can name the place.

use std::fmt;

use serde_json::{Map, Value};

use super::DefinitionsError;

/// The way from the document's root. Costs nothing until it is printed.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// A complaint about what stands here.
    pub(super) fn error(&self, problem: impl fmt::Display) -> DefinitionsError {
        DefinitionsError::Item {
            path: self.to_string(),
            problem: problem.to_string(),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the document"),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// An object at its place.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    object: &'a Map<String, Value>,
    pub path: Path<'a>,
}

impl<'a> Item<'a> {
    pub(super) fn new(value: &'a Value, path: Path<'a>) -> Result<Self, DefinitionsError> {
        match value {
            Value::Object(object) => Ok(Self { object, path }),
            other => Err(path.error(format_args!("expected an object, found {}", kind(other)))),
        }
    }

    /// What stands under `key`; `null` is as good as nothing.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.object.keys().map(String::as_str)
    }

    /// A complaint about the value of `key`.
    pub(super) fn error(&self, key: &str, problem: impl fmt::Display) -> DefinitionsError {
        Path::Key(&self.path, key).error(problem)
    }

    /// A string that must be there.
    pub(super) fn text(&self, key: &str) -> Result<&'a str, DefinitionsError> {
        self.optional_text(key)?
            .ok_or_else(|| self.error(key, "is missing"))
    }

    pub(super) fn optional_text(&self, key: &str) -> Result<Option<&'a str>, DefinitionsError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.error(key, format_args!("expected a string, found {}", kind(other)))),
        }
    }

    pub(super) fn integer(&self, key: &str, default: i64) -> Result<i64, DefinitionsError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value
                .as_i64()
                .ok_or_else(|| self.error(key, format_args!("expected an integer, found {}", kind(value)))),
        }
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, DefinitionsError> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => {
                Err(self.error(key, format_args!("expected true or false, found {}", kind(other))))
            }
        }
    }

    /// A list of tags; documents of old versions have them in one string with commas.
    pub(super) fn tags(&self, key: &str) -> Result<Vec<String>, DefinitionsError> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|tag| !tag.is_empty())
                .map(str::to_owned)
                .collect()),
            Some(Value::Array(list)) => {
                let list = list.iter().map(|tag| tag.as_str().map(str::to_owned));
                list.collect::<Option<_>>()
                    .ok_or_else(|| self.error(key, "expected a list of strings"))
            }
            Some(other) => Err(self.error(key, format_args!("expected a list, found {}", kind(other)))),
        }
    }

    /// Calls `read` with each object of the list under `key`, which may be missing.
    pub(super) fn for_each(
        &self,
        key: &str,
        mut read: impl FnMut(Item<'_>) -> Result<(), DefinitionsError>,
    ) -> Result<(), DefinitionsError> {
        let list = match self.get(key) {
            None => return Ok(()),
            Some(Value::Array(list)) => list,
            Some(other) => {
                return Err(self.error(key, format_args!("expected a list, found {}", kind(other))));
            }
        };
        let path = Path::Key(&self.path, key);
        for (index, value) in list.iter().enumerate() {
            read(Item::new(value, Path::Index(&path, index))?)?;
        }
        Ok(())
    }
}

/// What a value is, in words.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
