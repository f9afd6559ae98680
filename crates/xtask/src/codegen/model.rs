//! The shape of `methods.toml`: classes, methods and fields.
//!
//! Invariants:
//! - Ids are unique: classes in the table, methods in their class.
//! - A field's type is one that the codec knows.

use std::collections::HashSet;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The whole table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// In the order of the file.
    #[serde(rename = "class")]
    pub classes: Vec<Class>,
}

/// One class of methods.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Its name in the specification.
    pub name: String,
    /// Its number on the wire.
    pub id: u16,
    /// One sentence.
    pub doc: String,
    /// In the order of the file.
    #[serde(rename = "method")]
    pub methods: Vec<Method>,
}

/// One method.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Its name in the specification.
    pub name: String,
    /// Its number on the wire.
    pub id: u16,
    /// Who sends it.
    pub from: Sender,
    /// Whether a content header and body frames follow.
    #[serde(default)]
    pub content: bool,
    /// One sentence.
    pub doc: String,
    /// In the order of the wire.
    pub fields: Vec<Field>,
}

/// Who sends a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// Only clients.
    Client,
    /// Only servers.
    Server,
    /// Either side.
    Both,
}

/// One field of a method.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Field {
    /// Its name in the specification, or `reserved`.
    pub name: String,
    /// How it is encoded.
    pub kind: Kind,
    /// One sentence.
    pub doc: String,
}

/// How a field is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One bit of an octet that neighbours share.
    Bit,
    /// Eight bits.
    Octet,
    /// Sixteen bits.
    Short,
    /// Thirty-two bits.
    Long,
    /// Sixty-four bits.
    LongLong,
    /// An octet of length and up to 255 octets.
    ShortString,
    /// Thirty-two bits of length and as many octets.
    LongString,
    /// A field table.
    Table,
}

impl TryFrom<String> for Field {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        let (head, doc) = text
            .split_once(" | ")
            .with_context(|| format!("{text:?} has no ` | `"))?;
        let (name, kind) = head
            .split_once(": ")
            .with_context(|| format!("{text:?} has no type"))?;
        Ok(Self {
            name: name.to_owned(),
            kind: kind.parse()?,
            doc: doc.to_owned(),
        })
    }
}

impl Field {
    /// Whether it is read and dropped.
    pub fn is_reserved(&self) -> bool {
        self.name == "reserved"
    }
}

impl std::str::FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "bit" => Self::Bit,
            "octet" => Self::Octet,
            "short" => Self::Short,
            "long" => Self::Long,
            "longlong" => Self::LongLong,
            "shortstr" => Self::ShortString,
            "longstr" => Self::LongString,
            "table" => Self::Table,
            other => bail!("unknown type {other:?}"),
        })
    }
}

/// Reads and checks the table.
pub fn parse(text: &str) -> Result<Table> {
    let table: Table = toml::from_str(text)?;
    let mut class_ids = HashSet::new();
    for class in &table.classes {
        ensure!(class_ids.insert(class.id), "class id {} is used twice", class.id);
        let mut method_ids = HashSet::new();
        for method in &class.methods {
            ensure!(
                method_ids.insert(method.id),
                "{} id {} is used twice",
                class.name,
                method.id
            );
            let fields = method.fields.iter().filter(|field| !field.is_reserved());
            for field in fields {
                ensure!(
                    !field.doc.is_empty(),
                    "{}.{} {} has no text",
                    class.name,
                    method.name,
                    field.name
                );
            }
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::{Field, Kind, parse};

    #[test]
    fn a_field_is_a_name_a_type_and_a_sentence() {
        let field = Field::try_from("delivery-tag: longlong | Its number.".to_owned()).unwrap();
        assert_eq!(
            (field.name.as_str(), field.kind, field.doc.as_str()),
            ("delivery-tag", Kind::LongLong, "Its number.")
        );
    }

    #[test]
    fn a_method_id_may_be_used_only_once_in_a_class() {
        let method = |name: &str| {
            format!(
                "[[class.method]]\nname = \"{name}\"\nid = 1\nfrom = \"both\"\ndoc = \"d\"\nfields = []\n"
            )
        };
        let text = format!(
            "[[class]]\nname = \"c\"\nid = 1\ndoc = \"d\"\n{}{}",
            method("a"),
            method("b")
        );
        assert!(parse(&text).unwrap_err().to_string().contains("used twice"));
    }
}
