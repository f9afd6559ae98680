//! Appends one method frame field by field.
//!
//! Invariants:
//! - Between `begin` and `finish` the frame's length is zero; `finish` fills it in and ends the frame.

use crate::channel_id::ChannelId;
use crate::frame::FrameKind;
use crate::limits::{FRAME_END, FRAME_HEADER_BYTES};
use crate::method_id::MethodId;
use crate::short_str::ShortStr;
use crate::table::Table;

/// A method frame being written.
#[derive(Debug)]
#[must_use = "an unfinished frame breaks the stream"]
pub struct MethodWriter<'o> {
    out: &'o mut Vec<u8>,
    payload: usize,
}

impl<'o> MethodWriter<'o> {
    pub fn begin(out: &'o mut Vec<u8>, channel: ChannelId, id: MethodId) -> Self {
        let [channel_high, channel_low] = channel.get().to_be_bytes();
        let [class_high, class_low] = id.class().to_be_bytes();
        let [method_high, method_low] = id.method().to_be_bytes();
        out.extend_from_slice(&[
            FrameKind::Method.octet(),
            channel_high,
            channel_low,
            0,
            0,
            0,
            0,
            class_high,
            class_low,
            method_high,
            method_low,
        ]);
        let payload = out.len() - 4;
        Self { out, payload }
    }

    pub fn octet(&mut self, value: u8) {
        self.out.push(value);
    }

    pub fn short(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub fn long(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub fn long_long(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    pub fn short_string(&mut self, value: ShortStr<'_>) {
        self.out.push(value.len_octet());
        self.out.extend_from_slice(value.as_bytes());
    }

    pub fn long_string(&mut self, value: &[u8]) {
        let len = u32::try_from(value.len()).expect("a long string is below 4 GiB");
        self.long(len);
        self.out.extend_from_slice(value);
    }

    pub fn table(&mut self, value: Table<'_>) {
        self.long_string(value.as_bytes());
    }

    /// Up to eight bits in one octet, the first one lowest.
    pub fn bits(&mut self, bits: &[bool]) {
        debug_assert!(bits.len() <= 8, "no method has more than eight bits in a row");
        let octet = bits
            .iter()
            .rev()
            .fold(0, |octet, &bit| octet << 1 | u8::from(bit));
        self.out.push(octet);
    }

    pub fn finish(self) {
        let len = u32::try_from(self.out.len() - self.payload).expect("a method is below 4 GiB");
        let length_field = self.payload - FRAME_HEADER_BYTES + 3..self.payload;
        self.out[length_field].copy_from_slice(&len.to_be_bytes());
        self.out.push(FRAME_END);
    }
}
