//! `logpond consume`: prints messages of a queue of any AMQP broker, and settles them once they are written.
//!
//! Invariants:
//! - A message is acknowledged only after its output was flushed; what was not written goes back to the queue. Nothing is taken with
//!   no-ack: the broker would forget what it sends ahead, of which the end of this process may print nothing.
//! - Nothing else is printed on standard output, so that it can be piped.
//!
//! Elsewhere: how a message looks (`printer`).

mod printer;

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use logpond_amqp::method::basic;
use logpond_amqp::{Method, Properties, ShortStr, Table, TableWriter, encode_ack, encode_nack};
use serde_json::Value;

use crate::client::{CHANNEL, Client, ClientError, Event, Receiver, Url, connect};
use crate::{exit, field_json};

use printer::{Printed, Printer};

/// Print messages of a queue of any AMQP broker, and acknowledge them once they are printed.
#[derive(Debug, Args)]
#[command(after_help = exit::CLIENT_CODES)]
pub struct ConsumeArgs {
    /// The broker: amqp://user:password@host:port/vhost
    #[arg(long, default_value = "amqp://guest:guest@localhost:5672/")]
    url: Url,
    /// The queue.
    #[arg(long, short, value_name = "NAME")]
    queue: String,
    /// Declare the queue, durable, before.
    #[arg(long)]
    declare: bool,
    /// Stop after so many messages; without it, go on for ever.
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// Stop when no message came for so long.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// What happens to a message after it was printed.
    #[arg(long, default_value = "manual", value_name = "HOW")]
    ack: AckMode,
    /// Most messages that the broker sends ahead; 0 is no limit.
    #[arg(long, default_value_t = 100, value_name = "N")]
    prefetch: u16,
    /// Nobody else may consume from the queue meanwhile.
    #[arg(long)]
    exclusive: bool,
    /// The consumer's name; without it, the broker chooses one.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TAG")]
    consumer_tag: String,
    /// Arguments of the consumer, as a JSON object.
    #[arg(long, value_name = "OBJECT")]
    arguments: Option<String>,
    /// How a message is printed.
    #[arg(long, default_value = "text", value_name = "FORM")]
    output: Output,
}

/// What happens to a message after it was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AckMode {
    /// It is acknowledged.
    Manual,
    /// As manual: what was sent ahead and not printed is not lost.
    Auto,
    /// It goes back to its place in the queue, at the end; needs --count.
    Requeue,
    /// It is rejected: dropped, or dead-lettered if the queue has somewhere to.
    Reject,
}

/// How a message is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// The body and a line break.
    Text,
    /// One JSON object in each line, with properties.
    Json,
    /// The body alone.
    Raw,
}

/// Consumes; the code says whether as many messages came as were asked for.
pub fn run(args: &ConsumeArgs) -> anyhow::Result<ExitCode> {
    let mut argument_bytes = Vec::new();
    let subscription = Subscription::of(args, &mut argument_bytes).map_err(exit::wrong_usage)?;
    let mut client = connect(&args.url)?;
    if args.count != Some(0) {
        subscription.start(args.declare, &mut client)?;
    }
    let mut receiver = client.into_receiver();
    let mut printer = Printer::new(args.output, io::stdout().lock());
    let mut settled = Settling::new(args.ack);
    let printed = receive(
        args,
        subscription.timeout,
        &mut receiver,
        &mut printer,
        &mut settled,
    )?;
    settled.finish(&receiver)?;
    receiver.close()?;
    let short_of_count = args.count.is_some_and(|count| printed < count) && !printer.is_closed();
    Ok(if short_of_count {
        exit::too_few()
    } else {
        ExitCode::SUCCESS
    })
}

/// What the command line asks of the broker, in the broker's words.
struct Subscription<'a> {
    prefetch: u16,
    timeout: Option<Duration>,
    consume: basic::Consume<'a>,
}

impl<'a> Subscription<'a> {
    fn of(args: &'a ConsumeArgs, argument_bytes: &'a mut Vec<u8>) -> anyhow::Result<Self> {
        let timeout = args.timeout.map(Duration::try_from_secs_f64).transpose();
        Ok(Self {
            prefetch: prefetch(args)?,
            timeout: timeout.context("--timeout")?,
            consume: basic::Consume {
                queue: ShortStr::try_from(args.queue.as_str()).context("--queue")?,
                consumer_tag: ShortStr::try_from(args.consumer_tag.as_str()).context("--consumer-tag")?,
                no_local: false,
                no_ack: false,
                exclusive: args.exclusive,
                no_wait: false,
                arguments: arguments(args.arguments.as_deref(), argument_bytes)?,
            },
        })
    }

