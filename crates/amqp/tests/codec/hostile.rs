//! Hostile input: whatever the octets are, reading them ends, in bounds and without a panic.

use logpond_amqp::{
    Array, ChannelId, ContentHeader, FrameKind, HotProperties, Method, Properties, Table, Value,
    encode_content, parse_ack, parse_frame, parse_protocol_header, parse_publish,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::samples::pool;

/// Reads everything that can be read, as a session would.
fn read_all(mut buf: &[u8], frame_max: u32) {
    let _ = parse_protocol_header(buf);
    loop {
        let fast = parse_publish(buf, frame_max).map(|(_, taken)| taken);
        let ack = parse_ack(buf).map(|(_, taken)| taken);
        let Ok(Some((frame, taken))) = parse_frame(buf, frame_max) else {
            assert_eq!((fast, ack), (None, None), "the general path must agree");
            return;
        };
        match frame.kind {
            FrameKind::Method => read_method(frame.payload),
            FrameKind::Header => read_header(frame.payload),
            FrameKind::Body | FrameKind::Heartbeat => {}
        }
        assert!(fast.is_none_or(|fast| fast > taken && fast <= buf.len()));
        assert!(ack.is_none_or(|ack| ack == taken));
        buf = &buf[taken..];
    }
}

fn read_method(payload: &[u8]) {
    match Method::decode(payload) {
        Ok(method) => {
            let mut out = Vec::new();
            method.encode(ChannelId::new(1), &mut out);
            assert_eq!(Method::decode(&out[7..out.len() - 1]), Ok(method));
        }
        Err(error) => assert!(error.reply_code().ends_connection() && error.to_string().len() < 256),
    }
}

fn read_header(payload: &[u8]) {
    let Ok(header) = ContentHeader::parse(payload) else {
        return;
    };
    let checked = Properties::parse(header.raw_properties);
    assert_eq!(
        checked.is_ok(),
        HotProperties::parse(header.raw_properties).is_ok()
    );
    if let Ok(properties) = checked {
        let _ = properties.decode();
        let _ = properties.headers();
    }
}

fn count(value: Value<'_>) -> usize {
    match value {
        Value::Table(table) => 1 + table.iter().map(|(_, value)| count(value)).sum::<usize>(),
        Value::Array(array) => 1 + array.iter().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// Octets that look like tables more often than chance.
fn tableish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(vec![0]),
        Just(vec![1, b'k']),
        prop::sample::select(b"StbBsuIilLdfTDFAxVU?".to_vec()).prop_map(|letter| vec![letter]),
        (0_u32..12).prop_map(|len| len.to_be_bytes().to_vec()),
        vec(any::<u8>(), 0..6),
    ];
    vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn arbitrary_octets_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..400), frame_max in prop_oneof![Just(0), Just(4096_u32)]) {
        read_all(&bytes, frame_max);
        read_method(&bytes);
        read_header(&bytes);
    }

    #[test]
    fn arbitrary_tables_are_refused_or_walked_to_their_end(bytes in tableish()) {
        if let Ok(table) = Table::parse(&bytes) {
            prop_assert!(table.iter().map(|(_, value)| count(value)).sum::<usize>() <= bytes.len());
        }
        if let Ok(array) = Array::parse(&bytes) {
            prop_assert!(array.iter().map(count).sum::<usize>() <= bytes.len());
        }
    }

    #[test]
    fn valid_frames_with_a_few_octets_changed_are_read_without_a_panic(
        pool in pool(), which in any::<Index>(), changes in vec((any::<Index>(), any::<u8>()), 1..5), cut in any::<Index>(),
    ) {
        let mut out = Vec::new();
        let methods = pool.methods();
        methods[which.index(methods.len())].encode(ChannelId::new(1), &mut out);
        let mut properties = Vec::new();
        pool.properties().encode(&mut properties);
        encode_content(&mut out, ChannelId::new(1), &properties, b"body", 4096);
        for (at, octet) in changes {
            let at = at.index(out.len());
            out[at] = octet;
        }
        read_all(&out, 4096);
        read_method(&out[7..]);
        read_all(&out[..cut.index(out.len())], 4096);
    }
}
