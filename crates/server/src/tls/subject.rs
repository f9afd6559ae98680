//! The name in a client's certificate, which was verified before: subject or common name.
//!
//! Invariant: lengths are checked before they are followed; what cannot be read has no name.

use crate::config::LoginFrom;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// The version, which stands in front of the serial number in all but the oldest certificates.
const VERSION: u8 = 0xa0;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The user that a certificate (DER) stands for.
pub(crate) fn login_name(certificate: &[u8], from: LoginFrom) -> Option<String> {
    let subject = subject(certificate)?;
    let names: Vec<String> = match from {
        LoginFrom::CommonName => {
            let attributes = subject.iter().flatten();
            let common = attributes.filter(|attribute| attribute.kind == COMMON_NAME);
            common.map(Attribute::text).collect::<Option<_>>()?
        }
        // Most specific first, as RFC 4514 writes it.
        LoginFrom::DistinguishedName => {
            let parts = subject.iter().rev().map(|part| written(part));
            parts.collect::<Option<_>>()?
        }
    };
    (!names.is_empty()).then(|| names.join(","))
}

/// The attributes of one part of a subject, which stand for each other, in the certificate's order.
type Part<'a> = Vec<Attribute<'a>>;

fn written(part: &[Attribute<'_>]) -> Option<String> {
    let attributes: Option<Vec<_>> = part.iter().map(Attribute::written).collect();
    Some(attributes?.join("+"))
}

struct Attribute<'a> {
    kind: &'a [u8],
    tag: u8,
    value: &'a [u8],
}

impl Attribute<'_> {
    fn written(&self) -> Option<String> {
        Some(format!("{}={}", kind_name(self.kind)?, escaped(&self.text()?)))
    }

    /// The value; none if it is no string, or not one of its type.
    fn text(&self) -> Option<String> {
        match self.tag {
            // UTF8String, PrintableString, IA5String
            0x0c | 0x13 | 0x16 => String::from_utf8(self.value.to_vec()).ok(),
            // T61String, which in practice is Latin-1
            0x14 => Some(self.value.iter().copied().map(char::from).collect()),
            // UniversalString
            0x1c => {
                let (letters, []) = self.value.as_chunks() else {
                    return None;
                };
                let letters = letters
                    .iter()
                    .map(|bytes| char::from_u32(u32::from_be_bytes(*bytes)));
                letters.collect()
            }
            // BMPString
            0x1e => {
                let (units, []) = self.value.as_chunks() else {
                    return None;
                };
                let units = units.iter().map(|bytes| u16::from_be_bytes(*bytes));
                char::decode_utf16(units).collect::<Result<_, _>>().ok()
            }
            _ => None,
        }
    }
}

/// As RabbitMQ writes a value: RFC 4514, and everything that is not printable ASCII, with `~`, in hexadecimal bytes.
fn escaped(value: &str) -> String {
    let last = value.len().saturating_sub(1);
    let mut written = String::with_capacity(value.len());
    for (at, byte) in value.bytes().enumerate() {
        let is_special = match byte {
            b' ' => at == 0 || at == last,
            b'#' => at == 0,
            _ => b"\"+,;<>\\".contains(&byte),
        };
        if is_special {
            written.push('\\');
        }
        match byte {
            b' '..=b'}' => written.push(char::from(byte)),
            _ => written.push_str(&format!("\\{byte:02X}")),
        }
    }
    written
}

/// The names that RabbitMQ knows, numbers for others.
fn kind_name(kind: &[u8]) -> Option<String> {
    let name = match kind {
        [0x55, 0x04, 0x03] => "CN",
        [0x55, 0x04, 0x04] => "SN",
        [0x55, 0x04, 0x05] => "SERIALNUMBER",
        [0x55, 0x04, 0x06] => "C",
        [0x55, 0x04, 0x07] => "L",
        [0x55, 0x04, 0x08] => "ST",
        [0x55, 0x04, 0x0a] => "O",
        [0x55, 0x04, 0x0b] => "OU",
        [0x55, 0x04, 0x0c] => "TITLE",
        [0x55, 0x04, 0x2a] => "GIVENNAME",
        [0x55, 0x04, 0x2b] => "INITIALS",
        [0x55, 0x04, 0x2c] => "GENERATIONQUALIFIER",
        [0x55, 0x04, 0x41] => "PSEUDONYM",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01] => "UID",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01] => "EMAILADDRESS",
        other => return dotted(other),
    };
    Some(name.to_owned())
}

/// An object identifier in numbers. Of its first two the first is 0, 1 or 2, and both are written as one.
fn dotted(identifier: &[u8]) -> Option<String> {
    let mut arcs = Vec::new();
    let mut arc = 0_u64;
    for byte in identifier {
        arc = arc.checked_mul(1 << 7)? | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(arc);
            arc = 0;
        }
    }
    let (&both, others) = arcs.split_first()?;
    let first = (both / 40).min(2);
    let arcs = [first, both - 40 * first]
        .into_iter()
        .chain(others.iter().copied());
    Some(arcs.map(|arc| arc.to_string()).collect::<Vec<_>>().join("."))
}

/// The parts of the subject, in the certificate's order.
fn subject(certificate: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut whole = Der(certificate);
    let mut body = Der(Der(whole.take(SEQUENCE)?).take(SEQUENCE)?);
    if body.0.first() == Some(&VERSION) {
        body.any()?;
    }
    // Serial number, algorithm, issuer, validity.
    for _ in 0..4 {
        body.any()?;
    }
    let mut names = Der(body.take(SEQUENCE)?);
    let mut parts = Vec::new();
    while !names.0.is_empty() {
        let mut set = Der(names.take(SET)?);
        let mut part = Part::new();
        while !set.0.is_empty() {
            let mut attribute = Der(set.take(SEQUENCE)?);
            let kind = attribute.take(OBJECT_IDENTIFIER)?;
            let (tag, value) = attribute.any()?;
            part.push(Attribute { kind, tag, value });
        }
        parts.push(part);
    }
    Some(parts)
}

struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and its contents.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let len = match first {
            0..=0x7f => usize::from(first),
            0x81..=0x83 => {
                let (bytes, behind) = rest.split_at_checked(usize::from(first & 0x7f))?;
                rest = behind;
                bytes.iter().fold(0, |len, byte| len << 8 | usize::from(*byte))
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, contents))
    }

    /// The contents of the next element, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.any()
            .filter(|(found, _)| *found == tag)
            .map(|(_, contents)| contents)
    }
}

#[cfg(test)]
mod tests;
