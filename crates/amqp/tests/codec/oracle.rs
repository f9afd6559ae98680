//! Another codec, `amq-protocol`, reads what we write and writes what we read.

use amq_protocol::frame::{AMQPFrame, gen_frame, parse_frame as oracle_parse};
use logpond_amqp::method::{access, basic};
use logpond_amqp::{
    ChannelId, ContentHeader, Method, Properties, PropertyList, encode_content, encode_heartbeat, parse_frame,
};
use proptest::prelude::*;

use crate::samples::pool;

/// The one frame in `bytes`, as the oracle reads it.
fn read_by_oracle(bytes: &[u8]) -> AMQPFrame {
    let (rest, frame) = oracle_parse(bytes).unwrap();
    assert!(rest.is_empty(), "the oracle left {} octets", rest.len());
    frame
}

fn written_by_oracle(frame: &AMQPFrame) -> Vec<u8> {
    gen_frame(frame)(Vec::new().into()).unwrap().into_inner().0
}

/// The oracle writes some fields as constants, whatever it has read.
fn as_the_oracle_writes(method: Method<'_>) -> Method<'_> {
    match method {
        Method::AccessRequestOk(_) => access::RequestOk { ticket: 1 }.into(),
        Method::BasicQos(qos) => basic::Qos {
            prefetch_size: 0,
            ..qos
        }
        .into(),
        method => method,
    }
}

proptest! {
    #[test]
    fn the_oracle_reads_every_method_and_writes_the_same_octets(pool in pool(), channel in 1_u16..) {
        for method in pool.methods() {
            let method = as_the_oracle_writes(method);
            let mut ours = Vec::new();
            method.encode(ChannelId::new(channel), &mut ours);
            let theirs = written_by_oracle(&read_by_oracle(&ours));
            prop_assert_eq!(&ours, &theirs, "{:?}", method.id());
            let (frame, _) = parse_frame(&theirs, 0).unwrap().unwrap();
            prop_assert_eq!(Method::decode(frame.payload), Ok(method));
        }
    }

    #[test]
    fn the_oracle_reads_content_headers_and_writes_the_same_octets(pool in pool(), body in prop::collection::vec(any::<u8>(), 1..100)) {
        let list: PropertyList<'_> = pool.properties();
        let mut raw = Vec::new();
        list.encode(&mut raw);
        let mut ours = Vec::new();
        encode_content(&mut ours, ChannelId::new(1), &raw, &body, 0);
        let (_, header_len) = parse_frame(&ours, 0).unwrap().unwrap();
        let theirs = written_by_oracle(&read_by_oracle(&ours[..header_len]));
        prop_assert_eq!(&ours[..header_len], theirs.as_slice());
        let (frame, _) = parse_frame(&theirs, 0).unwrap().unwrap();
        let header = ContentHeader::parse(frame.payload).unwrap();
        prop_assert_eq!(Properties::parse(header.raw_properties).unwrap().decode(), Ok(list));
        prop_assert_eq!(read_by_oracle(&ours[header_len..]), AMQPFrame::Body(1, body));
    }
}

#[test]
fn the_oracle_reads_a_heartbeat() {
    let mut out = Vec::new();
    encode_heartbeat(&mut out);
    assert_eq!(read_by_oracle(&out), AMQPFrame::Heartbeat);
}
