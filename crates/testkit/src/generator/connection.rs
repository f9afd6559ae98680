//! A blocking connection with one channel.
//!
//! Invariant: frames are handed out in the order in which they came; what was read too early stays in the
//! buffer for the next caller.

use anyhow::{Context, bail};
use logpond_amqp::method::{basic, channel, confirm, connection, queue};
use logpond_amqp::{ChannelId, Frame, FrameKind, Method, PROTOCOL_HEADER, ShortStr, Table, parse_frame};
use rustix::event::{PollFd, PollFlags};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// The one channel.
pub const CHANNEL: ChannelId = ChannelId::new(1);
/// What a read asks for at least.
const READ_BYTES_MIN: usize = 256 << 10;
/// A broker that is silent, or takes nothing, for so long is taken for dead.
const PATIENCE: Duration = Duration::from_secs(120);
/// Largest frame that we take; the broker's own limit is not larger.
const FRAME_BYTES_MAX: u32 = 131_072;

/// Where and as whom to connect.
#[derive(Clone, Debug)]
pub struct Target {
    /// The broker.
    pub address: SocketAddr,
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
    /// Virtual host.
    pub vhost: String,
}

impl Target {
    /// As guest.
    pub fn guest(address: SocketAddr) -> Self {
        Self {
            address,
            user: "guest".into(),
            password: "guest".into(),
            vhost: "/".into(),
        }
    }
}

/// An open connection with an open channel.
pub struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    frame_bytes_max: u32,
}

