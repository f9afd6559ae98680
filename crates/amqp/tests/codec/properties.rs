//! Property lists: layout, laziness, and round trips.

use logpond_amqp::{ContentError, HotProperties, Properties, PropertyList, ReplyCode};
use proptest::prelude::*;

use crate::samples::{pool, short};

fn encoded(list: &PropertyList<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    list.encode(&mut out);
    out
}

proptest! {
    #[test]
    fn a_property_list_is_read_as_it_was_written(pool in pool()) {
        let list = pool.properties();
        let raw = encoded(&list);
        let properties = Properties::parse(&raw).unwrap();
        prop_assert_eq!(properties.decode(), Ok(list));
        let hot = HotProperties::parse(&raw).unwrap();
        prop_assert_eq!(hot, properties.hot());
        prop_assert_eq!(
            (hot.delivery_mode, hot.priority, hot.expiration, hot.user_id),
            (list.delivery_mode, list.priority, list.expiration, list.user_id)
        );
        prop_assert_eq!(hot.headers().unwrap(), list.headers);
    }

    #[test]
    fn a_property_list_that_was_cut_is_refused(pool in pool(), keep in any::<prop::sample::Index>()) {
        let raw = encoded(&pool.properties());
        let cut = &raw[..keep.index(raw.len())];
        prop_assert!(HotProperties::parse(cut).is_err());
        prop_assert!(Properties::parse(cut).is_err());
    }
}

//= amqp-0-9-1 2.3.5.2 property flags
#[test]
fn the_highest_flag_is_the_first_property() {
    let list = PropertyList {
        content_type: Some(short("text/plain")),
        delivery_mode: Some(2),
        ..PropertyList::default()
    };
    assert_eq!(encoded(&list), b"\x90\x00\x0Atext/plain\x02");
    let last = PropertyList {
        cluster_id: Some(short("c")),
        ..PropertyList::default()
    };
    assert_eq!(encoded(&last), b"\x00\x04\x01c");
}

//= amqp-0-9-1 basic/delivery-mode
#[test]
fn delivery_mode_two_and_no_other_is_persistent() {
    assert!(HotProperties::parse(b"\x10\x00\x02").unwrap().is_persistent());
    assert!(!HotProperties::parse(b"\x10\x00\x01").unwrap().is_persistent());
    assert!(!HotProperties::parse(b"\x00\x00").unwrap().is_persistent());
}

#[test]
fn broken_headers_are_noticed_by_whoever_reads_them() {
    let raw = b"\x20\x00\x00\x00\x00\x01\x05";
    let properties = Properties::parse(raw).unwrap();
    assert!(properties.headers().is_err());
    assert_eq!(
        properties.decode().unwrap_err().reply_code(),
        ReplyCode::SYNTAX_ERROR
    );
}

#[test]
fn a_second_word_of_flags_announces_nothing_that_exists() {
    assert_eq!(
        Properties::parse(b"\x00\x01\x00\x00"),
        Err(ContentError::UnknownFlags { flags: 1 })
    );
}

#[test]
fn octets_behind_the_last_property_are_refused() {
    assert!(Properties::parse(b"\x10\x00\x02\x00").is_err());
    assert!(HotProperties::parse(b"\x00\x00\x00").is_err());
}
