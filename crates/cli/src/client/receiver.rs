//! The receiving half of a connection: frames become events.
//!
//! Invariants:
//! - `next` returns at the latest at its deadline, at a message's last frame, or when the broker has fallen silent.
//! - A close from the broker is answered before it is reported.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use logpond_amqp::method::{basic, channel, connection};
use logpond_amqp::{ChannelId, ContentHeader, FrameKind, Method, ReplyCode, parse_frame};

use super::failure::{ClientError, Scope};
use super::sender::Sender;

/// Octets asked of the socket at once.
const READ_BYTES: usize = 256 << 10;
/// A message larger than this is not what the broker should have sent; 512 MiB is the most that it takes.
const BODY_BYTES_MAX: u64 = 512 << 20;

/// Reads frames and assembles messages.
#[derive(Debug)]
pub struct Receiver {
    stream: TcpStream,
    sender: Sender,
    buffer: Vec<u8>,
    /// `buffer[start..end]` is received and not yet used.
    start: usize,
    end: usize,
    frame_max: u32,
    heartbeat: Option<Duration>,
    last_heard: Instant,
    message: Assembly,
}

/// A message that is being received.
#[derive(Debug, Default)]
struct Assembly {
    method: Vec<u8>,
    properties: Vec<u8>,
    body: Vec<u8>,
    left: Option<u64>,
}

/// What the broker said.
#[derive(Debug)]
pub enum Event<'a> {
    /// A method without content.
    Method(Method<'a>),
    /// A method with its content: a delivery, a return, the answer to a get.
    Content {
        method: Method<'a>,
        raw_properties: &'a [u8],
        body: &'a [u8],
    },
    /// The deadline passed.
    Deadline,
}

/// What one frame led to.
enum Step {
    /// A method frame without content, at these octets of the buffer.
    Method(std::ops::Range<usize>),
    Content,
    Nothing,
}

impl Receiver {
    pub(super) fn new(stream: TcpStream, sender: Sender) -> Self {
        Self {
            stream,
            sender,
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            frame_max: 0,
            heartbeat: None,
            last_heard: Instant::now(),
            message: Assembly::default(),
        }
    }

    pub(super) fn set_limits(&mut self, frame_max: u32, heartbeat_seconds: u16) {
        self.frame_max = frame_max;
        self.sender.set_frame_max(frame_max);
        self.heartbeat = (heartbeat_seconds != 0).then(|| Duration::from_secs(heartbeat_seconds.into()));
    }

    /// The sending half.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Whether the next event is likely to be here without waiting.
    pub fn has_more(&self) -> bool {
        matches!(
            parse_frame(&self.buffer[self.start..self.end], self.frame_max),
            Ok(Some(_))
        )
    }