    fn start(&self, declare: bool, client: &mut Client) -> anyhow::Result<()> {
        if declare {
            client.declare_queue(self.consume.queue)?;
        }
        let qos = basic::Qos {
            prefetch_size: 0,
            prefetch_count: self.prefetch,
            global: false,
        };
        client.ask(CHANNEL, qos.into(), |method| {
            matches!(method, Method::BasicQosOk(_))
        })?;
        client.ask(CHANNEL, self.consume.into(), |method| {
            matches!(method, Method::BasicConsumeOk(_))
        })?;
        Ok(())
    }
}

/// Messages that go back at the end are all held until then.
fn prefetch(args: &ConsumeArgs) -> anyhow::Result<u16> {
    match (args.ack, args.count) {
        (AckMode::Requeue, None) => {
            bail!("--ack requeue needs --count, or the same messages came again and again")
        }
        (AckMode::Requeue, Some(count)) => {
            u16::try_from(count).context("--ack requeue holds at most 65535 messages")
        }
        // More than what is wanted would only be sent to be given back.
        (_, Some(count)) => Ok(
            u16::try_from(count).map_or(args.prefetch, |count| match args.prefetch {
                0 => count,
                prefetch => prefetch.min(count),
            }),
        ),
        (_, None) => Ok(args.prefetch),
    }
}

fn arguments<'a>(text: Option<&str>, out: &'a mut Vec<u8>) -> anyhow::Result<Table<'a>> {
    let Some(text) = text else { return Ok(Table::EMPTY) };
    let Value::Object(object) = serde_json::from_str(text).context("--arguments")? else {
        bail!("--arguments must be a JSON object");
    };
    let mut writer = TableWriter::new(out);
    field_json::write(&mut writer, &object).context("--arguments")?;
    writer.finish().context("--arguments")
}

/// Prints and settles until enough came, nothing comes any more, or nobody reads what is printed.
fn receive(
    args: &ConsumeArgs,
    timeout: Option<Duration>,
    receiver: &mut Receiver,
    printer: &mut Printer<impl io::Write>,
    settling: &mut Settling,
) -> anyhow::Result<u64> {
    let mut printed = 0;
    let mut deadline = deadline_after(timeout);
    while args.count.is_none_or(|count| printed < count) {
        match receiver.next(deadline)? {
            Event::Deadline => break,
            Event::Content {
                method: Method::BasicDeliver(delivery),
                raw_properties,
                body,
            } => {
                let properties = Properties::parse(raw_properties).map_err(ClientError::from)?;
                if printer.print(&delivery, &properties, body)? == Printed::NobodyReads {
                    break;
                }
                printed += 1;
                settling.printed(delivery.delivery_tag);
                deadline = deadline_after(timeout);
            }
            Event::Method(_) | Event::Content { .. } => {}
        }
        if settling.is_due() || !receiver.has_more() {
            if printer.flush()? == Printed::NobodyReads {
                break;
            }
            settling.flushed(receiver)?;
        }
    }
    if printer.flush()? == Printed::Yes {
        settling.flushed(receiver)?;
    }
    Ok(printed)
}

/// None for a time that no clock reaches, either.
fn deadline_after(timeout: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(timeout?)
}

/// Deliveries that were printed and not yet settled.
struct Settling {
    mode: AckMode,
    last_printed: u64,
    last_flushed: u64,
    open: u32,
}

/// Printed messages after which the broker hears of them, even if more are waiting.
const SETTLE_EVERY: u32 = 64;

impl Settling {
    fn new(mode: AckMode) -> Self {
        Self {
            mode,
            last_printed: 0,
            last_flushed: 0,
            open: 0,
        }
    }

    fn printed(&mut self, tag: u64) {
        self.last_printed = tag;
        self.open += 1;
    }

    fn is_due(&self) -> bool {
        self.open >= SETTLE_EVERY
    }

    /// Everything printed was flushed: settles it.
    fn flushed(&mut self, receiver: &Receiver) -> Result<(), ClientError> {
        if std::mem::take(&mut self.open) == 0 {
            return Ok(());
        }
        self.last_flushed = self.last_printed;
        let mut frame = Vec::new();
        match self.mode {
            AckMode::Manual | AckMode::Auto => encode_ack(&mut frame, CHANNEL, self.last_flushed, true),
            AckMode::Reject => encode_nack(&mut frame, CHANNEL, self.last_flushed, true, false),
            AckMode::Requeue => return Ok(()),
        }
        receiver.sender().send(&frame)
    }

    /// Gives back what only wanted to be seen.
    fn finish(&self, receiver: &Receiver) -> Result<(), ClientError> {
        if self.mode != AckMode::Requeue || self.last_flushed == 0 {
            return Ok(());
        }
        let mut frame = Vec::new();
        encode_nack(&mut frame, CHANNEL, self.last_flushed, true, true);
        receiver.sender().send(&frame)
    }
}
