//! Properties, taken apart and put together.

use rstest::rstest;

use super::*;

#[test]
fn what_decides_is_found_among_the_others() {
    let mut raw = Vec::new();
    raw.extend((CONTENT_TYPE | HEADERS | DELIVERY_MODE | PRIORITY | EXPIRATION | USER_ID).to_be_bytes());
    raw.extend(b"\x04text");
    raw.extend([0, 0, 0, 3]);
    raw.extend(b"\x01at");
    raw.extend([2, 9]);
    raw.extend(b"\x0260\x05guest");
    let found = Properties::parse(&raw).unwrap();
    assert_eq!(found.headers, Some(b"\x01at".as_slice()));
    assert!(found.is_persistent());
    assert_eq!(found.priority, Some(9));
    assert_eq!(found.expiration, Some(b"60".as_slice()));
    assert_eq!(found.user_id, Some(b"guest".as_slice()));
}

#[test]
fn headers_are_replaced_in_place() {
    let raw = [
        &(CONTENT_TYPE | HEADERS | PRIORITY).to_be_bytes()[..],
        b"\x01t",
        b"\0\0\0\x03\x01at",
        b"\x07",
    ]
    .concat();
    let found = Properties::parse(&raw).unwrap();
    let other = found.with_headers(&raw, b"");
    assert_eq!(other[2..], *b"\x01t\0\0\0\0\x07");
    let read = Properties::parse(&other).unwrap();
    assert_eq!((read.headers, read.priority), (Some(&b""[..]), Some(7)));
    let bare = Properties::parse(&[0, 0]).unwrap();
    assert_eq!(bare.with_headers(&[0, 0], b"x"), [0, 0]);
}

#[test]
fn a_header_is_added_where_there_are_none_or_some_or_the_same() {
    let one = b"\x01al\0\0\0\0\0\0\0\x07";
    let bare = with_long_header(&[0, 0], b"a", 7);
    assert_eq!(Properties::parse(&bare).unwrap().headers, Some(&one[..]));
    let raw = [&(CONTENT_TYPE | PRIORITY).to_be_bytes()[..], b"\x01t", b"\x05"].concat();
    let added = with_long_header(&raw, b"a", 7);
    let read = Properties::parse(&added).unwrap();
    assert_eq!((read.headers, read.priority), (Some(&one[..]), Some(5)));
    assert_eq!(with_long_header(&added, b"a", 7), added);
    let other = with_long_header(&added, b"b", 1);
    assert_eq!(
        Properties::parse(&other).unwrap().headers.unwrap().len(),
        2 * one.len()
    );
    assert_eq!(with_long_header(&[1], b"a", 7), [1]);
}

#[test]
fn a_dead_letter_has_other_headers_and_no_expiration() {
    let flags = CONTENT_TYPE | HEADERS | PRIORITY | REPLY_TO | EXPIRATION | MESSAGE_ID;
    let raw = [
        &flags.to_be_bytes()[..],
        b"\x01t\0\0\0\x03\x01at\x07\x01r\x0260\x01m",
    ]
    .concat();
    let dead = as_dead_letter(&raw, b"\x01bV");
    let expected = [
        &(flags & !EXPIRATION).to_be_bytes()[..],
        b"\x01t\0\0\0\x03\x01bV\x07\x01r\x01m",
    ];
    assert_eq!(dead, expected.concat());
    assert_eq!(as_dead_letter(&[0, 0], b""), [0x20, 0, 0, 0, 0, 0]);
    assert_eq!(as_dead_letter(&[1], b""), [1]);
}

#[test]
fn what_exchanges_hash_is_found_behind_the_rest() {
    let raw = [
        &(CONTENT_TYPE | HEADERS | PRIORITY | CORRELATION_ID | MESSAGE_ID | TIMESTAMP).to_be_bytes()[..],
        b"\x01t",
        b"\0\0\0\x03\x01at",
        b"\x07",
        b"\x02co",
        b"\x02me",
        &9_u64.to_be_bytes(),
    ]
    .concat();
    assert_eq!(hashed(&raw, MessageProperty::CorrelationId).unwrap(), b"co");
    assert_eq!(hashed(&raw, MessageProperty::MessageId).unwrap(), b"me");
    assert_eq!(
        hashed(&raw, MessageProperty::Timestamp).unwrap(),
        9_u64.to_be_bytes()
    );
    for len in 0..raw.len() {
        assert_eq!(hashed(&raw[..len], MessageProperty::Timestamp), None);
    }
    assert_eq!(hashed(&[0, 0], MessageProperty::MessageId), None);
}

#[test]
fn the_name_for_replies_is_replaced_in_place() {
    let raw = [
        &(PRIORITY | REPLY_TO | KIND).to_be_bytes()[..],
        b"\x07",
        b"\x02me",
        b"\x01k",
    ]
    .concat();
    let found = Properties::parse(&raw).unwrap();
    assert_eq!(found.reply_to, Some(&b"me"[..]));
    let other = found.with_reply_to(&raw, "you");
    assert_eq!(other[2..], *b"\x07\x03you\x01k");
}

#[test]
fn every_truncation_is_malformed_or_shorter_and_none_panics() {
    let raw = [
        0xff, 0xfc, 1, b'a', 1, b'b', 0, 0, 0, 0, 2, 1, 1, b'c', 1, b'd', 1, b'5', 1, b'e',
    ];
    for len in 0..raw.len() {
        assert_eq!(Properties::parse(&raw[..len]), Err(Malformed));
    }
    assert_eq!(Properties::parse(&[0, 0]), Ok(Properties::default()));
    assert_eq!(Properties::parse(&[0, 0, 0]), Err(Malformed));
    assert_eq!(
        Properties::parse(&[0x20, 0, 0xff, 0xff, 0xff, 0xff]),
        Err(Malformed)
    );
}

#[rstest]
#[case("abc", "no_integer")]
#[case("", "no_integer")]
#[case("-", "no_integer")]
#[case(" 5", "no_integer")]
#[case("5 s", "{leftover_string,\" s\"}")]
#[case("1.5", "{leftover_string,\".5\"}")]
#[case("-1", "{value_negative,-1}")]
#[case("-99999999999999999999", "{value_negative,-99999999999999999999}")]
#[case("315360000001", "{value_too_large,315360000001}")]
#[case("0099999999999999999999", "{value_too_large,99999999999999999999}")]
fn a_bad_expiration_is_named_as_rabbitmq_names_it(#[case] text: &str, #[case] problem: &str) {
    assert_eq!(
        expiration_problem(text.as_bytes()).unwrap(),
        format!("invalid expiration '{text}': {problem}")
    );
}

#[rstest]
#[case("0", 0)]
#[case("-0", 0)]
#[case("+60000", 60_000)]
#[case("315360000000", 315_360_000_000)]
fn an_expiration_is_at_most_ten_years(#[case] text: &str, #[case] milliseconds: u64) {
    assert_eq!(expiration_problem(text.as_bytes()), None);
    assert_eq!(expiration_ms(text.as_bytes()), Some(milliseconds));
}