    /// Waits for the next event.
    pub fn next(&mut self, deadline: Option<Instant>) -> Result<Event<'_>, ClientError> {
        loop {
            match self.step()? {
                Some(Step::Method(payload)) => {
                    // Decoded once to see a close, and again at the end since the loop's borrow cannot leave it.
                    self.note_close(payload.clone())?;
                    return Ok(Event::Method(Method::decode(&self.buffer[payload])?));
                }
                Some(Step::Content) => {
                    let Assembly {
                        method,
                        properties,
                        body,
                        ..
                    } = &self.message;
                    return Ok(Event::Content {
                        method: Method::decode(method)?,
                        raw_properties: properties,
                        body,
                    });
                }
                Some(Step::Nothing) => {}
                None if !self.fill(deadline)? => return Ok(Event::Deadline),
                None => {}
            }
        }
    }

    /// Takes one frame from the buffer; `None` if there is no whole one.
    fn step(&mut self) -> Result<Option<Step>, ClientError> {
        let Some((frame, taken)) = parse_frame(&self.buffer[self.start..self.end], self.frame_max)? else {
            return Ok(None);
        };
        let payload = self.start + 7..self.start + taken - 1;
        self.start += taken;
        match frame.kind {
            FrameKind::Heartbeat => Ok(Some(Step::Nothing)),
            FrameKind::Method => {
                let method = Method::decode(frame.payload)?;
                if carries_content(&method) {
                    self.message.begin(frame.payload);
                    return Ok(Some(Step::Nothing));
                }
                Ok(Some(Step::Method(payload)))
            }
            FrameKind::Header => {
                let header = ContentHeader::parse(frame.payload)?;
                self.message.header(&header).map(Some)
            }
            FrameKind::Body => self.message.piece(frame.payload).map(Some),
        }
    }

    fn note_close(&self, payload: std::ops::Range<usize>) -> Result<(), ClientError> {
        match Method::decode(&self.buffer[payload])? {
            Method::ConnectionClose(close) => {
                // The broker may be gone already; what it said matters more.
                let _ = self.sender.method(ChannelId::CONNECTION, connection::CloseOk);
                Err(closed(
                    Scope::Connection,
                    close.reply_code,
                    close.reply_text.to_string_lossy().into_owned(),
                ))
            }
            Method::ChannelClose(close) => {
                let _ = self.sender.method(super::CHANNEL, channel::CloseOk);
                Err(closed(
                    Scope::Channel,
                    close.reply_code,
                    close.reply_text.to_string_lossy().into_owned(),
                ))
            }
            Method::BasicCancel(basic::Cancel { .. }) => Err(ClientError::Cancelled),
            _ => Ok(()),
        }
    }

    /// Reads from the socket; false if the deadline passed first.
    fn fill(&mut self, deadline: Option<Instant>) -> Result<bool, ClientError> {
        self.make_room();
        loop {
            let patience = self.patience(deadline)?;
            let Some(patience) = patience else {
                return Ok(false);
            };
            self.stream.set_read_timeout(Some(patience))?;
            match self.stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => {
                    self.end += count;
                    self.last_heard = Instant::now();
                    return Ok(true);
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How long to wait for the socket now, after seeing to the heartbeats; `None` if the deadline passed.
    fn patience(&self, deadline: Option<Instant>) -> Result<Option<Duration>, ClientError> {
        let mut patience = Duration::from_secs(3600);
        if let Some(heartbeat) = self.heartbeat {
            if self.last_heard.elapsed() > heartbeat * 2 {
                return Err(ClientError::Silent {
                    seconds: heartbeat.as_secs() * 2,
                });
            }
            self.sender.heartbeat_after(heartbeat / 2)?;
            patience = heartbeat / 4;
        }
        let Some(deadline) = deadline else {
            return Ok(Some(patience));
        };
        let left = deadline.saturating_duration_since(Instant::now());
        Ok((!left.is_zero()).then(|| left.min(patience)))
    }

    /// Moves what is unused to the front, and grows the buffer when one frame needs more.
    fn make_room(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            // At most doubled for octets that did arrive, never for a length that is merely claimed.
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
    }
}

impl Assembly {
    fn begin(&mut self, method: &[u8]) {
        self.method.clear();
        self.method.extend_from_slice(method);
        self.body.clear();
        self.left = None;
    }

    fn header(&mut self, header: &ContentHeader<'_>) -> Result<Step, ClientError> {
        if self.method.is_empty() || self.left.is_some() || header.body_size > BODY_BYTES_MAX {
            return Err(ClientError::Unexpected {
                method: "a content header".to_owned(),
            });
        }
        self.properties.clear();
        self.properties.extend_from_slice(header.raw_properties);
        self.left = Some(header.body_size);
        Ok(self.progress())
    }

    fn piece(&mut self, piece: &[u8]) -> Result<Step, ClientError> {
        let len = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let left = self.left.and_then(|left| left.checked_sub(len));
        let Some(left) = left else {
            return Err(ClientError::Unexpected {
                method: "a body frame".to_owned(),
            });
        };
        self.body.extend_from_slice(piece);
        self.left = Some(left);
        Ok(self.progress())
    }

    fn progress(&self) -> Step {
        if self.left == Some(0) {
            Step::Content
        } else {
            Step::Nothing
        }
    }
}

fn carries_content(method: &Method<'_>) -> bool {
    matches!(
        method,
        Method::BasicDeliver(_) | Method::BasicReturn(_) | Method::BasicGetOk(_)
    )
}

fn closed(scope: Scope, code: u16, text: String) -> ClientError {
    ClientError::Closed {
        scope,
        code: ReplyCode::new(code),
        text,
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
