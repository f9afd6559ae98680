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
    let attributes = subject(certificate)?;
    match from {
        LoginFrom::CommonName => attributes
            .into_iter()
            .find(|attribute| attribute.kind == COMMON_NAME)
            .map(|attribute| attribute.value),
        LoginFrom::DistinguishedName => {
            // Most specific first, as RFC 4514 writes it.
            let parts: Vec<_> = attributes.iter().rev().map(Attribute::written).collect();
            (!parts.is_empty()).then(|| parts.join(","))
        }
    }
}

struct Attribute<'a> {
    kind: &'a [u8],
    value: String,
}

impl Attribute<'_> {
    fn written(&self) -> String {
        let escaped: String = self
            .value
            .chars()
            .flat_map(|letter| {
                let escape = matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';').then_some('\\');
                escape.into_iter().chain(std::iter::once(letter))
            })
            .collect();
        format!("{}={escaped}", kind_name(self.kind))
    }
}

fn kind_name(kind: &[u8]) -> String {
    let name = match kind {
        [0x55, 0x04, 0x03] => "CN",
        [0x55, 0x04, 0x04] => "SN",
        [0x55, 0x04, 0x05] => "serialNumber",
        [0x55, 0x04, 0x06] => "C",
        [0x55, 0x04, 0x07] => "L",
        [0x55, 0x04, 0x08] => "ST",
        [0x55, 0x04, 0x0a] => "O",
        [0x55, 0x04, 0x0b] => "OU",
        [0x55, 0x04, 0x0c] => "TITLE",
        [0x55, 0x04, 0x2a] => "GIVENNAME",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19] => "DC",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01] => "EMAIL",
        other => return other.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    name.to_owned()
}

/// The attributes of the subject, in the certificate's order.
fn subject(certificate: &[u8]) -> Option<Vec<Attribute<'_>>> {
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
    let mut attributes = Vec::new();
    while !names.0.is_empty() {
        let mut set = Der(names.take(SET)?);
        while !set.0.is_empty() {
            let mut attribute = Der(set.take(SEQUENCE)?);
            let kind = attribute.take(OBJECT_IDENTIFIER)?;
            let (tag, value) = attribute.any()?;
            let value = text(tag, value)?;
            attributes.push(Attribute { kind, value });
        }
    }
    Some(attributes)
}

fn text(tag: u8, bytes: &[u8]) -> Option<String> {
    match tag {
        // UTF8String, PrintableString, IA5String
        0x0c | 0x13 | 0x16 => String::from_utf8(bytes.to_vec()).ok(),
        // T61String, which in practice is Latin-1
        0x14 => Some(bytes.iter().copied().map(char::from).collect()),
        // BMPString
        0x1e => {
            let units = bytes
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
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
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_or_the_whole_subject_is_the_users() {
        let names = [
            (DnType::OrganizationName, "Sägewerk, Inc."),
            (DnType::CommonName, "ann"),
        ];
        let certificate = certificate(&names);
        assert_eq!(login_name(&certificate, LoginFrom::CommonName).unwrap(), "ann");
        assert_eq!(
            login_name(&certificate, LoginFrom::DistinguishedName).unwrap(),
            "CN=ann,O=Sägewerk\\, Inc."
        );
    }

    #[test]
    fn a_certificate_without_a_name_is_nobodys() {
        let certificate = certificate(&[]);
        assert_eq!(login_name(&certificate, LoginFrom::CommonName), None);
        assert_eq!(login_name(&certificate, LoginFrom::DistinguishedName), None);
    }

    #[test]
    fn a_truncated_certificate_has_no_name_and_does_no_harm() {
        let certificate = certificate(&[(DnType::CommonName, "ann")]);
        for len in 0..certificate.len() {
            assert_eq!(login_name(&certificate[..len], LoginFrom::CommonName), None);
        }
    }
}
