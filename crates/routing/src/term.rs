//! Values as RabbitMQ prints them in error texts: as Erlang terms.
//!
//! Elsewhere: texts that show a string as it is (the broker's `equivalence`).

use std::fmt;

use crate::Value;

/// From here on not every whole number is a double: such a large one is shown with an exponent.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A value as an Erlang term, on one line: `5.0`, `<<"text">>`, `[{signedint,1}]`, `[{<<"key">>,signedint,1}]`.
#[derive(Clone, Copy, Debug)]
pub struct Term<'a>(pub &'a Value);

impl fmt::Display for Term<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Bool(value) => value.fmt(formatter),
            Value::I8(value) => value.fmt(formatter),
            Value::U8(value) => value.fmt(formatter),
            Value::I16(value) => value.fmt(formatter),
            Value::U16(value) => value.fmt(formatter),
            Value::I32(value) => value.fmt(formatter),
            Value::U32(value) => value.fmt(formatter),
            Value::I64(value) => value.fmt(formatter),
            Value::F32(value) => formatter.write_str(&float((*value).into())),
            Value::F64(value) => formatter.write_str(&float(*value)),
            Value::Decimal(value) => write!(formatter, "{{{},{}}}", value.scale, value.unscaled),
            Value::Str(bytes) | Value::Bytes(bytes) => binary(bytes, formatter),
            Value::Timestamp(value) => value.fmt(formatter),
            Value::Array(values) => list(values, formatter, |value, formatter| {
                write!(formatter, "{{{},{}}}", value.type_name(), Self(value))
            }),
            Value::Table(fields) => list(fields.iter(), formatter, |(key, value), formatter| {
                formatter.write_str("{")?;
                binary(key.as_bytes(), formatter)?;
                write!(formatter, ",{},{}}}", value.type_name(), Self(value))
            }),
            Value::Void => formatter.write_str("undefined"),
        }
    }
}

fn list<T>(
    items: impl IntoIterator<Item = T>,
    formatter: &mut fmt::Formatter<'_>,
    mut show: impl FnMut(T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    formatter.write_str("[")?;
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            formatter.write_str(",")?;
        }
        show(item, formatter)?;
    }
    formatter.write_str("]")
}

/// The shorter of both notations, each with a point.
fn float(value: f64) -> String {
    let with_point = |digits: String| {
        let point = if digits.contains('.') { "" } else { ".0" };
        digits + point
    };
    let plain = with_point(value.to_string());
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        // Not a number, or infinite: no term, and not on the wire of RabbitMQ either.
        return scientific;
    };
    let scientific = format!("{}e{exponent}", with_point(digits.to_owned()));
    if value.abs() < WHOLE_MAX && plain.len() <= scientific.len() {
        plain
    } else {
        scientific
    }
}

/// A string where the bytes are text, in UTF-8 or else in Latin-1, and numbers where they are not.
fn binary(bytes: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let latin = || bytes.iter().copied().map(char::from);
    match std::str::from_utf8(bytes) {
        Ok("") => formatter.write_str("<<>>"),
        Ok(text) if text.chars().all(is_printable) => {
            let suffix = if text.is_ascii() { "" } else { "/utf8" };
            write!(formatter, "<<\"{}\"{suffix}>>", escaped(text.chars()))
        }
        _ if latin().all(is_printable) => write!(formatter, "<<\"{}\">>", escaped(latin())),
        _ => {
            let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
            write!(formatter, "<<{}>>", numbers.join(","))
        }
    }
}

/// Backspace, tabulators and line breaks of all kinds, and escape are.
fn is_printable(letter: char) -> bool {
    matches!(letter, '\u{8}'..='\r' | '\u{1b}' | ' '..='~' | '\u{a0}'..)
}

fn escaped(text: impl Iterator<Item = char>) -> String {
    let mut shown = String::new();
    for letter in text {
        let escape = match letter {
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\u{1b}' => 'e',
            '"' | '\\' => letter,
            _ => {
                shown.push(letter);
                continue;
            }
        };
        shown.extend(['\\', escape]);
    }
    shown
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::Decimal;

    #[rstest]
    #[case(5.0, "5.0")]
    #[case(0.0, "0.0")]
    #[case(-2.5, "-2.5")]
    #[case(100.0, "100.0")]
    #[case(1000.0, "1.0e3")]
    #[case(123_456.0, "123456.0")]
    #[case(120_000.0, "1.2e5")]
    #[case(0.0001, "0.0001")]
    #[case(0.000_12, "1.2e-4")]
    #[case(9_007_199_254_740_991.0, "9007199254740991.0")]
    #[case(9_007_199_254_740_992.0, "9.007199254740992e15")]
    #[case(1.5e300, "1.5e300")]
    fn a_double_has_a_point_and_the_shorter_notation(#[case] value: f64, #[case] shown: &str) {
        assert_eq!(Term(&Value::F64(value)).to_string(), shown);
    }

    #[test]
    fn a_float_is_shown_as_the_double_that_it_becomes() {
        assert_eq!(Term(&Value::F32(0.1)).to_string(), "0.10000000149011612");
    }

    #[rstest]
    #[case(b"", "<<>>")]
    #[case(b"what's \"this\"\\\n", r#"<<"what's \"this\"\\\n">>"#)]
    #[case("\u{e4}".as_bytes(), "<<\"\u{e4}\"/utf8>>")]
    #[case(b"\xe4", "<<\"\u{e4}\">>")]
    #[case(b"\xff\x01", "<<255,1>>")]
    fn bytes_are_text_where_they_can_be(#[case] bytes: &[u8], #[case] shown: &str) {
        assert_eq!(Term(&Value::str(bytes)).to_string(), shown);
    }

    #[test]
    fn what_is_inside_an_array_or_a_table_says_its_type() {
        let price = Decimal {
            scale: 2,
            unscaled: 314,
        };
        let array = Value::Array(vec![
            Value::I32(1),
            Value::Bytes(Box::from(*b"a")),
            Value::Decimal(price),
        ]);
        let table = [("k", array), ("l", Value::Void)].into_iter().collect();
        assert_eq!(
            Term(&Value::Table(table)).to_string(),
            r#"[{<<"k">>,array,[{signedint,1},{binary,<<"a">>},{decimal,{2,314}}]},{<<"l">>,void,undefined}]"#
        );
    }
}
