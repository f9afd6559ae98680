//! Field tables: each type's octets, bounds, and round trips.

use logpond_amqp::limits::{TABLE_BYTES_MAX, TABLE_DEPTH_MAX};
use logpond_amqp::{Decimal, Table, TableError, TableWriter, Value};
use proptest::collection::btree_map;
use proptest::prelude::*;
use rstest::rstest;

use crate::samples::{put, same_table, short, tree};

fn one(value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    TableWriter::new(&mut out).put(short("k"), value);
    out
}

//= amqp-0-9-1 4.2.5.5 field tables
#[rstest]
#[case::boolean(Value::Bool(true), b"t\x01")]
#[case::signed_octet(Value::I8(-2), b"b\xFE")]
#[case::octet(Value::U8(254), b"B\xFE")]
#[case::signed_short(Value::I16(-2), b"s\xFF\xFE")]
#[case::short(Value::U16(65_534), b"u\xFF\xFE")]
#[case::signed_long(Value::I32(-2), b"I\xFF\xFF\xFF\xFE")]
#[case::long(Value::U32(4_294_967_294), b"i\xFF\xFF\xFF\xFE")]
#[case::signed_long_long(Value::I64(-2), b"l\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE")]
#[case::float(Value::F32(1.5), b"f\x3F\xC0\x00\x00")]
#[case::double(Value::F64(1.5), b"d\x3F\xF8\x00\x00\x00\x00\x00\x00")]
#[case::decimal(Value::Decimal(Decimal { scale: 2, value: 314 }), b"D\x02\x00\x00\x01\x3A")]
#[case::long_string(Value::LongString(b"hi"), b"S\x00\x00\x00\x02hi")]
#[case::bytes(Value::Bytes(b"\x00\xFF"), b"x\x00\x00\x00\x02\x00\xFF")]
#[case::timestamp(Value::Timestamp(1), b"T\x00\x00\x00\x00\x00\x00\x00\x01")]
#[case::void(Value::Void, b"V")]
#[case::table(Value::Table(Table::EMPTY), b"F\x00\x00\x00\x00")]
#[case::array(Value::Array(logpond_amqp::Array::EMPTY), b"A\x00\x00\x00\x00")]
fn each_type_has_its_letter_and_its_octets(#[case] value: Value<'static>, #[case] golden: &[u8]) {
    let bytes = one(value);
    assert_eq!(bytes, [b"\x01k", golden].concat());
    assert_eq!(Table::parse(&bytes).unwrap().get(b"k"), Some(value));
}

#[test]
fn a_capital_l_is_signed_too_as_in_rabbitmq() {
    let table = Table::parse(b"\x01kL\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF").unwrap();
    assert_eq!(table.get(b"k"), Some(Value::I64(-1)));
}

#[test]
fn any_octet_but_zero_is_true() {
    assert_eq!(
        Table::parse(b"\x01kt\x07").unwrap().get(b"k"),
        Some(Value::Bool(true))
    );
}

#[test]
fn equal_keys_are_all_shown_and_the_first_is_found() {
    let table = Table::parse(b"\x01kB\x01\x01kB\x02").unwrap();
    assert_eq!(table.get(b"k"), Some(Value::U8(1)));
    assert_eq!(table.iter().count(), 2);
}

#[test]
fn nesting_stands_in_the_octets_as_the_specification_draws_it() {
    let mut out = Vec::new();
    let mut writer = TableWriter::new(&mut out);
    writer.nested(short("t"), |inner| {
        inner.put(short("a"), Value::Void);
    });
    writer.array(short("l"), |inner| {
        inner.push(Value::U8(7)).table(|_| {});
    });
    let table = writer.finish().unwrap();
    assert_eq!(
        table.as_bytes(),
        b"\x01tF\0\0\0\x03\x01aV\x01lA\0\0\0\x07B\x07F\0\0\0\0"
    );
}

#[rstest]
#[case::no_value(b"\x01k", TableError::Truncated { needed: 1, left: 0 })]
#[case::key_too_long(b"\x05k", TableError::Truncated { needed: 5, left: 1 })]
#[case::unknown_letter(b"\x01kU\x00\x01", TableError::UnknownType { letter: b'U' })]
#[case::four_gibibytes(b"\x01kS\xFF\xFF\xFF\xFF", TableError::Truncated { needed: 4_294_967_295, left: 0 })]
#[case::inside_a_table(b"\x01kF\x00\x00\x00\x03\x01ai", TableError::Truncated { needed: 4, left: 0 })]
#[case::inside_an_array(b"\x01kA\x00\x00\x00\x01s", TableError::Truncated { needed: 2, left: 0 })]
fn a_broken_table_is_refused_with_what_is_wrong(#[case] bytes: &[u8], #[case] error: TableError) {
    assert_eq!(Table::parse(bytes), Err(error));
}

/// `depth` tables inside each other.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        let len = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        bytes = [b"\x00F".as_slice(), &len, &bytes].concat();
    }
    bytes
}

#[test]
fn tables_nest_to_the_limit_and_no_deeper() {
    assert!(Table::parse(&nested(TABLE_DEPTH_MAX)).is_ok());
    let error = TableError::TooDeep {
        limit: TABLE_DEPTH_MAX,
    };
    assert_eq!(Table::parse(&nested(TABLE_DEPTH_MAX + 1)), Err(error));
    assert_eq!(Table::parse(&nested(20_000)), Err(error));
}

#[test]
fn a_table_may_have_a_mebibyte_and_no_more() {
    let bytes = b"\x00V".repeat(TABLE_BYTES_MAX / 2 + 1);
    assert!(Table::parse(&bytes[..TABLE_BYTES_MAX]).is_ok());
    let error = TableError::TooLarge {
        len: TABLE_BYTES_MAX + 2,
        limit: TABLE_BYTES_MAX,
    };
    assert_eq!(Table::parse(&bytes), Err(error));
}

proptest! {
    #[test]
    fn a_table_is_read_as_it_was_written(entries in btree_map("\\PC{0,20}", tree(), 0..6)) {
        let entries: Vec<_> = entries.into_iter().collect();
        let mut out = Vec::new();
        let mut writer = TableWriter::new(&mut out);
        for (key, value) in &entries {
            put(&mut writer, key, value);
        }
        prop_assert!(same_table(writer.finish().unwrap(), &entries));
    }
}
