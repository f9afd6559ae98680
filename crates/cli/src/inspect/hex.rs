//! Bytes as people and programs read them.

use std::io::{self, Write};

use serde::Serialize;

use crate::results::Results;

/// A part of a store, and in JSON beside its own fields the bytes that were asked for.
#[derive(Serialize)]
pub struct WithBytes<'a, T> {
    #[serde(flatten)]
    part: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

impl<'a, T> WithBytes<'a, T> {
    /// The bytes may not have been asked for.
    pub fn new(part: &'a T, bytes: Option<&[u8]>) -> Self {
        let hex = bytes.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect());
        Self { part, hex }
    }
}

/// Sixteen bytes in a line: offset, hex, and what is printable.
pub fn print_hex(bytes: &[u8], offset: u64) -> io::Result<()> {
    for (line, at) in bytes.chunks(16).zip((offset..).step_by(16)) {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String = line
            .iter()
            .map(|byte| {
                if (32..127).contains(byte) {
                    char::from(*byte)
                } else {
                    '.'
                }
            })
            .collect();
        writeln!(Results, "{at:08x}  {:<47}  {text}", hex.join(" "))?;
    }
    Ok(())
}
