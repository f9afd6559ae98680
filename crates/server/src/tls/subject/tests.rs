//! Names of certificates as RabbitMQ reads them.

use rcgen::{CertificateParams, DnType, KeyPair};
use rstest::rstest;

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
        "CN=ann,O=S\\C3\\A4gewerk\\, Inc."
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

/// An element of less than 128 bytes.
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(contents.len()).unwrap()], contents].concat()
}

const COUNTRY: &[u8] = &[0x55, 0x04, 0x06];
const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];
const USER_ID: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01];
const EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];
const UTF8: u8 = 0x0c;

fn attribute(kind: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
    der(
        SEQUENCE,
        &[der(OBJECT_IDENTIFIER, kind), der(tag, value)].concat(),
    )
}

/// As much of a certificate as is read, with these parts of its subject.
fn with_parts(parts: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let parts: Vec<u8> = parts.iter().flat_map(|part| der(SET, &part.concat())).collect();
    let before = [
        der(0x02, &[1]),
        der(SEQUENCE, &[]),
        der(SEQUENCE, &[]),
        der(SEQUENCE, &[]),
    ]
    .concat();
    der(
        SEQUENCE,
        &der(SEQUENCE, &[before, der(SEQUENCE, &parts)].concat()),
    )
}

fn distinguished(parts: &[Vec<Vec<u8>>]) -> Option<String> {
    login_name(&with_parts(parts), LoginFrom::DistinguishedName)
}

fn common(parts: &[Vec<Vec<u8>>]) -> Option<String> {
    login_name(&with_parts(parts), LoginFrom::CommonName)
}

#[rstest]
#[case(EMAIL, "EMAILADDRESS=x")]
#[case(USER_ID, "UID=x")]
#[case(SERIAL_NUMBER, "SERIALNUMBER=x")]
#[case(&[0x55, 0x04, 0x2a], "GIVENNAME=x")]
#[case(&[0x55, 0x04, 0x2b], "INITIALS=x")]
#[case(&[0x55, 0x04, 0x2c], "GENERATIONQUALIFIER=x")]
#[case(&[0x55, 0x04, 0x41], "PSEUDONYM=x")]
#[case(&[0x55, 0x04, 0x09], "2.5.4.9=x")]
#[case(&[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37], "1.3.6.1.4.1.311=x")]
#[case(&[0x88, 0x37, 0x03], "2.999.3=x")]
fn kinds_have_the_names_that_rabbitmq_gives_them(#[case] kind: &[u8], #[case] written: &str) {
    let name = distinguished(&[vec![attribute(kind, UTF8, b"x")]]);
    assert_eq!(name.as_deref(), Some(written));
}

#[rstest]
#[case(" a b ", r"\ a b\ ")]
#[case(" ", r"\ ")]
#[case("#1#", r"\#1#")]
#[case(" #", r"\ #")]
#[case("a,b+c\"d\\e<f>g;h=i", r#"a\,b\+c\"d\\e\<f\>g\;h=i"#)]
#[case("Jür~\n", r"J\C3\BCr\7E\0A")]
fn values_are_escaped_as_rabbitmq_does(#[case] value: &str, #[case] written: &str) {
    let name = distinguished(&[vec![attribute(COMMON_NAME, UTF8, value.as_bytes())]]);
    assert_eq!(name, Some(format!("CN={written}")));
}

#[rstest]
#[case(0x13, b"ann", "CN=ann")]
#[case(0x16, b"ann", "CN=ann")]
#[case(0x14, b"J\xfcr", r"CN=J\C3\BCr")]
#[case(0x1e, &[0, 0x4a, 3, 0xbb], r"CN=J\CE\BB")]
#[case(0x1c, &[0, 0, 0, 0x4a, 0, 1, 0xf6, 0], r"CN=J\F0\9F\98\80")]
fn each_type_of_string_is_read(#[case] tag: u8, #[case] value: &[u8], #[case] written: &str) {
    let name = distinguished(&[vec![attribute(COMMON_NAME, tag, value)]]);
    assert_eq!(name.as_deref(), Some(written));
}

#[test]
fn attributes_of_one_part_stay_together_in_the_certificates_order() {
    let parts = [
        vec![attribute(COUNTRY, 0x13, b"DE")],
        vec![
            attribute(USER_ID, UTF8, b"7"),
            attribute(COMMON_NAME, UTF8, b"ann"),
        ],
    ];
    assert_eq!(distinguished(&parts).unwrap(), "UID=7+CN=ann,C=DE");
}

#[test]
fn several_common_names_are_joined_as_they_stand() {
    let parts = ["a+b", "ä"].map(|name| vec![attribute(COMMON_NAME, UTF8, name.as_bytes())]);
    assert_eq!(common(&parts).unwrap(), "a+b,ä");
    assert_eq!(distinguished(&parts).unwrap(), r"CN=\C3\A4,CN=a\+b");
}

#[test]
fn an_attribute_of_an_odd_type_does_not_hide_the_common_name() {
    let odd = attribute(SERIAL_NUMBER, 0x03, b"\0x");
    let parts = [vec![odd], vec![attribute(COMMON_NAME, UTF8, b"ann")]];
    assert_eq!(common(&parts).unwrap(), "ann");
    assert_eq!(distinguished(&parts), None);
}
