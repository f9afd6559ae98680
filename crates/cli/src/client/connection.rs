//! Opens a connection with one channel, and closes it.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use logpond_amqp::method::{channel, confirm, connection, queue};
use logpond_amqp::{ChannelId, Method, PROTOCOL_HEADER, ReplyCode, ShortStr, Table, TableWriter, Value};

use super::failure::{ClientError, Scope};
use super::receiver::{Event, Receiver};
use super::sender::Sender;
use super::url::Url;

/// The one channel.
pub const CHANNEL: ChannelId = ChannelId::new(1);
/// How long the broker may take for each answer.
const ANSWER_SECONDS: u64 = 30;
/// How long a connection attempt to one address may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What we would like, if the broker does not want less.
const HEARTBEAT_SECONDS: u16 = 30;

/// A connection with one open channel.
#[derive(Debug)]
pub struct Client {
    receiver: Receiver,
}

/// Connects, logs in, enters the virtual host and opens the channel.
pub fn connect(url: &Url) -> Result<Client, ClientError> {
    let address = format!("{}:{}", url.host, url.port);
    let stream = dial(url).map_err(|source| ClientError::Unreachable {
        address: address.clone(),
        source,
    })?;
    stream.set_nodelay(true)?;
    let sender = Sender::new(stream.try_clone()?);
    let mut client = Client {
        receiver: Receiver::new(stream, sender),
    };
    client.log_in(url).map_err(|error| refusal(error, address))?;
    client.ask(CHANNEL, channel::Open.into(), |method| {
        matches!(method, Method::ChannelOpenOk(_))
    })?;
    Ok(client)
}

impl Client {
    /// Sends a method and waits for its answer.
    pub fn ask(
        &mut self,
        channel: ChannelId,
        method: Method<'_>,
        is_answer: impl Fn(&Method<'_>) -> bool,
    ) -> Result<(), ClientError> {
        self.sender().method(channel, method)?;
        self.expect(|method| is_answer(method).then_some(()))
    }

    /// Makes a durable queue without arguments, should there be none of that name.
    pub fn declare_queue(&mut self, queue: ShortStr<'_>) -> Result<(), ClientError> {
        let declare = queue::Declare {
            queue,
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments: Table::EMPTY,
        };
        self.ask(CHANNEL, declare.into(), |method| {
            matches!(method, Method::QueueDeclareOk(_))
        })
    }

    /// Numbers and confirms each publish from now on.
    pub fn select_confirms(&mut self) -> Result<(), ClientError> {
        let select = confirm::Select { no_wait: false };
        self.ask(CHANNEL, select.into(), |method| {
            matches!(method, Method::ConfirmSelectOk(_))
        })
    }

    /// The sending half.
    pub fn sender(&self) -> &Sender {
        self.receiver.sender()
    }

    /// The receiving half, to be read while the sending half writes.
    pub fn into_receiver(self) -> Receiver {
        self.receiver
    }

    fn log_in(&mut self, url: &Url) -> Result<(), ClientError> {
        self.sender().send(&PROTOCOL_HEADER)?;
        self.expect(|method| matches!(method, Method::ConnectionStart(_)).then_some(()))?;
        let mut properties = Vec::new();
        let response = format!("\0{}\0{}", url.user, url.password);
        let start_ok = connection::StartOk {
            client_properties: client_properties(&mut properties),
            mechanism: short("PLAIN"),
            response: response.as_bytes(),
            locale: short("en_US"),
        };
        self.sender().method(ChannelId::CONNECTION, start_ok)?;
        let tune = self.expect(|method| match method {
            Method::ConnectionTune(tune) => Some(*tune),
            _ => None,
        })?;
        let heartbeat = if tune.heartbeat == 0 {
            HEARTBEAT_SECONDS
        } else {
            tune.heartbeat.min(HEARTBEAT_SECONDS)
        };
        let tune_ok = connection::TuneOk {
            channel_max: tune.channel_max,
            frame_max: tune.frame_max,
            heartbeat,
        };
        self.sender().method(ChannelId::CONNECTION, tune_ok)?;
        self.receiver.set_limits(tune.frame_max, heartbeat);
        let virtual_host = ShortStr::truncated(&url.virtual_host);
        self.ask(
            ChannelId::CONNECTION,
            connection::Open { virtual_host }.into(),
            |method| matches!(method, Method::ConnectionOpenOk(_)),
        )
    }

    /// Waits for the one method that is due.
    fn expect<T>(&mut self, pick: impl Fn(&Method<'_>) -> Option<T>) -> Result<T, ClientError> {
        let deadline = Instant::now() + Duration::from_secs(ANSWER_SECONDS);
        match self.receiver.next(Some(deadline))? {
            Event::Method(method) => pick(&method).ok_or_else(|| ClientError::Unexpected {
                method: method.id().to_string(),
            }),
            Event::Content { method, .. } => Err(ClientError::Unexpected {
                method: method.id().to_string(),
            }),
            Event::Deadline => Err(ClientError::Silent {
                seconds: ANSWER_SECONDS,
            }),
        }
    }
}

impl Receiver {
    /// Asks the broker to close the connection, which it does only after it has read everything before.
    pub fn begin_close(sender: &Sender) -> Result<(), ClientError> {
        let close = connection::Close {
            reply_code: ReplyCode::REPLY_SUCCESS.get(),
            reply_text: short("done"),
            class_id: 0,
            method_id: 0,
        };
        sender.method(ChannelId::CONNECTION, close)
    }

    /// Closes the connection in order; what still arrives is dropped.
    pub fn close(&mut self) -> Result<(), ClientError> {
        Self::begin_close(self.sender())?;
        let deadline = Instant::now() + Duration::from_secs(ANSWER_SECONDS);
        loop {
            match self.next(Some(deadline))? {
                Event::Method(Method::ConnectionCloseOk(_)) => return Ok(()),
                Event::Deadline => {
                    return Err(ClientError::Silent {
                        seconds: ANSWER_SECONDS,
                    });
                }
                Event::Method(_) | Event::Content { .. } => {}
            }
        }
    }
}

/// Tries each address that the name has.
fn dial(url: &Url) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (url.host.as_str(), url.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// During the login a close means "you may not", and octets that are no frames mean another protocol.
fn refusal(error: ClientError, address: String) -> ClientError {
    match error {
        ClientError::Closed {
            scope: Scope::Connection,
            code,
            text,
        } => ClientError::Refused { code, text },
        ClientError::Unreadable(_) => ClientError::NotAmqp { address },
        ClientError::Broken(source) => ClientError::Unreachable { address, source },
        ClientError::Silent { .. } => ClientError::Unreachable {
            address,
            source: io::ErrorKind::TimedOut.into(),
        },
        error => error,
    }
}

/// The capabilities are those that change what a broker sends: a reason for a refused login, a cancel for a lost queue.
fn client_properties(out: &mut Vec<u8>) -> Table<'_> {
    let mut writer = TableWriter::new(out);
    writer.put(short("product"), Value::LongString(b"logpond"));
    writer.put(
        short("version"),
        Value::LongString(env!("CARGO_PKG_VERSION").as_bytes()),
    );
    writer.nested(short("capabilities"), |capabilities| {
        for name in [
            "authentication_failure_close",
            "consumer_cancel_notify",
            "basic.nack",
            "publisher_confirms",
        ] {
            capabilities.put(short(name), Value::Bool(true));
        }
    });
    writer.finish().expect("a small table")
}

fn short(text: &'static str) -> ShortStr<'static> {
    ShortStr::truncated(text)
}
