//! For how long a message wants to be put off: its header `x-delay`.

use logpond_routing::Value;

use crate::properties::{Properties, with_long_header};
use crate::table;

const DELAY: &[u8] = b"x-delay";

/// The milliseconds that a message wants to be put off, if it does: anything but a positive number of at most 32 bits means no delay,
/// as in RabbitMQ's plugin. Texts and fractions count as the number that they say.
pub(crate) fn delay_ms(properties: &Properties<'_>) -> Option<u64> {
    let delay = wished(properties)?;
    u32::try_from(delay)
        .ok()
        .filter(|delay| *delay > 0)
        .map(u64::from)
}

/// The properties of a message whose time has come: what comes behind sees a negative delay.
pub(crate) fn without_delay(raw: &[u8]) -> Vec<u8> {
    let delay = Properties::parse(raw)
        .ok()
        .and_then(|properties| wished(&properties));
    match delay {
        Some(delay) => with_long_header(raw, DELAY, delay.saturating_neg()),
        None => raw.to_vec(),
    }
}

fn wished(properties: &Properties<'_>) -> Option<i64> {
    let value = table::find(properties.headers?, DELAY)?;
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse().ok();
    match &value {
        Value::Str(bytes) | Value::Bytes(bytes) => text(bytes),
        Value::F32(number) => text(format!("{:.0}", number.trunc()).as_bytes()),
        Value::F64(number) => text(format!("{:.0}", number.trunc()).as_bytes()),
        other => other.as_integer(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Properties with this value, with its type in front, as `x-delay`.
    fn with(value: &[u8]) -> Vec<u8> {
        let table = [b"\x07x-delay", value].concat();
        let len = u32::try_from(table.len()).unwrap().to_be_bytes();
        [&[0x20, 0], &len[..], &table].concat()
    }

    #[rstest]
    #[case(b"I\0\0\x03\xe8", Some(1000))]
    #[case(b"l\0\0\0\0\xff\xff\xff\xff", Some(4_294_967_295))]
    #[case(b"l\0\0\0\x01\0\0\0\0", None)]
    #[case(b"I\xff\xff\xff\xff", None)]
    #[case(b"I\0\0\0\0", None)]
    #[case(b"S\0\0\0\x03500", Some(500))]
    #[case(b"S\0\0\0\x03abc", None)]
    #[case(b"d\x40\x24\xcc\xcc\xcc\xcc\xcc\xcd", Some(10))]
    #[case(b"d\x7f\xf8\0\0\0\0\0\0", None)]
    #[case(b"d\x7f\xef\xff\xff\xff\xff\xff\xff", None)]
    #[case(b"T\0\0\0\0\0\0\0\x05", None)]
    #[case(b"t\x01", None)]
    #[case(b"V", None)]
    #[case(b"F\0\0\0\0", None)]
    fn a_delay_is_a_positive_number_of_32_bits(#[case] value: &[u8], #[case] delay: Option<u64>) {
        let raw = with(value);
        assert_eq!(delay_ms(&Properties::parse(&raw).unwrap()), delay);
    }

    #[test]
    fn a_delay_that_is_over_is_negative() {
        let raw = without_delay(&with(b"S\0\0\0\x03500"));
        let properties = Properties::parse(&raw).unwrap();
        let headers = table::arguments(properties.headers.unwrap());
        assert_eq!(headers.get("x-delay"), Some(&Value::I64(-500)));
        assert_eq!(delay_ms(&properties), None);
        assert_eq!(without_delay(&[0, 0]), [0, 0]);
    }
}
