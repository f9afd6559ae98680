//! Message properties as flags.

use anyhow::{Context, bail};
use clap::Args;
use logpond_amqp::{PropertyList, ShortStr, TableWriter};
use serde_json::{Map, Value};

use crate::field_json;

/// Message properties.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Properties")]
pub struct PropertyArgs {
    /// MIME type of the body.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// MIME encoding of the body.
    #[arg(long, value_name = "ENCODING")]
    content_encoding: Option<String>,
    /// Keep the message over a restart, in a durable queue.
    #[arg(long, short)]
    persistent: bool,
    /// A header that is a text; may be given several times.
    #[arg(long = "header", short = 'H', value_name = "KEY=TEXT")]
    headers: Vec<String>,
    /// Headers of any type, as a JSON object.
    #[arg(long, value_name = "OBJECT")]
    headers_json: Option<String>,
    /// From 0 to 255; matters in priority queues.
    #[arg(long, value_name = "N")]
    priority: Option<u8>,
    /// To which request this answers.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Where answers go.
    #[arg(long, value_name = "QUEUE")]
    reply_to: Option<String>,
    /// Milliseconds until the message expires.
    #[arg(long, value_name = "MS")]
    expiration: Option<u64>,
    /// Your own id of the message.
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Seconds since 1970.
    #[arg(long, value_name = "SECONDS")]
    timestamp: Option<u64>,
    /// Your own name for this kind of message.
    #[arg(long = "type", value_name = "NAME")]
    kind: Option<String>,
    /// Must be the login name.
    #[arg(long, value_name = "NAME")]
    user_id: Option<String>,
    /// Name of the publishing program.
    #[arg(long, value_name = "NAME")]
    app_id: Option<String>,
}

impl PropertyArgs {
    /// Appends flags and list as they go on the wire.
    pub fn encode(&self, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let object = self.header_object()?;
        let mut header_bytes = Vec::new();
        let mut writer = TableWriter::new(&mut header_bytes);
        field_json::write(&mut writer, &object).context("a header's name is too long")?;
        let headers = writer.finish().context("the headers are too large")?;
        let expiration = self.expiration.map(|milliseconds| milliseconds.to_string());
        let list = PropertyList {
            content_type: short("--content-type", &self.content_type)?,
            content_encoding: short("--content-encoding", &self.content_encoding)?,
            headers: (!headers.is_empty()).then_some(headers),
            delivery_mode: self.persistent.then_some(2),
            priority: self.priority,
            correlation_id: short("--correlation-id", &self.correlation_id)?,
            reply_to: short("--reply-to", &self.reply_to)?,
            expiration: short("--expiration", &expiration)?,
            message_id: short("--message-id", &self.message_id)?,
            timestamp: self.timestamp,
            kind: short("--type", &self.kind)?,
            user_id: short("--user-id", &self.user_id)?,
            app_id: short("--app-id", &self.app_id)?,
            cluster_id: None,
        };
        list.encode(out);
        Ok(())
    }

    /// The JSON object, and the texts over it.
    fn header_object(&self) -> anyhow::Result<Map<String, Value>> {
        let mut object = match &self.headers_json {
            None => Map::new(),
            Some(text) => match serde_json::from_str(text).context("--headers-json")? {
                Value::Object(object) => object,
                _ => bail!("--headers-json must be a JSON object"),
            },
        };
        for header in &self.headers {
            let (key, text) = header
                .split_once('=')
                .with_context(|| format!("--header {header:?} lacks a ="))?;
            object.insert(key.to_owned(), text.into());
        }
        Ok(object)
    }
}

fn short<'a>(flag: &str, text: &'a Option<String>) -> anyhow::Result<Option<ShortStr<'a>>> {
    let short = text.as_deref().map(ShortStr::try_from).transpose();
    short.with_context(|| flag.to_owned())
}

#[cfg(test)]
mod tests {
    use logpond_amqp::{Properties, Value};

    use super::PropertyArgs;

    #[test]
    fn flags_become_properties_and_headers_have_their_types() {
        let args = PropertyArgs {
            persistent: true,
            content_type: Some("text/plain".to_owned()),
            headers: vec!["name=a=b".to_owned()],
            headers_json: Some(r#"{"count": 3}"#.to_owned()),
            expiration: Some(60_000),
            ..PropertyArgs::default()
        };
        let mut raw = Vec::new();
        args.encode(&mut raw).unwrap();
        let list = Properties::parse(&raw).unwrap().decode().unwrap();
        assert_eq!(
            (list.delivery_mode, list.expiration.unwrap().as_bytes()),
            (Some(2), b"60000".as_slice())
        );
        let headers = list.headers.unwrap();
        assert_eq!(headers.get(b"name"), Some(Value::LongString(b"a=b")));
        assert_eq!(headers.get(b"count"), Some(Value::I64(3)));
    }

    #[test]
    fn without_flags_there_are_no_properties() {
        let mut raw = Vec::new();
        PropertyArgs::default().encode(&mut raw).unwrap();
        assert_eq!(raw, [0, 0]);
    }

    #[test]
    fn a_text_that_is_too_long_is_named_by_its_flag() {
        let args = PropertyArgs {
            reply_to: Some("x".repeat(256)),
            ..PropertyArgs::default()
        };
        assert_eq!(
            args.encode(&mut Vec::new()).unwrap_err().to_string(),
            "--reply-to"
        );
    }
}