impl Connection {
    /// Connects, logs in and opens the channel.
    pub fn open(target: &Target) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(target.address).context("cannot connect")?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let buffer = vec![0; 4 * READ_BYTES_MIN];
        let mut connection = Self {
            socket,
            buffer,
            start: 0,
            end: 0,
            frame_bytes_max: FRAME_BYTES_MAX,
        };
        connection.log_in(target).context("cannot log in")?;
        Ok(connection)
    }

    fn log_in(&mut self, target: &Target) -> anyhow::Result<()> {
        self.send(&PROTOCOL_HEADER)?;
        self.expect(|method| matches!(method, Method::ConnectionStart(_)).then_some(()))?;
        let response = format!("\0{}\0{}", target.user, target.password);
        let mut out = Vec::new();
        connection::StartOk {
            client_properties: Table::EMPTY,
            mechanism: short("PLAIN")?,
            response: response.as_bytes(),
            locale: short("en_US")?,
        }
        .encode(ChannelId::CONNECTION, &mut out);
        self.send(&out)?;
        let tune = self.expect(|method| {
            if let Method::ConnectionTune(tune) = method {
                Some(*tune)
            } else {
                None
            }
        })?;
        if tune.frame_max != 0 {
            self.frame_bytes_max = self.frame_bytes_max.min(tune.frame_max);
        }
        out.clear();
        // No heartbeats: a blocking client cannot send them while it waits.
        connection::TuneOk {
            channel_max: tune.channel_max,
            frame_max: self.frame_bytes_max,
            heartbeat: 0,
        }
        .encode(ChannelId::CONNECTION, &mut out);
        connection::Open {
            virtual_host: short(&target.vhost)?,
        }
        .encode(ChannelId::CONNECTION, &mut out);
        self.send(&out)?;
        self.expect(|method| matches!(method, Method::ConnectionOpenOk(_)).then_some(()))?;
        out.clear();
        channel::Open.encode(CHANNEL, &mut out);
        self.send(&out)?;
        self.expect(|method| matches!(method, Method::ChannelOpenOk(_)).then_some(()))
    }

    /// Largest frame on this connection.
    pub fn frame_bytes_max(&self) -> u32 {
        self.frame_bytes_max
    }

    /// Declares a durable queue and returns how many messages are ready in it.
    pub fn declare(&mut self, name: &str) -> anyhow::Result<u32> {
        let declare = queue::Declare {
            queue: short(name)?,
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments: Table::EMPTY,
        };
        let mut out = Vec::new();
        declare.encode(CHANNEL, &mut out);
        self.send(&out)?;
        self.expect(|method| {
            if let Method::QueueDeclareOk(ok) = method {
                Some(ok.message_count)
            } else {
                None
            }
        })
    }

    /// Asks for confirms.
    pub fn select_confirms(&mut self) -> anyhow::Result<()> {
        let mut out = Vec::new();
        confirm::Select { no_wait: false }.encode(CHANNEL, &mut out);
        self.send(&out)?;
        self.expect(|method| matches!(method, Method::ConfirmSelectOk(_)).then_some(()))
    }

    /// Starts a consumer with manual acks. Deliveries may follow at once.
    pub fn consume(&mut self, name: &str, prefetch: u16) -> anyhow::Result<()> {
        let mut out = Vec::new();
        basic::Qos {
            prefetch_size: 0,
            prefetch_count: prefetch,
            global: false,
        }
        .encode(CHANNEL, &mut out);
        self.send(&out)?;
        self.expect(|method| matches!(method, Method::BasicQosOk(_)).then_some(()))?;
        out.clear();
        let consume = basic::Consume {
            queue: short(name)?,
            consumer_tag: short("c")?,
            no_local: false,
            no_ack: false,
            exclusive: false,
            no_wait: false,
            arguments: Table::EMPTY,
        };
        consume.encode(CHANNEL, &mut out);
        self.send(&out)?;
        self.expect(|method| matches!(method, Method::BasicConsumeOk(_)).then_some(()))
    }

    /// Says goodbye and waits for the answer.
    pub fn close(mut self) -> anyhow::Result<()> {
        let mut out = Vec::new();
        connection::Close {
            reply_code: 200,
            reply_text: short("done")?,
            class_id: 0,
            method_id: 0,
        }
        .encode(ChannelId::CONNECTION, &mut out);
        self.send(&out)?;
        self.expect(|method| matches!(method, Method::ConnectionCloseOk(_)).then_some(()))
    }

    /// Writes frames.
    pub fn send(&mut self, frames: &[u8]) -> anyhow::Result<()> {
        self.socket
            .write_all(frames)
            .context("the broker does not take what we send")
    }

    /// The next frame that is in the buffer already.
    #[inline]
    pub fn frame_here(&mut self) -> anyhow::Result<Option<Frame<'_>>> {
        // Eight octets of overhead on top of what was agreed: the limit counts whole frames.
        match parse_frame(&self.buffer[self.start..self.end], self.frame_bytes_max)? {
            None => Ok(None),
            Some((frame, len)) => {
                self.start += len;
                Ok(Some(frame))
            }
        }
    }

    /// Reads once from the socket.
    pub fn fill(&mut self) -> anyhow::Result<()> {
        self.make_room();
        let read = self
            .socket
            .read(&mut self.buffer[self.end..])
            .context("nothing comes from the broker")?;
        anyhow::ensure!(read > 0, "the broker closed the connection");
        self.end += read;
        Ok(())
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.buffer.len() - self.end < READ_BYTES_MIN {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }

    /// Reads once, and waits no longer than [`Connection::set_patience`] says, or not at all after
    /// [`Connection::stop_waiting`].
    pub fn try_fill(&mut self) -> anyhow::Result<Filled> {
        self.make_room();
        match self.socket.read(&mut self.buffer[self.end..]) {
            Ok(0) => bail!("the broker closed the connection"),
            Ok(read) => {
                self.end += read;
                Ok(Filled::Some)
            }
            Err(error) if is_nothing(&error) => Ok(Filled::Nothing),
            Err(error) => Err(error).context("nothing comes from the broker"),
        }
    }

    /// Writes what the socket takes without waiting, after [`Connection::stop_waiting`]; says how many bytes.
    pub fn try_send(&mut self, frames: &[u8]) -> anyhow::Result<usize> {
        match self.socket.write(frames) {
            Ok(written) => Ok(written),
            Err(error) if is_nothing(&error) => Ok(0),
            Err(error) => Err(error).context("the broker does not take what we send"),
        }
    }

    /// Whether there is something to read, now or within a time.
    pub fn is_readable_within(&self, patience: Duration) -> anyhow::Result<bool> {
        let mut sockets = [PollFd::new(&self.socket, PollFlags::IN)];
        match rustix::event::poll(&mut sockets, Some(&patience.try_into()?)) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// How long a read waits.
    pub fn set_patience(&mut self, patience: Duration) -> anyhow::Result<()> {
        Ok(self.socket.set_read_timeout(Some(patience))?)
    }

    /// As it was when the connection was opened.
    pub fn restore_patience(&mut self) -> anyhow::Result<()> {
        self.set_patience(PATIENCE)
    }

    /// From now on neither reads nor writes wait.
    pub fn stop_waiting(&mut self) -> anyhow::Result<()> {
        Ok(self.socket.set_nonblocking(true)?)
    }

    /// Reads until a method is what `pick` looks for; others are skipped, a close is an error.
    pub(super) fn expect<T>(&mut self, pick: impl Fn(&Method<'_>) -> Option<T>) -> anyhow::Result<T> {
        loop {
            while let Some(frame) = self.frame_here()? {
                if frame.kind == FrameKind::Method {
                    let method = Method::decode(frame.payload)?;
                    if let Some(picked) = pick(&method) {
                        return Ok(picked);
                    }
                    refuse_close(&method)?;
                }
            }
            self.fill()?;
        }
    }
}

/// What a read that may not wait for long came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Bytes came.
    Some,
    /// None came.
    Nothing,
}

fn is_nothing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An error when the broker ends channel, connection or consumer.
pub fn refuse_close(method: &Method<'_>) -> anyhow::Result<()> {
    match method {
        Method::ConnectionClose(close) => bail!(
            "connection closed: {} {}",
            close.reply_code,
            close.reply_text.to_string_lossy()
        ),
        Method::ChannelClose(close) => bail!(
            "channel closed: {} {}",
            close.reply_code,
            close.reply_text.to_string_lossy()
        ),
        Method::BasicCancel(_) => bail!("the consumer was cancelled"),
        _ => Ok(()),
    }
}

/// A name as the protocol wants it.
pub fn short(text: &str) -> anyhow::Result<ShortStr<'_>> {
    Ok(ShortStr::new(text.as_bytes())?)
}
