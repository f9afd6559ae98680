//! What the broker reads of a message's AMQP properties: one pass over the raw flags and list.
//!
//! Invariant: every length is checked before it is followed; malformed bytes are an error, never a panic.
//!
//! Elsewhere: values of a header table (`table`).

use logpond_routing::MessageProperty;

use crate::table;

/// The properties that decide something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Properties<'a> {
    /// The header table's fields, without its length.
    pub headers: Option<&'a [u8]>,
    /// Where they begin; their length stands in the four bytes in front.
    headers_at: usize,
    /// 2 for persistent.
    pub delivery_mode: Option<u8>,
    /// As sent.
    pub priority: Option<u8>,
    /// Where replies are expected.
    pub reply_to: Option<&'a [u8]>,
    /// Where that begins; its length stands in the byte in front.
    reply_to_at: usize,
    /// Milliseconds, as text.
    pub expiration: Option<&'a [u8]>,
    /// Who claims to have sent it.
    pub user_id: Option<&'a [u8]>,
}

/// The bytes are no property list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const KIND: u16 = 1 << 5;
const USER_ID: u16 = 1 << 4;
const APP_ID: u16 = 1 << 3;
const CLUSTER_ID: u16 = 1 << 2;
/// A further word of flags follows.
const MORE_FLAGS: u16 = 1;

impl<'a> Properties<'a> {
    /// Reads flags and list, which must end together with `raw`.
    pub(crate) fn parse(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor(raw);
        let flags = cursor.flags()?;
        let mut found = Self::default();
        cursor.skip_string_if(flags & CONTENT_TYPE != 0)?;
        cursor.skip_string_if(flags & CONTENT_ENCODING != 0)?;
        if flags & HEADERS != 0 {
            let headers = cursor.long_string()?;
            found.headers_at = raw.len() - cursor.0.len() - headers.len();
            found.headers = Some(headers);
        }
        if flags & DELIVERY_MODE != 0 {
            found.delivery_mode = Some(cursor.octet()?);
        }
        if flags & PRIORITY != 0 {
            found.priority = Some(cursor.octet()?);
        }
        cursor.skip_string_if(flags & CORRELATION_ID != 0)?;
        if flags & REPLY_TO != 0 {
            let reply_to = cursor.short_string()?;
            found.reply_to_at = raw.len() - cursor.0.len() - reply_to.len();
            found.reply_to = Some(reply_to);
        }
        if flags & EXPIRATION != 0 {
            found.expiration = Some(cursor.short_string()?);
        }
        cursor.skip_string_if(flags & MESSAGE_ID != 0)?;
        if flags & TIMESTAMP != 0 {
            cursor.take(8)?;
        }
        cursor.skip_string_if(flags & KIND != 0)?;
        if flags & USER_ID != 0 {
            found.user_id = Some(cursor.short_string()?);
        }
        cursor.skip_string_if(flags & APP_ID != 0)?;
        cursor.skip_string_if(flags & CLUSTER_ID != 0)?;
        if cursor.0.is_empty() {
            Ok(found)
        } else {
            Err(Malformed)
        }
    }

    /// `raw`, of which these are the properties, with other headers in place of those that it has.
    pub(crate) fn with_headers(&self, raw: &[u8], headers: &[u8]) -> Vec<u8> {
        let Some(before) = self.headers else {
            return raw.to_vec();
        };
        let len = u32::try_from(headers.len()).expect("headers are shorter than a frame");
        let (front, back) = (
            &raw[..self.headers_at - 4],
            &raw[self.headers_at + before.len()..],
        );
        [front, &len.to_be_bytes(), headers, back].concat()
    }

    /// `raw`, of which these are the properties, with another `reply-to` in place of the one that it has.
    pub(crate) fn with_reply_to(&self, raw: &[u8], reply_to: &str) -> Vec<u8> {
        let Some(before) = self.reply_to else {
            return raw.to_vec();
        };
        let len = u8::try_from(reply_to.len()).expect("names of consumers of replies are short");
        let (front, back) = (
            &raw[..self.reply_to_at - 1],
            &raw[self.reply_to_at + before.len()..],
        );
        [front, &[len], reply_to.as_bytes(), back].concat()
    }

    /// Whether the client asked for persistence.
    pub(crate) fn is_persistent(&self) -> bool {
        self.delivery_mode == Some(2)
    }
}

/// `raw` with one more header, in place of one of the same name. What is no property list stays as it is.
pub(crate) fn with_long_header(raw: &[u8], name: &[u8], value: i64) -> Vec<u8> {
    let Ok(properties) = Properties::parse(raw) else {
        return raw.to_vec();
    };
    if let Some(headers) = properties.headers {
        return properties.with_headers(raw, &table::with_long(headers, name, value));
    }
    let headers = table::with_long(&[], name, value);
    let len = u32::try_from(headers.len()).expect("one header is short");
    let mut cursor = Cursor(raw);
    let flags = cursor.flags().unwrap_or_default();
    let list_at = raw.len() - cursor.0.len();
    // Only these two stand before the headers.
    for flag in [CONTENT_TYPE, CONTENT_ENCODING] {
        if cursor.skip_string_if(flags & flag != 0).is_err() {
            return raw.to_vec();
        }
    }
    let headers_at = raw.len() - cursor.0.len();
    [
        &(flags | HEADERS).to_be_bytes(),
        &raw[2..list_at],
        &raw[list_at..headers_at],
        &len.to_be_bytes(),
        &headers,
        &raw[headers_at..],
    ]
    .concat()
}

