//! Methods: layout, round trips, and what is said about those that cannot be read.

use logpond_amqp::method::{basic, connection, exchange, queue};
use logpond_amqp::{
    ChannelId, FrameKind, Malformed, Method, MethodError, MethodId, ReplyCode, Table, parse_frame,
};
use proptest::prelude::*;

use crate::samples::{pool, short};

fn encoded(method: &Method<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    method.encode(ChannelId::new(1), &mut out);
    out
}

fn payload(frame: &[u8]) -> &[u8] {
    &frame[7..frame.len() - 1]
}

proptest! {
    #[test]
    fn every_method_is_read_as_it_was_written(pool in pool(), channel in any::<u16>()) {
        for method in pool.methods() {
            let mut out = Vec::new();
            method.encode(ChannelId::new(channel), &mut out);
            let (frame, taken) = parse_frame(&out, 0).unwrap().unwrap();
            prop_assert_eq!(taken, out.len());
            prop_assert_eq!((frame.kind, frame.channel.get()), (FrameKind::Method, channel));
            prop_assert_eq!(Method::decode(frame.payload), Ok(method));
        }
    }

    #[test]
    fn a_method_that_was_cut_anywhere_is_a_syntax_error(pool in pool(), keep in any::<prop::sample::Index>()) {
        for method in pool.methods() {
            let out = encoded(&method);
            let whole = payload(&out);
            let cut = 4 + keep.index(whole.len() - 3);
            if cut < whole.len() {
                let error = Method::decode(&whole[..cut]).unwrap_err();
                prop_assert_eq!(error.reply_code(), ReplyCode::SYNTAX_ERROR);
                prop_assert_eq!(error.method_id(), method.id());
            }
        }
    }
}

#[test]
fn the_samples_hold_every_method_of_the_table() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let pool = pool().new_tree(&mut runner).unwrap().current();
    let mut known = 0;
    for class in 0..256 {
        known += (0..256)
            .filter(|method| MethodId::new(class, *method).name().is_some())
            .count();
    }
    let ids: std::collections::BTreeSet<_> = pool.methods().iter().map(Method::id).collect();
    assert_eq!(ids.len(), known);
}

//= amqp-0-9-1 basic.ack
#[test]
fn an_ack_is_class_method_tag_and_one_octet_of_bits() {
    let frame = encoded(
        &basic::Ack {
            delivery_tag: 0x0102,
            multiple: true,
        }
        .into(),
    );
    assert_eq!(
        frame,
        [
            1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 1, 2, 1, 0xCE
        ]
    );
}

//= amqp-0-9-1 4.2.5.2 bits
#[test]
fn neighbouring_bits_share_an_octet_with_the_first_one_lowest() {
    let declare = queue::Declare {
        queue: short("q"),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: true,
        arguments: Table::EMPTY,
    };
    let frame = encoded(&declare.into());
    assert_eq!(
        payload(&frame),
        [0, 50, 0, 10, 0, 0, 1, b'q', 0b1_0010, 0, 0, 0, 0]
    );
}

//= amqp-0-9-1 connection.tune
#[test]
fn tune_carries_channels_frame_size_and_heartbeat() {
    let frame = encoded(
        &connection::Tune {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 60,
        }
        .into(),
    );
    assert_eq!(payload(&frame), [0, 10, 0, 30, 0x07, 0xFF, 0, 2, 0, 0, 0, 60]);
}

//= amqp-0-9-1 access.request (ticket)
#[test]
fn a_ticket_of_an_older_client_is_read_and_dropped() {
    let payload = [0, 60, 0, 70, 0, 101, 1, b'q', 1];
    assert_eq!(
        Method::decode(&payload),
        Ok(basic::Get {
            queue: short("q"),
            no_ack: true
        }
        .into())
    );
}

#[test]
fn the_answer_to_exchange_unbind_has_rabbitmqs_number() {
    assert_eq!(exchange::UnbindOk::ID, MethodId::new(40, 51));
}

//= amqp-0-9-1 constants/command-invalid
#[test]
fn a_method_of_an_unknown_class_is_an_invalid_command() {
    let error = Method::decode(&[0, 70, 0, 10]).unwrap_err();
    assert_eq!(error.reply_code(), ReplyCode::COMMAND_INVALID);
    assert_eq!(error.to_string(), "unknown class 70 in method 10");
}

//= amqp-0-9-1 constants/not-implemented
#[test]
fn an_unknown_method_of_a_known_class_is_not_implemented() {
    let error = Method::decode(&[0, 60, 0, 99]).unwrap_err();
    assert_eq!(error.reply_code(), ReplyCode::NOT_IMPLEMENTED);
    assert_eq!(error.to_string(), "unknown method 99 of class 60");
}

//= amqp-0-9-1 constants/frame-error
#[test]
fn a_method_frame_without_a_whole_method_number_is_a_frame_error() {
    assert_eq!(Method::decode(&[0, 60, 0]), Err(MethodError::NoMethodId));
    assert_eq!(MethodError::NoMethodId.reply_code(), ReplyCode::FRAME_ERROR);
}

//= amqp-0-9-1 constants/syntax-error
#[test]
fn octets_behind_the_last_field_are_a_syntax_error() {
    let error = Method::decode(&[0, 90, 0, 10, 0]).unwrap_err();
    assert_eq!(
        error,
        MethodError::Malformed {
            id: MethodId::new(90, 10),
            cause: Malformed::Trailing { left: 1 }
        }
    );
    assert_eq!(
        error.to_string(),
        "tx.select: 1 octets are left behind the last field"
    );
}

#[test]
fn a_table_with_an_unknown_letter_is_a_syntax_error_that_names_the_method() {
    let error = Method::decode(&[0, 50, 0, 10, 0, 0, 0, 0, 0, 0, 0, 3, 1, b'k', b'?']).unwrap_err();
    assert_eq!(error.reply_code(), ReplyCode::SYNTAX_ERROR);
    assert_eq!(
        error.to_string(),
        "queue.declare: field table: unknown value type ?"
    );
}

#[test]
fn a_string_that_claims_four_gibibytes_is_refused_and_nothing_is_kept() {
    let error = Method::decode(&[0, 10, 0, 20, 0xFF, 0xFF, 0xFF, 0xFF]).unwrap_err();
    let cause = Malformed::Truncated {
        needed: u64::from(u32::MAX),
        left: 0,
    };
    assert_eq!(
        error,
        MethodError::Malformed {
            id: MethodId::new(10, 20),
            cause
        }
    );
}

#[test]
fn names_need_not_be_utf_8() {
    let payload = [0, 60, 0, 70, 0, 0, 2, 0xFF, 0xFE, 0];
    let Ok(Method::BasicGet(get)) = Method::decode(&payload) else {
        panic!("a get")
    };
    assert_eq!(get.queue.as_bytes(), [0xFF, 0xFE]);
    assert!(get.queue.to_str().is_err());
}

#[test]
fn a_reply_text_is_cut_between_characters() {
    let text = "ä".repeat(200);
    assert_eq!(logpond_amqp::ShortStr::truncated(&text).len(), 254);
}
