//! One part of the codec each: nothing panics, nothing is read beyond its end, and what is written again is read as the same.

use logpond_amqp::{
    ChannelId, ContentHeader, FrameKind, HotProperties, Method, Table, TableWriter, Value, parse_ack,
    parse_frame, parse_publish,
};

/// The first two bytes are the largest frame, the rest is what a client sent.
pub fn frames(data: &[u8]) {
    let Some((limit, mut rest)) = data.split_first_chunk() else {
        return;
    };
    let limit = u32::from(u16::from_be_bytes(*limit));
    loop {
        if let Some((publish, taken)) = parse_publish(rest, limit) {
            assert!(taken <= rest.len(), "a publish ends where the bytes do");
            let Ok(Some((frame, _))) = parse_frame(rest, limit) else {
                panic!("a publish begins with a frame");
            };
            let Ok(Method::BasicPublish(method)) = Method::decode(frame.payload) else {
                panic!("and that is a publish");
            };
            assert_eq!(
                (publish.channel, publish.exchange),
                (frame.channel, method.exchange)
            );
            assert_eq!(
                (publish.routing_key, publish.mandatory),
                (method.routing_key, method.mandatory)
            );
        }
        if let Some((ack, taken)) = parse_ack(rest) {
            assert!(taken <= rest.len(), "an acknowledgement ends where the bytes do");
            let Ok(Some((frame, _))) = parse_frame(rest, 0) else {
                panic!("an acknowledgement is a frame");
            };
            let Ok(Method::BasicAck(method)) = Method::decode(frame.payload) else {
                panic!("and that is an acknowledgement");
            };
            assert_eq!(
                (ack.delivery_tag, ack.multiple),
                (method.delivery_tag, method.multiple)
            );
        }
        match parse_frame(rest, limit) {
            Ok(Some((frame, taken))) => {
                assert_eq!(taken, frame.payload.len() + 8);
                rest = &rest[taken..];
            }
            Ok(None) | Err(_) => return,
        }
    }
}

/// The payload of a method frame.
pub fn method(data: &[u8]) {
    let Ok(method) = Method::decode(data) else {
        return;
    };
    let mut bytes = Vec::new();
    method.encode(ChannelId::new(1), &mut bytes);
    let Ok(Some((frame, taken))) = parse_frame(&bytes, 0) else {
        panic!("what we write is a frame");
    };
    assert_eq!((frame.kind, taken), (FrameKind::Method, bytes.len()));
    assert_eq!(Method::decode(frame.payload), Ok(method));
}

/// The contents of a field table.
pub fn table(data: &[u8]) {
    let Ok(table) = Table::parse(data) else {
        return;
    };
    let mut entries = 0;
    for (key, value) in table {
        entries += 1;
        // Not a number equals nothing.
        let first = table.get(key.as_bytes());
        assert!(first.is_some(), "a key that is there is found");
        walk(value);
    }
    assert_eq!(entries == 0, table.is_empty());
    let mut bytes = Vec::new();
    let mut writer = TableWriter::new(&mut bytes);
    for (key, value) in table {
        writer.put(key, value);
    }
    let Ok(again) = writer.finish() else { return };
    let shown = |table: Table<'_>| format!("{:?}", table.iter().collect::<Vec<_>>());
    assert_eq!(shown(again), shown(table));
}

fn walk(value: Value<'_>) {
    match value {
        Value::Table(table) => table.iter().for_each(|(_, value)| walk(value)),
        Value::Array(array) => array.iter().for_each(walk),
        _ => {}
    }
}

/// The payload of a content header frame.
pub fn header(data: &[u8]) {
    let Ok(header) = ContentHeader::parse(data) else {
        return;
    };
    let _hot = HotProperties::parse(header.raw_properties);
    let Ok(properties) = header.properties() else {
        return;
    };
    let Ok(list) = properties.decode() else { return };
    let mut bytes = Vec::new();
    list.encode(&mut bytes);
    let again = logpond_amqp::Properties::parse(&bytes).expect("what we write is a property list");
    assert_eq!(again.decode(), Ok(list));
    assert_eq!(again.hot(), properties.hot());
}
