//! Content headers and bodies.

use logpond_amqp::{
    ChannelId, ContentError, ContentHeader, FrameKind, ReplyCode, encode_content, encode_content_header,
    parse_frame,
};
use rstest::rstest;

const CHANNEL: ChannelId = ChannelId::new(3);

/// The kinds and payload lengths of the frames in `buf`.
fn frames(mut buf: &[u8], frame_max: u32) -> Vec<(FrameKind, usize)> {
    let mut found = Vec::new();
    while let Some((frame, taken)) = parse_frame(buf, frame_max).unwrap() {
        assert_eq!(frame.channel, CHANNEL);
        assert!(
            frame_max == 0 || taken <= usize::try_from(frame_max).unwrap(),
            "larger than agreed"
        );
        found.push((frame.kind, frame.payload.len()));
        buf = &buf[taken..];
    }
    assert!(buf.is_empty());
    found
}

//= amqp-0-9-1 2.3.5.2 content header
#[test]
fn a_content_header_is_class_weight_body_size_and_properties() {
    let mut out = Vec::new();
    encode_content_header(&mut out, CHANNEL, &[0x10, 0, 2], 0x0102);
    assert_eq!(
        out,
        [
            2, 0, 3, 0, 0, 0, 15, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0x10, 0, 2, 0xCE
        ]
    );
    let (frame, _) = parse_frame(&out, 0).unwrap().unwrap();
    let header = ContentHeader::parse(frame.payload).unwrap();
    assert_eq!(
        header,
        ContentHeader {
            body_size: 0x0102,
            raw_properties: &[0x10, 0, 2]
        }
    );
}

//= amqp-0-9-1 2.3.5.2 content body
#[rstest]
#[case::empty(0, &[])]
#[case::fits(4088, &[4088])]
#[case::one_more(4089, &[4088, 1])]
#[case::twice(8176, &[4088, 4088])]
fn a_body_is_cut_at_the_agreed_frame_size(#[case] body: usize, #[case] pieces: &[usize]) {
    let mut out = Vec::new();
    encode_content(&mut out, CHANNEL, &[0, 0], &vec![7; body], 4096);
    let mut expected = vec![(FrameKind::Header, 14)];
    expected.extend(pieces.iter().map(|len| (FrameKind::Body, *len)));
    assert_eq!(frames(&out, 4096), expected);
}

#[test]
fn without_a_limit_a_body_is_one_frame() {
    let mut out = Vec::new();
    encode_content(&mut out, CHANNEL, &[0, 0], &vec![7; 1 << 20], 0);
    assert_eq!(
        frames(&out, 0),
        [(FrameKind::Header, 14), (FrameKind::Body, 1 << 20)]
    );
}

#[test]
fn content_of_another_class_is_unexpected() {
    let error = ContentHeader::parse(&[0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap_err();
    assert_eq!(error, ContentError::WrongClass { class: 50 });
    assert_eq!(error.reply_code(), ReplyCode::UNEXPECTED_FRAME);
    assert_eq!(
        error.to_string(),
        "expected content header for class 60, got one for class 50 instead"
    );
}

#[rstest]
#[case::of_its_class(60)]
#[case::of_another_class(50)]
fn a_content_header_with_a_weight_is_unexpected(#[case] class: u8) {
    let error = ContentHeader::parse(&[0, class, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap_err();
    assert_eq!(error, ContentError::Weighed { weight: 7 });
    assert_eq!(error.reply_code(), ReplyCode::UNEXPECTED_FRAME);
}

#[test]
fn a_header_without_flags_is_a_frame_error() {
    for len in 0..14 {
        let payload = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let error = ContentHeader::parse(&payload[..len]).unwrap_err();
        assert_eq!(error.reply_code(), ReplyCode::FRAME_ERROR, "{len} octets");
    }
}
