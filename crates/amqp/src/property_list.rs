//! A property list as fields, to be built or changed and written.

use crate::properties::flag;
use crate::short_str::ShortStr;
use crate::table::Table;

/// Every property of class `basic`; what is `None` is not written.
//= amqp-0-9-1 basic properties
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PropertyList<'a> {
    /// MIME type of the body.
    pub content_type: Option<ShortStr<'a>>,
    /// MIME encoding of the body.
    pub content_encoding: Option<ShortStr<'a>>,
    /// Anything that the publisher wants to say.
    pub headers: Option<Table<'a>>,
    /// 1 is transient, 2 persistent.
    pub delivery_mode: Option<u8>,
    /// Higher goes first, in queues that have priorities.
    pub priority: Option<u8>,
    /// To which request this answers.
    pub correlation_id: Option<ShortStr<'a>>,
    /// Where answers go.
    pub reply_to: Option<ShortStr<'a>>,
    /// Milliseconds to live, in decimal digits.
    pub expiration: Option<ShortStr<'a>>,
    /// The publisher's own id.
    pub message_id: Option<ShortStr<'a>>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// The publisher's name for this kind of message; `type` on the wire.
    pub kind: Option<ShortStr<'a>>,
    /// Who published; checked by the server.
    pub user_id: Option<ShortStr<'a>>,
    /// Which program published.
    pub app_id: Option<ShortStr<'a>>,
    /// Left over from older versions.
    pub cluster_id: Option<ShortStr<'a>>,
}

impl<'a> PropertyList<'a> {
    /// Appends flags and list.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0, 0]);
        let mut flags = 0;
        for (flag, text) in [
            (flag::CONTENT_TYPE, self.content_type),
            (flag::CONTENT_ENCODING, self.content_encoding),
        ] {
            flags |= write_text(out, flag, text);
        }
        if let Some(headers) = self.headers {
            flags |= flag::HEADERS;
            let len = u32::try_from(headers.as_bytes().len()).expect("a table is below 4 GiB");
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(headers.as_bytes());
        }
        for (flag, octet) in [
            (flag::DELIVERY_MODE, self.delivery_mode),
            (flag::PRIORITY, self.priority),
        ] {
            flags |= octet.map_or(0, |octet| {
                out.push(octet);
                flag
            });
        }
        for (flag, text) in [
            (flag::CORRELATION_ID, self.correlation_id),
            (flag::REPLY_TO, self.reply_to),
            (flag::EXPIRATION, self.expiration),
            (flag::MESSAGE_ID, self.message_id),
        ] {
            flags |= write_text(out, flag, text);
        }
        if let Some(seconds) = self.timestamp {
            flags |= flag::TIMESTAMP;
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        for (flag, text) in [
            (flag::KIND, self.kind),
            (flag::USER_ID, self.user_id),
            (flag::APP_ID, self.app_id),
            (flag::CLUSTER_ID, self.cluster_id),
        ] {
            flags |= write_text(out, flag, text);
        }
        out[at..at + 2].copy_from_slice(&flags.to_be_bytes());
    }

    pub(crate) fn set_text(&mut self, flag: u16, text: ShortStr<'a>) {
        let field = match flag {
            flag::CONTENT_TYPE => &mut self.content_type,
            flag::CONTENT_ENCODING => &mut self.content_encoding,
            flag::CORRELATION_ID => &mut self.correlation_id,
            flag::REPLY_TO => &mut self.reply_to,
            flag::EXPIRATION => &mut self.expiration,
            flag::MESSAGE_ID => &mut self.message_id,
            flag::KIND => &mut self.kind,
            flag::USER_ID => &mut self.user_id,
            flag::APP_ID => &mut self.app_id,
            flag::CLUSTER_ID => &mut self.cluster_id,
            _ => unreachable!("every other flag has its own kind of value"),
        };
        *field = Some(text);
    }
}

fn write_text(out: &mut Vec<u8>, flag: u16, text: Option<ShortStr<'_>>) -> u16 {
    let Some(text) = text else { return 0 };
    out.push(text.len_octet());
    out.extend_from_slice(text.as_bytes());
    flag
}
