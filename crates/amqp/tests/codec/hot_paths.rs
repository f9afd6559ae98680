//! The hot paths mean what the general path means.

use logpond_amqp::method::basic;
use logpond_amqp::{
    Ack, ChannelId, Delivery, Method, Publish, encode_ack, encode_content, encode_delivery, encode_nack,
    parse_ack, parse_publish,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::samples::short;

fn publish_bytes(publish: &Publish<'_>, frame_max: u32) -> Vec<u8> {
    let mut out = Vec::new();
    basic::Publish {
        exchange: publish.exchange,
        routing_key: publish.routing_key,
        mandatory: publish.mandatory,
        immediate: publish.immediate,
    }
    .encode(publish.channel, &mut out);
    encode_content(
        &mut out,
        publish.channel,
        publish.raw_properties,
        publish.body,
        frame_max,
    );
    out
}

fn hello(body: &[u8]) -> Publish<'_> {
    Publish {
        channel: ChannelId::new(1),
        exchange: short(""),
        routing_key: short("hello"),
        mandatory: false,
        immediate: false,
        raw_properties: &[0x10, 0, 2],
        body,
    }
}

/// The weight stands behind the class of the header frame, which follows the method's.
#[test]
fn a_publish_with_a_weight_is_left_to_the_general_path() {
    let mut bytes = publish_bytes(&hello(b"x"), 0);
    let (_, method) = logpond_amqp::parse_frame(&bytes, 0).unwrap().unwrap();
    bytes[method + 7 + 3] = 1;
    assert_eq!(parse_publish(&bytes, 0), None);
}

proptest! {
    #[test]
    fn a_whole_publish_is_recognised(
        channel in any::<u16>(), exchange in "[a-z.]{0,20}", key in "\\PC{0,40}", bits in any::<[bool; 2]>(),
        body in vec(any::<u8>(), 0..300), rest in vec(any::<u8>(), 0..30),
    ) {
        let publish = Publish {
            channel: ChannelId::new(channel), exchange: short(&exchange), routing_key: short(&key),
            mandatory: bits[0], immediate: bits[1], raw_properties: &[0, 0], body: &body,
        };
        let mut bytes = publish_bytes(&publish, 0);
        let len = bytes.len();
        bytes.extend(rest);
        prop_assert_eq!(parse_publish(&bytes, 131_072), Some((publish, len)));
    }

    #[test]
    fn an_ack_is_recognised_and_written_as_by_the_general_path(channel in any::<u16>(), tag in any::<u64>(), bits in any::<[bool; 2]>()) {
        let channel = ChannelId::new(channel);
        let (mut hot, mut general) = (Vec::new(), Vec::new());
        encode_ack(&mut hot, channel, tag, bits[0]);
        basic::Ack { delivery_tag: tag, multiple: bits[0] }.encode(channel, &mut general);
        prop_assert_eq!(&hot, &general);
        prop_assert_eq!(parse_ack(&hot), Some((Ack { channel, delivery_tag: tag, multiple: bits[0] }, 21)));
        let (mut hot, mut general) = (Vec::new(), Vec::new());
        encode_nack(&mut hot, channel, tag, bits[0], bits[1]);
        basic::Nack { delivery_tag: tag, multiple: bits[0], requeue: bits[1] }.encode(channel, &mut general);
        prop_assert_eq!(&hot, &general);
        prop_assert_eq!(parse_ack(&hot), None);
    }

    #[test]
    fn a_delivery_is_written_as_by_the_general_path(
        texts in ["[a-z]{0,20}", "[a-z.]{0,20}", "\\PC{0,60}"], tag in any::<u64>(), redelivered in any::<bool>(),
        body in vec(any::<u8>(), 0..9000),
    ) {
        let [consumer_tag, exchange, routing_key] = texts.each_ref().map(|text| short(text));
        let channel = ChannelId::new(5);
        let (mut hot, mut general) = (Vec::new(), Vec::new());
        let delivery = Delivery { consumer_tag, delivery_tag: tag, redelivered, exchange, routing_key };
        encode_delivery(&mut hot, channel, &delivery, &[0x10, 0, 2], &body, 4096);
        let method = Method::from(basic::Deliver { consumer_tag, delivery_tag: tag, redelivered, exchange, routing_key });
        method.encode(channel, &mut general);
        encode_content(&mut general, channel, &[0x10, 0, 2], &body, 4096);
        prop_assert_eq!(hot, general);
    }
}

#[test]
fn a_delivery_is_written_without_growing_a_buffer_twice() {
    let delivery = Delivery {
        consumer_tag: short("ctag"),
        delivery_tag: 1,
        redelivered: false,
        exchange: short("amq.topic"),
        routing_key: short("a.b"),
    };
    for body in [0, 1, 4088, 4089, 20_000] {
        let mut out = Vec::new();
        encode_delivery(
            &mut out,
            ChannelId::new(1),
            &delivery,
            &[0x10, 0, 2],
            &vec![0; body],
            4096,
        );
        // `reserve` takes exactly what an empty vector is asked for, so an equal length means an exact request.
        assert!(
            out.capacity() == out.len() || body == 0,
            "{body} octets: {} of {}",
            out.len(),
            out.capacity()
        );
    }
}

#[test]
fn an_incomplete_publish_is_left_to_the_general_path_at_every_length() {
    let bytes = publish_bytes(&hello(b"Hello World!"), 0);
    for len in 0..bytes.len() {
        assert_eq!(parse_publish(&bytes[..len], 4096), None, "{len} octets");
    }
}

#[test]
fn a_body_of_several_frames_is_left_to_the_general_path() {
    let body = vec![1; 5000];
    assert_eq!(parse_publish(&publish_bytes(&hello(&body), 4096), 4096), None);
}

#[test]
fn frames_of_different_channels_are_no_publish() {
    let bytes = publish_bytes(&hello(b"x"), 0);
    let header_at = bytes.iter().rposition(|octet| *octet == 3).unwrap();
    let mut mixed = bytes.clone();
    mixed[header_at + 2] = 9;
    assert!(parse_publish(&bytes, 0).is_some());
    assert_eq!(parse_publish(&mixed, 0), None);
}

#[test]
fn a_property_list_of_a_publish_is_passed_on_as_it_came() {
    let bytes = publish_bytes(&hello(b""), 0);
    let (publish, _) = parse_publish(&bytes, 0).unwrap();
    assert_eq!(publish.raw_properties, [0x10, 0, 2]);
}
