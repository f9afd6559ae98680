//! What `logpond publish` says: notes on the way, and the summary.
//!
//! Invariants:
//! - In JSON each line of standard output is one object with an `event`; notes for people go to standard error.

use std::io::{self, Write};
use std::time::Duration;

use logpond_amqp::method::basic;
use serde_json::json;

use super::Output;
use super::window::Tally;
use crate::field_json;
use crate::results::{self, Results};

/// Where and how to say it.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    output: Output,
}

impl Report {
    /// Reports in this form.
    pub fn new(output: Output) -> Self {
        Self { output }
    }

    /// Says something on the way.
    pub fn note(self, text: &str) {
        results::note(text);
    }

    /// Says that a message came back.
    pub fn returned(self, returned: &basic::Return<'_>, body: &[u8]) {
        if self.output == Output::Text {
            let basic::Return {
                reply_code,
                reply_text,
                exchange,
                routing_key,
            } = returned;
            let target = format!(
                "exchange {:?}, routing key {:?}",
                exchange.to_string_lossy(),
                routing_key.to_string_lossy()
            );
            return self.note(&format!(
                "returned: {reply_code} {reply_text}: {target}, {} octets",
                body.len()
            ));
        }
        let line = json!({
            "event": "returned",
            "reply_code": returned.reply_code,
            "reply_text": field_json::text(returned.reply_text.as_bytes()),
            "exchange": field_json::text(returned.exchange.as_bytes()),
            "routing_key": field_json::text(returned.routing_key.as_bytes()),
            "body": field_json::text(body),
        });
        // The exit code still tells.
        let _ = writeln!(Results, "{line}");
    }

    /// Says how it went.
    pub fn summary(self, tally: &Tally, elapsed: Duration, with_confirms: bool) -> io::Result<()> {
        let seconds = elapsed.as_secs_f64();
        let Tally {
            published,
            confirmed,
            nacked,
            returned,
        } = *tally;
        let mut out = Results;
        if self.output == Output::Json {
            let confirmed = with_confirms.then_some(confirmed);
            let line = json!({
                "event": "summary", "published": published, "confirmed": confirmed, "nacked": nacked,
                "returned": returned, "seconds": seconds,
            });
            return writeln!(out, "{line}");
        }
        write!(out, "published {published}")?;
        if with_confirms {
            write!(out, ", confirmed {confirmed}")?;
        }
        for (count, word) in [(nacked, "nacked"), (returned, "returned")] {
            if count > 0 {
                write!(out, ", {word} {count}")?;
            }
        }
        writeln!(out, " in {seconds:.3} s")
    }
}
