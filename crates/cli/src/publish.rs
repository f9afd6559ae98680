//! `logpond publish`: sends messages to any AMQP broker and waits until it has taken them.
//!
//! Invariants:
//! - Exit code 0 only if the broker confirmed every message (or, without confirms, read everything and closed in order).
//! - At most `--in-flight` messages are sent and not confirmed.
//!
//! Elsewhere: where bodies come from (`input`), properties (`properties`), what is outstanding (`window`).

mod input;
mod properties;
mod report;
mod window;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use logpond_amqp::method::basic;
use logpond_amqp::{Method, ShortStr, encode_content};

use crate::client::{CHANNEL, ClientError, Event, Receiver, Sender, Url, connect};
use crate::exit;

use input::Input;
use properties::PropertyArgs;
use report::Report;
use window::{Tally, Window};

/// Octets of frames that are gathered before they are written.
const BATCH_BYTES: usize = 64 << 10;

/// Send messages to any AMQP broker, and wait for its confirms.
///
/// Bodies come from --body, from files (each one message, or each line with --lines), or else from the lines of
/// standard input.
#[derive(Debug, Args)]
#[command(after_help = exit::CLIENT_CODES)]
pub struct PublishArgs {
    /// The broker: amqp://user:password@host:port/vhost
    #[arg(long, default_value = "amqp://guest:guest@localhost:5672/")]
    url: Url,
    /// Publish to this exchange; without it, to the default exchange.
    #[arg(long, short, default_value = "", hide_default_value = true)]
    exchange: String,
    /// The routing key.
    #[arg(long, short = 'k', default_value = "", hide_default_value = true)]
    routing_key: String,
    /// Publish to this queue: the default exchange with its name as routing key.
    #[arg(long, short, conflicts_with_all = ["exchange", "routing_key"], value_name = "NAME")]
    queue: Option<String>,
    /// Declare the queue, durable, before.
    #[arg(long, requires = "queue")]
    declare: bool,
    /// The body.
    #[arg(long, short, conflicts_with = "files", value_name = "TEXT")]
    body: Option<String>,
    /// Each is the body of a message; - is standard input.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Each line of the files is a message.
    #[arg(long, conflicts_with = "body")]
    lines: bool,
    /// Publish each body so many times.
    #[arg(long, short = 'n', default_value_t = 1, value_name = "N")]
    count: u64,
    #[command(flatten)]
    properties: PropertyArgs,
    /// A message that no queue takes comes back, is reported, and counts as failed.
    #[arg(long)]
    mandatory: bool,
    /// Do not ask for confirms; then nothing says that the broker took the messages.
    #[arg(long)]
    no_confirm: bool,
    /// Most messages that are sent and not confirmed.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: u32,
    /// How the summary is printed.
    #[arg(long, default_value = "text", value_name = "FORM")]
    output: Output,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON object in each line.
    Json,
}

impl PublishArgs {
    fn method(&self) -> anyhow::Result<basic::Publish<'_>> {
        let (flag, key) = match &self.queue {
            Some(queue) => ("--queue", queue),
            None => ("--routing-key", &self.routing_key),
        };
        Ok(basic::Publish {
            exchange: ShortStr::try_from(self.exchange.as_str()).context("--exchange")?,
            routing_key: ShortStr::try_from(key.as_str()).context(flag)?,
            mandatory: self.mandatory,
            immediate: false,
        })
    }
}