/// `raw` with these headers and without an expiration. What is no property list stays as it is.
pub(crate) fn as_dead_letter(raw: &[u8], headers: &[u8]) -> Vec<u8> {
    rewritten(raw, headers).unwrap_or_else(|_| raw.to_vec())
}

fn rewritten(raw: &[u8], headers: &[u8]) -> Result<Vec<u8>, Malformed> {
    let len = u32::try_from(headers.len()).map_err(|_| Malformed)?;
    let mut cursor = Cursor(raw);
    let flags = cursor.flags()?;
    let list = cursor.0;
    // Only these two stand before the headers.
    cursor.skip_string_if(flags & CONTENT_TYPE != 0)?;
    cursor.skip_string_if(flags & CONTENT_ENCODING != 0)?;
    let front = &list[..list.len() - cursor.0.len()];
    if flags & HEADERS != 0 {
        cursor.long_string()?;
    }
    let middle = cursor.0;
    for octet in [DELIVERY_MODE, PRIORITY] {
        if flags & octet != 0 {
            cursor.octet()?;
        }
    }
    cursor.skip_string_if(flags & CORRELATION_ID != 0)?;
    cursor.skip_string_if(flags & REPLY_TO != 0)?;
    let middle = &middle[..middle.len() - cursor.0.len()];
    cursor.skip_string_if(flags & EXPIRATION != 0)?;
    let flags = (flags | HEADERS) & !EXPIRATION;
    let more_flags = &raw[2..raw.len() - list.len()];
    Ok([
        &flags.to_be_bytes()[..],
        more_flags,
        front,
        &len.to_be_bytes(),
        headers,
        middle,
        cursor.0,
    ]
    .concat())
}

/// The bytes of a property that exchanges may hash.
pub(crate) fn hashed(raw: &[u8], property: MessageProperty) -> Option<Vec<u8>> {
    let wanted = match property {
        MessageProperty::CorrelationId => CORRELATION_ID,
        MessageProperty::MessageId => MESSAGE_ID,
        MessageProperty::Timestamp => TIMESTAMP,
    };
    let mut cursor = Cursor(raw);
    let flags = cursor.flags().ok()?;
    if flags & wanted == 0 {
        return None;
    }
    for before in [
        CONTENT_TYPE,
        CONTENT_ENCODING,
        HEADERS,
        DELIVERY_MODE,
        PRIORITY,
        CORRELATION_ID,
    ]
    .into_iter()
    .chain([REPLY_TO, EXPIRATION, MESSAGE_ID, TIMESTAMP])
    .filter(|flag| flags & flag != 0)
    {
        let value = match before {
            HEADERS => cursor.long_string(),
            DELIVERY_MODE | PRIORITY => cursor.take(1),
            TIMESTAMP => cursor.take(8),
            _ => cursor.short_string(),
        };
        if before == wanted {
            return value.ok().map(<[u8]>::to_vec);
        }
        value.ok()?;
    }
    None
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn octet(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn flags(&mut self) -> Result<u16, Malformed> {
        let first = self.flag_word()?;
        let mut word = first;
        while word & MORE_FLAGS != 0 {
            word = self.flag_word()?;
        }
        Ok(first)
    }

    fn flag_word(&mut self) -> Result<u16, Malformed> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn short_string(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::from(self.octet()?);
        self.take(len)
    }

    fn skip_string_if(&mut self, present: bool) -> Result<(), Malformed> {
        if present {
            self.short_string()?;
        }
        Ok(())
    }

    fn long_string(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.take(4)?;
        let len = u32::from_be_bytes([len[0], len[1], len[2], len[3]]);
        self.take(usize::try_from(len).map_err(|_| Malformed)?)
    }
}

/// The milliseconds of an `expiration` property that is valid.
pub(crate) fn expiration_ms(expiration: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(expiration).ok()?;
    u64::try_from(text.parse::<i64>().ok()?).ok()
}

/// Why an `expiration` property is refused, in RabbitMQ's words; `None` if it is a valid one.
pub(crate) fn expiration_problem(expiration: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(expiration);
    let problem = number_problem(&text)?;
    Some(format!("invalid expiration '{text}': {problem}"))
}

/// What is wrong with a number of milliseconds.
fn number_problem(text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_negative = text.starts_with('-');
    let rest = unsigned.trim_start_matches(|char: char| char.is_ascii_digit());
    let digits = &unsigned[..unsigned.len() - rest.len()];
    if digits.is_empty() {
        return Some("no_integer".to_owned());
    }
    if !rest.is_empty() {
        return Some(format!("{{leftover_string,{rest:?}}}"));
    }
    // As a number is printed; there may be more digits than any of our numbers has.
    let number = digits.trim_start_matches('0');
    match number.parse::<i64>() {
        Err(_) if number.is_empty() => None,
        _ if is_negative => Some(format!("{{value_negative,-{number}}}")),
        Ok(value) if value <= MILLISECONDS_MAX => None,
        _ => Some(format!("{{value_too_large,{number}}}")),
    }
}

/// The longest time that RabbitMQ takes: ten years.
pub(crate) const MILLISECONDS_MAX: i64 = 10 * 365 * 24 * 3600 * 1000;

#[cfg(test)]
mod tests;
