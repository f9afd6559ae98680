//! Tests of `frame`: each states one thing that it keeps.

use proptest::prelude::*;

use super::*;

#[test]
fn each_flipped_bit_of_a_frame_is_noticed() {
    let frame = write(&("orders", 7_u64), 3, 99).unwrap();
    for bit in 0..frame.len() * 8 {
        let mut damaged = frame.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let result = read::<(String, u64)>(&damaged, 3);
        assert!(
            !matches!(result, Ok(_) | Err(FrameError::OtherVersion { .. })),
            "bit {bit}"
        );
    }
}

#[test]
fn another_schema_is_named() {
    let frame = write(&1_u8, 2, 0).unwrap();
    let error = read::<u8>(&frame, 3).unwrap_err();
    assert!(
        matches!(
            error,
            FrameError::OtherVersion {
                schema: 2,
                expected_schema: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn an_impossible_length_is_refused_before_anything_is_allocated() {
    let mut frame = write(&1_u8, 1, 0).unwrap();
    frame[16..20].fill(0xff);
    assert!(matches!(read::<u8>(&frame, 1), Err(FrameError::TooLong { .. })));
}

#[test]
fn a_frame_at_another_place_or_of_another_store_does_not_validate() {
    let mut frame = Vec::new();
    write_into(&mut frame, &1_u8, 1, 0, Seal::at(7, 512)).unwrap();
    assert!(Frame::parse(&frame, Seal::at(7, 512)).is_ok());
    for seal in [Seal::at(7, 513), Seal::at(8, 512), Seal::NONE] {
        assert!(matches!(
            Frame::parse(&frame, seal),
            Err(FrameError::Damaged { .. })
        ));
    }
}

#[test]
fn the_bytes_are_those_of_the_golden_file() {
    let golden = include_bytes!("../../tests/golden/frame.bin");
    assert_eq!(write(&("orders".to_owned(), 7_u64), 3, 99).unwrap(), golden);
    assert_eq!(
        read::<(String, u64)>(golden, 3).unwrap(),
        (("orders".to_owned(), 7), 99, golden.len())
    );
}

proptest! {
    #[test]
    fn a_value_comes_back_and_a_cut_frame_is_truncated(
        value: (Vec<u8>, u64), schema: u16, sequence: u64, cut in 0.0..1.0,
    ) {
        let frame = write(&value, schema, sequence).unwrap();
        let mut longer = frame.clone();
        longer.extend_from_slice(b"behind");
        prop_assert_eq!(read::<(Vec<u8>, u64)>(&longer, schema).unwrap(), (value, sequence, frame.len()));
        #[allow(clippy::as_conversions, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let cut = (frame.len() as f64 * cut) as usize;
        let is_truncated = matches!(Frame::parse(&frame[..cut], Seal::NONE), Err(FrameError::Truncated { .. }));
        prop_assert!(is_truncated);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let mut framed = FRAME_MAGIC.to_vec();
        framed.extend_from_slice(&bytes);
        let _ = Frame::parse(&bytes, Seal::NONE);
        let _ = read::<Vec<(u64, String)>>(&framed, 1);
    }
}