/// Publishes everything; the code says whether the broker took it.
pub fn run(args: &PublishArgs) -> anyhow::Result<ExitCode> {
    let mut raw_properties = Vec::new();
    let encoded = args.properties.encode(&mut raw_properties);
    encoded.map_err(exit::wrong_usage)?;
    let publish = args.method().map_err(exit::wrong_usage)?;
    let mut input = Input::open(args.body.as_deref(), &args.files, args.lines)?;
    let mut client = connect(&args.url)?;
    if let Some(queue) = args.queue.as_deref().filter(|_| args.declare) {
        client.declare_queue(ShortStr::try_from(queue)?)?;
    }
    if !args.no_confirm {
        client.select_confirms()?;
    }
    let sender = client.sender().clone();
    let window = Arc::new(Window::new(if args.no_confirm {
        None
    } else {
        Some(args.in_flight)
    }));
    let report = Report::new(args.output);
    let listener = {
        let (window, receiver) = (Arc::clone(&window), client.into_receiver());
        std::thread::spawn(move || listen(receiver, &window, report))
    };
    let begin = Instant::now();
    let sent = send_all(
        args.count,
        &publish,
        &raw_properties,
        &mut input,
        &sender,
        &window,
    );
    let closed = sent.and_then(|()| Ok(Receiver::begin_close(&sender)?));
    if closed.is_err() {
        // The listener waits for the broker's last word, which may never come.
        window.abandon();
    } else {
        listener
            .join()
            .map_err(|_| anyhow::anyhow!("the thread that reads confirms panicked"))?;
    }
    let tally = window.tally();
    report.summary(
        &tally,
        begin.elapsed().max(Duration::from_micros(1)),
        !args.no_confirm,
    )?;
    if let Some(error) = window.failure() {
        return Err(error.into());
    }
    closed?;
    Ok(if tally.all_taken(!args.no_confirm) {
        ExitCode::SUCCESS
    } else {
        exit::not_taken()
    })
}

/// Sends all bodies and waits until none is outstanding.
fn send_all(
    count: u64,
    publish: &basic::Publish<'_>,
    raw_properties: &[u8],
    input: &mut Input,
    sender: &Sender,
    window: &Window,
) -> anyhow::Result<()> {
    let mut frames = Vec::new();
    let mut body = Vec::new();
    while input.next(&mut body)? {
        for _ in 0..count {
            if !window.try_enter() {
                flush(&mut frames, sender)?;
                if !window.enter() {
                    return Ok(());
                }
            }
            publish.encode(CHANNEL, &mut frames);
            encode_content(&mut frames, CHANNEL, raw_properties, &body, sender.frame_max());
            if frames.len() >= BATCH_BYTES {
                flush(&mut frames, sender)?;
            }
        }
        if !input.has_more() {
            flush(&mut frames, sender)?;
        }
    }
    flush(&mut frames, sender)?;
    window.wait_until_empty();
    Ok(())
}

fn flush(frames: &mut Vec<u8>, sender: &Sender) -> Result<(), ClientError> {
    if !frames.is_empty() {
        sender.send(frames)?;
        frames.clear();
    }
    Ok(())
}

/// Reads confirms and returns until the connection is closed, by either side.
fn listen(mut receiver: Receiver, window: &Window, report: Report) {
    if let Err(error) = listen_until_close(&mut receiver, window, report) {
        window.fail(error);
    }
}

fn listen_until_close(receiver: &mut Receiver, window: &Window, report: Report) -> Result<(), ClientError> {
    loop {
        match receiver.next(None)? {
            Event::Method(Method::BasicAck(ack)) => {
                window.settle(ack.delivery_tag, ack.multiple, Tally::confirm);
            }
            Event::Method(Method::BasicNack(nack)) => {
                window.settle(nack.delivery_tag, nack.multiple, Tally::nack);
            }
            Event::Method(Method::ConnectionBlocked(blocked)) => {
                report.note(&format!("blocked: {}", blocked.reason));
            }
            Event::Method(Method::ConnectionUnblocked(_)) => report.note("unblocked"),
            Event::Method(Method::ConnectionCloseOk(_)) => return Ok(()),
            Event::Method(_) | Event::Deadline => {}
            Event::Content {
                method: Method::BasicReturn(returned),
                raw_properties: _,
                body,
            } => {
                window.returned();
                report.returned(&returned, body);
            }
            Event::Content { method, .. } => {
                return Err(ClientError::Unexpected {
                    method: method.id().to_string(),
                });
            }
        }
    }
}
