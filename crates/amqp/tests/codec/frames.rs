//! Frames and the protocol header.

use logpond_amqp::{
    ChannelId, Frame, FrameError, FrameKind, PROTOCOL_HEADER, ReplyCode, encode_heartbeat, parse_frame,
    parse_protocol_header,
};
use rstest::rstest;

const METHOD: [u8; 12] = [1, 0, 7, 0, 0, 0, 4, 0, 10, 0, 51, 0xCE];

//= amqp-0-9-1 2.3.5 frame details
#[test]
fn a_frame_is_kind_channel_length_payload_and_an_end_octet() {
    let frame = Frame {
        kind: FrameKind::Method,
        channel: ChannelId::new(7),
        payload: &[0, 10, 0, 51],
    };
    assert_eq!(parse_frame(&METHOD, 4096), Ok(Some((frame, METHOD.len()))));
}

#[test]
fn what_follows_a_frame_stays() {
    let two = [METHOD, METHOD].concat();
    let (_, taken) = parse_frame(&two, 4096).unwrap().unwrap();
    assert_eq!(two[taken..], METHOD);
}

#[test]
fn an_incomplete_frame_asks_for_more_at_every_length() {
    for len in 0..METHOD.len() {
        assert_eq!(parse_frame(&METHOD[..len], 4096), Ok(None), "{len} octets");
    }
}

//= amqp-0-9-1 4.2.3 frame-end
#[test]
fn a_wrong_end_octet_is_a_frame_error() {
    let mut frame = METHOD;
    frame[11] = 0xCD;
    let error = parse_frame(&frame, 4096).unwrap_err();
    assert_eq!(error.reply_code(), ReplyCode::FRAME_ERROR);
    assert_eq!(
        error.to_string(),
        "type 1, channel 7: 0xcd instead of 0xce behind 4 octets"
    );
}

#[rstest]
#[case(0)]
#[case(4)]
#[case(b'G')]
fn an_unknown_kind_is_a_frame_error(#[case] octet: u8) {
    let error = parse_frame(&[octet, 0, 1, 0, 0, 0, 0], 4096).unwrap_err();
    assert_eq!(
        error,
        FrameError::UnknownKind {
            octet,
            channel: ChannelId::new(1)
        }
    );
}

//= amqp-0-9-1 connection.tune-ok/frame-max
#[test]
fn a_length_above_the_limit_is_refused_before_its_payload_comes() {
    let error = parse_frame(&[3, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF], 131_072).unwrap_err();
    let channel = ChannelId::new(1);
    assert_eq!(
        error,
        FrameError::TooLarge {
            kind: FrameKind::Body,
            channel,
            len: u32::MAX,
            limit: 131_072
        }
    );
}

#[test]
fn clients_that_take_the_limit_for_the_payloads_are_forgiven() {
    assert_eq!(parse_frame(&[3, 0, 1, 0, 0, 16, 0], 4096), Ok(None));
    assert!(parse_frame(&[3, 0, 1, 0, 0, 16, 1], 4096).is_err());
}

#[test]
fn without_a_limit_four_gibibytes_are_only_awaited() {
    assert_eq!(
        parse_frame(&[3, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3], 0),
        Ok(None)
    );
}

//= amqp-0-9-1 4.2.7 heartbeat frames
#[test]
fn a_heartbeat_is_an_empty_frame_on_channel_zero() {
    let mut out = Vec::new();
    encode_heartbeat(&mut out);
    assert_eq!(out, [8, 0, 0, 0, 0, 0, 0, 0xCE]);
    assert_eq!(
        parse_frame(&[8, 0, 0, 0, 0, 0, 1], 0),
        Err(FrameError::HeartbeatPayload { len: 1 })
    );
}

//= amqp-0-9-1 2.2.4 the protocol header
#[test]
fn the_protocol_header_is_found_octet_by_octet() {
    for len in 0..8 {
        assert_eq!(parse_protocol_header(&PROTOCOL_HEADER[..len]), Ok(None));
    }
    assert_eq!(
        parse_protocol_header(b"AMQP\x00\x00\x09\x01\x01\x00"),
        Ok(Some(8))
    );
}

#[test]
fn the_protocol_header_of_0_9_is_as_good() {
    assert_eq!(parse_protocol_header(b"AMQP\x01\x01\x00\x09"), Ok(Some(8)));
}

#[rstest]
#[case(b"AMQP\x00\x00\x09\x00", b"AMQP\x00\x00\x09\x01")]
#[case(b"AMQP\x00\x00\x0A\x00", b"AMQP\x00\x00\x09\x01")]
#[case(b"AMQP\x00\x00\x08\x00", b"AMQP\x03\x01\x00\x00")]
#[case(b"AMQP\x01\x01\x08\x00", b"AMQP\x03\x01\x00\x00")]
#[case(b"AMQP\x01\x01\x09\x01", b"AMQP\x03\x01\x00\x00")]
#[case(b"AMQP\x00\x01\x00\x00", b"AMQP\x03\x01\x00\x00")]
#[case(b"AMQP\x03\x01\x00\x00", b"AMQP\x03\x01\x00\x00")]
#[case(b"AMQP\x01\x01\x00\x0A", b"AMQP\x03\x01\x00\x00")]
#[case(b"GET / HT", b"AMQP\x03\x01\x00\x00")]
#[case(b"GE", b"AMQP\x03\x01\x00\x00")]
fn another_protocol_is_answered_with_the_version_to_use(#[case] received: &[u8], #[case] answer: &[u8]) {
    assert_eq!(parse_protocol_header(received).unwrap_err().answer, answer);
}
