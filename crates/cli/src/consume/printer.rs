//! Prints deliveries.
//!
//! Invariants:
//! - Once nobody reads the output, nothing more is written, and that is no error: `logpond consume | head` ends well.

use std::io::{self, BufWriter, Write};

use logpond_amqp::Properties;
use logpond_amqp::method::basic;
use serde_json::json;

use super::Output;
use crate::field_json;
use crate::results::unwritable;

/// Writes deliveries in one form.
pub struct Printer<W: Write> {
    output: Output,
    writer: BufWriter<W>,
    closed: bool,
}

/// Whether what was printed can still be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Printed {
    /// As far as we know.
    Yes,
    /// The reading end is closed.
    NobodyReads,
}

impl<W: Write> Printer<W> {
    /// Prints to `writer`.
    pub fn new(output: Output, writer: W) -> Self {
        Self {
            output,
            writer: BufWriter::with_capacity(64 << 10, writer),
            closed: false,
        }
    }

    /// Prints one delivery, which may stay in the buffer.
    pub fn print(
        &mut self,
        delivery: &basic::Deliver<'_>,
        properties: &Properties<'_>,
        body: &[u8],
    ) -> io::Result<Printed> {
        let written = match self.output {
            Output::Raw => self.writer.write_all(body),
            Output::Text => self
                .writer
                .write_all(body)
                .and_then(|()| self.writer.write_all(b"\n")),
            Output::Json => writeln!(self.writer, "{}", object(delivery, properties, body)),
        };
        self.judge(written)
    }

    /// Makes everything printed leave the process.
    pub fn flush(&mut self) -> io::Result<Printed> {
        let flushed = if self.closed { Ok(()) } else { self.writer.flush() };
        self.judge(flushed)
    }

    /// Whether the reading end was closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn judge(&mut self, outcome: io::Result<()>) -> io::Result<Printed> {
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.closed = true,
            Err(error) => return Err(unwritable(&error)),
            Ok(()) => {}
        }
        Ok(if self.closed {
            Printed::NobodyReads
        } else {
            Printed::Yes
        })
    }
}

fn object(delivery: &basic::Deliver<'_>, properties: &Properties<'_>, body: &[u8]) -> serde_json::Value {
    // A broker that passes on broken headers still has a body to show.
    let properties = properties
        .decode()
        .map_or(serde_json::Value::Null, |list| field_json::properties(&list));
    json!({
        "exchange": field_json::text(delivery.exchange.as_bytes()),
        "routing_key": field_json::text(delivery.routing_key.as_bytes()),
        "consumer_tag": field_json::text(delivery.consumer_tag.as_bytes()),
        "delivery_tag": delivery.delivery_tag,
        "redelivered": delivery.redelivered,
        "properties": properties,
        "body": field_json::text(body),
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use logpond_amqp::method::basic;
    use logpond_amqp::{Properties, ShortStr};

    use super::{Output, Printed, Printer};

    fn printed(output: Output, body: &[u8]) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(output, &mut out);
        printer
            .print(&delivery(), &Properties::parse(&[0x10, 0, 2]).unwrap(), body)
            .unwrap();
        printer.flush().unwrap();
        drop(printer);
        String::from_utf8(out).unwrap()
    }

    fn delivery() -> basic::Deliver<'static> {
        basic::Deliver {
            consumer_tag: ShortStr::truncated("c"),
            delivery_tag: 7,
            redelivered: true,
            exchange: ShortStr::EMPTY,
            routing_key: ShortStr::truncated("hello"),
        }
    }

    struct Closed;

    impl io::Write for Closed {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_form_shows_the_body_in_its_way() {
        assert_eq!(printed(Output::Text, b"hi"), "hi\n");
        assert_eq!(printed(Output::Raw, b"hi"), "hi");
        let object: serde_json::Value = serde_json::from_str(&printed(Output::Json, b"hi")).unwrap();
        assert_eq!(
            (&object["body"], &object["delivery_tag"]),
            (&"hi".into(), &7.into())
        );
        assert_eq!(object["properties"]["delivery_mode"], 2);
    }

    #[test]
    fn a_closed_pipe_ends_printing_without_an_error() {
        let mut printer = Printer::new(Output::Text, Closed);
        printer.print(&delivery(), &Properties::EMPTY, b"hi").unwrap();
        assert_eq!(printer.flush().unwrap(), Printed::NobodyReads);
        assert!(printer.is_closed());
    }
}
