//! An open connection, sans-I/O: bytes in, bytes out.
//!
//! Invariants:
//! - Commands reach the broker in the order of their bytes: what was collected is applied before anything that
//!   is not a command of the hot path.
//! - After we sent `connection.close` everything but `close` and `close-ok` is ignored, and nothing more is sent.
//! - An error of a channel ends that channel only.
//!
//! Elsewhere: requests that are answered one by one (`requests`), sockets and timers (`task`).

use std::sync::Arc;
use std::time::Duration;

use logpond_amqp::{
    ChannelId, Frame, FrameKind, Method, MethodId, ReplyCode, encode_heartbeat, method, parse_ack,
    parse_frame, parse_publish,
};
use logpond_broker as broker;
use logpond_broker::{Body, Command, Extent, Flow, GiveBack, Portion, Publish};
use tokio::sync::OwnedSemaphorePermit;

use super::batch::{Batch, CommandSpace};
use super::channels::{Channels, Slot};
use super::content::{Assembly, Scan, check_headers, scan, unexpected};
use super::effects::{Sink, encode_return};
use super::handshake::{Client, Tuning};
use super::refusal::{Failure, Refusal};
use crate::blocking::blocking;
use crate::engine::ServerSession;
use crate::limits::{POLL_BYTES_MAX, RAW_MESSAGE_BYTES_MAX};
use crate::server::Shared;

/// Classes whose requests take turns: see [`method::exchange`] and [`method::queue`].
const EXCHANGE_CLASS: u16 = 40;
const QUEUE_CLASS: u16 = 50;

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Requests are served.
    Open,
    /// We sent `connection.close` and wait for `close-ok`.
    Closing,
    /// Everything is said; what is in the write buffer goes out, then the socket closes.
    Finished,
}

/// Whether this connection may make a call for which connections take turns ([`Shared::turns`]).
enum Turn {
    None,
    /// The next frame needs it.
    Awaited,
    /// Until what was read is served.
    Held(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit),
}

/// An open connection.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) session: Option<ServerSession>,
    pub(super) channels: Channels,
    pub(super) tuning: Tuning,
    pub(super) client: Client,
    /// Encoded frames for the socket.
    pub(super) out: Vec<u8>,
    life: Life,
    flow: Flow,
    turn: Turn,
    /// Why the connection ended, for the log.
    cause: Option<String>,
}

impl Link {
    pub fn new(shared: Arc<Shared>, session: ServerSession, tuning: Tuning, client: Client) -> Self {
        Self {
            shared,
            session: Some(session),
            channels: Channels::default(),
            tuning,
            client,
            out: Vec::new(),
            life: Life::Open,
            flow: Flow::Continue,
            turn: Turn::None,
            cause: None,
        }
    }

    pub fn life(&self) -> Life {
        self.life
    }

    /// Whether the broker takes more commands.
    pub fn flow(&self) -> Flow {
        if self.life == Life::Open {
            self.flow
        } else {
            Flow::Continue
        }
    }

    /// Whether the client waits for a confirm.
    pub fn is_unconfirmed(&self) -> bool {
        self.session.as_ref().is_some_and(ServerSession::is_unconfirmed)
    }

    /// Why the connection ended, if not because the client closed it.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Whether what comes next waits for a turn. Nothing is to be fed until [`Link::grant`].
    pub fn awaits_turn(&self) -> bool {
        matches!(self.turn, Turn::Awaited) && self.life == Life::Open
    }

    /// It is this connection's turn.
    pub fn grant(&mut self, turn: OwnedSemaphorePermit) {
        self.turn = Turn::Held(turn);
    }

    /// Takes bytes from the socket; how many of them are done with. The rest has to come again with more behind it.
    pub fn feed(&mut self, bytes: &[u8], space: &mut CommandSpace) -> usize {
        let mut batch = space.lend();
        let mut at = 0;
        while at < bytes.len() && self.life != Life::Finished {
            match self.take(&bytes[at..], &mut batch) {
                Ok(0) => break,
                Ok(taken) => at += taken,
                Err(refusal) => {
                    self.apply(&mut batch, Portion::Last);
                    self.refuse(refusal);
                    // Behind a broken frame nothing has a meaning.
                    at = bytes.len();
                }
            }
            if batch.is_full() {
                self.apply(&mut batch, Portion::MoreFollow);
            }
        }
        self.apply(&mut batch, Portion::Last);
        space.take_back(batch);
        if !self.awaits_turn() {
            self.turn = Turn::None;
        }
        if self.life == Life::Finished {
            bytes.len()
        } else {
            at
        }
    }

    /// Takes one message, acknowledgement or frame; zero asks for more bytes.
    #[inline]
    fn take<'b>(&mut self, bytes: &'b [u8], batch: &mut Batch<'b>) -> Result<usize, Refusal> {
        let payload_max = self.tuning.payload_max();
        if let Some((publish, taken)) = parse_publish(bytes, payload_max)
            && self.channels.is_open(publish.channel)
        {
            check_headers(publish.raw_properties)?;
            batch.push(Command::Publish(Publish {
                channel: own(publish.channel),
                exchange: publish.exchange.as_bytes(),
                routing_key: publish.routing_key.as_bytes(),
                mandatory: publish.mandatory,
                immediate: publish.immediate,
                properties: publish.raw_properties,
                body: Body::Whole(publish.body),
            }));
            return Ok(taken);
        }
        if let Some((ack, taken)) = parse_ack(bytes)
            && self.channels.is_open(ack.channel)
        {
            let extent = Extent::from_multiple(ack.multiple);
            batch.push(Command::Ack {
                channel: own(ack.channel),
                tag: ack.delivery_tag,
                extent,
            });
            return Ok(taken);
        }
        self.take_frame(bytes, payload_max, batch)
    }

    fn take_frame<'b>(
        &mut self,
        bytes: &'b [u8],
        payload_max: u32,
        batch: &mut Batch<'b>,
    ) -> Result<usize, Refusal> {
        let Some((frame, taken)) = parse_frame(bytes, payload_max)? else {
            return Ok(0);
        };
        if is_publish(&frame) && self.channels.is_open(frame.channel) {
            let mark = batch.parts.len();
            match scan(bytes, payload_max, &mut batch.parts) {
                Scan::Whole {
                    publish,
                    body_size,
                    taken,
                } if body_size <= self.shared.message_bytes_max => {
                    check_headers(publish.properties)?;
                    let body = Body::Parts(mark..batch.parts.len());
                    batch.push(Command::Publish(Publish { body, ..publish }));
                    return Ok(taken);
                }
                Scan::Partial if bytes.len() < RAW_MESSAGE_BYTES_MAX => {
                    batch.parts.truncate(mark);
                    return Ok(0);
                }
                _ => batch.parts.truncate(mark),
            }
        }
        if self.needs_turn(&frame) && !self.takes_turn() {
            return Ok(0);
        }
        self.frame(frame, batch)?;
        Ok(taken)
    }

    /// Whether the frame is a request that may wait for the disk, or for others that do.
    fn needs_turn(&self, frame: &Frame<'_>) -> bool {
        let class = frame
            .payload
            .first_chunk()
            .map(|class| u16::from_be_bytes(*class));
        frame.kind == FrameKind::Method
            && self.life == Life::Open
            && matches!(class, Some(EXCHANGE_CLASS | QUEUE_CLASS))
    }

    /// Takes a turn if one is free; says that one is awaited if not.
    fn takes_turn(&mut self) -> bool {
        if matches!(self.turn, Turn::Held(_)) {
            return true;
        }
        let free = Arc::clone(&self.shared.turns).try_acquire_owned();
        self.turn = free.map_or(Turn::Awaited, Turn::Held);
        !self.awaits_turn()
    }

    fn frame<'b>(&mut self, frame: Frame<'b>, batch: &mut Batch<'b>) -> Result<(), Refusal> {
        match frame.kind {
            FrameKind::Heartbeat => Ok(()),
            FrameKind::Method => self.method_frame(&frame, batch),
            FrameKind::Header | FrameKind::Body => self.content_frame(&frame, batch),
        }
    }

    fn method_frame<'b>(&mut self, frame: &Frame<'b>, batch: &mut Batch<'b>) -> Result<(), Refusal> {
        if self.life == Life::Closing {
            return self.method_while_closing(frame);
        }
        let method = Method::decode(frame.payload)?;
        if frame.channel == ChannelId::CONNECTION {
            self.apply(batch, Portion::MoreFollow);
            return self.connection_method(&method);
        }
        if let Slot::Assembling(assembly) = self.channels.get(frame.channel) {
            return Err(unexpected(assembly.expected()));
        }
        if self.channels.is_open(frame.channel)
            && let Some(command) = hot(frame.channel, &method)
        {
            batch.push(command);
            return Ok(());
        }
        self.apply(batch, Portion::MoreFollow);
        self.channel_method(frame.channel, &method)
    }

    //= amqp-0-9-1 connection.close: discard all methods except close and close-ok
    fn method_while_closing(&mut self, frame: &Frame<'_>) -> Result<(), Refusal> {
        if frame.channel != ChannelId::CONNECTION {
            return Ok(());
        }
        match Method::decode(frame.payload) {
            Ok(Method::ConnectionCloseOk(_)) => self.life = Life::Finished,
            Ok(Method::ConnectionClose(_)) => {
                method::connection::CloseOk.encode(ChannelId::CONNECTION, &mut self.out);
                self.life = Life::Finished;
            }
            _ => {}
        }
        Ok(())
    }

    fn content_frame(&mut self, frame: &Frame<'_>, batch: &mut Batch<'_>) -> Result<(), Refusal> {
        if self.life == Life::Closing {
            return Ok(());
        }
        match self.channels.get(frame.channel) {
            Slot::Closing => return Ok(()),
            Slot::Absent if frame.channel != ChannelId::CONNECTION => return Err(not_open()),
            Slot::Absent | Slot::Open => {
                return Err(unexpected("expected method frame, got non method frame instead"));
            }
            Slot::Assembling(_) => {}
        }
        if frame.kind == FrameKind::Header {
            let assembly = self.channels.assembly(frame.channel).expect("it was seen above");
            let body_size = assembly.take_header(frame)?;
            if body_size > self.shared.message_bytes_max {
                self.apply(batch, Portion::MoreFollow);
                self.refuse_size(frame.channel, body_size);
                return Ok(());
            }
        } else {
            self.channels.add_body(frame.channel, frame)?;
        }
        if let Some(assembly) = self.channels.take_complete(frame.channel) {
            self.apply(batch, Portion::MoreFollow);
            if self.channels.is_open(frame.channel) {
                self.apply_assembly(frame.channel, &assembly);
            }
        }
        Ok(())
    }

    fn apply_assembly(&mut self, channel: ChannelId, assembly: &Assembly) {
        let mut batch = Batch::default();
        batch.push(Command::Publish(assembly.publish(own(channel))));
        self.apply(&mut batch, Portion::Last);
    }

    fn refuse_size(&mut self, channel: ChannelId, body_size: u64) {
        let limit = self.shared.message_bytes_max;
        let text = format!("message size {body_size} is larger than configured max size {limit}");
        let refusal = Refusal::new(ReplyCode::PRECONDITION_FAILED, text).by(method::basic::Publish::ID);
        let now = self.shared.now();
        if let Some(session) = &mut self.session {
            session.close_channel(own(channel), now);
        }
        self.fail(channel, Failure::Channel(refusal));
    }

    /// Hands the collected commands to the broker.
    pub(super) fn apply(&mut self, batch: &mut Batch<'_>, portion: Portion) {
        if batch.is_empty() {
            return;
        }
        let Some(session) = &mut self.session else {
            batch.clear();
            return;
        };
        let now = self.shared.now();
        let frame_max = self.tuning.frame_max;
        let mut failures = Vec::new();
        let parts = batch.parts.as_slice();
        let out = &mut self.out;
        self.flow = session.apply(
            &batch.commands,
            parts,
            portion,
            now,
            &mut |returned| encode_return(out, returned, parts, frame_max),
            &mut |command, error| failures.push((command.channel(), Failure::from(error).by(id_of(command)))),
        );
        batch.clear();
        for (channel, failure) in failures {
            self.fail(ChannelId::new(channel.get()), failure);
        }
    }

    /// Fetches what the broker has for the client; whether there is more.
    pub fn poll(&mut self) -> bool {
        let Some(session) = &mut self.session else {
            return false;
        };
        let now = self.shared.now();
        let mut sink = Sink {
            out: &mut self.out,
            frame_max: self.tuning.frame_max,
            cancel_notify: self.client.cancel_notify,
            closed: None,
        };
        let polled = session.poll(POLL_BYTES_MAX, &mut sink, now);
        let closed = sink.closed;
        self.flow = polled.flow;
        if let Some(error) = closed {
            let (Failure::Channel(refusal) | Failure::Connection(refusal)) = Failure::from(error);
            self.refuse(refusal);
            return false;
        }
        polled.more
    }

    /// When something of what was delivered is to be taken back, at the earliest.
    pub fn lapse(&self) -> Option<Duration> {
        let at_ms = self.session.as_ref()?.lapse_ms()?;
        Some(Duration::from_millis(
            at_ms.saturating_sub(self.shared.now().mono_ms),
        ))
    }

    /// Takes back what the client has not acknowledged in time.
    pub fn take_back(&mut self) {
        let Some(session) = self
            .session
            .as_mut()
            .filter(|session| session.lapse_ms().is_some())
        else {
            return;
        };
        let mut sink = Sink {
            out: &mut self.out,
            frame_max: self.tuning.frame_max,
            cancel_notify: self.client.cancel_notify,
            closed: None,
        };
        let mut failures = Vec::new();
        let now = self.shared.now();
        session.lapse(&mut sink, now, &mut |channel, error| {
            failures.push((channel, error));
        });
        for (channel, error) in failures {
            self.fail(ChannelId::new(channel.get()), error.into());
        }
    }

    /// Closes what a failure closes. The broker has ended the channel already.
    pub(super) fn fail(&mut self, channel: ChannelId, failure: Failure) {
        if self.life != Life::Open {
            return;
        }
        match failure {
            Failure::Channel(refusal) => {
                tracing::debug!(client = %self.client.name, %channel, reason = %refusal.text, "channel closed");
                self.channels.set(channel, Slot::Closing);
                refusal.encode_channel_close(channel, &mut self.out);
            }
            Failure::Connection(refusal) => self.refuse(refusal),
        }
    }

    /// Sends `connection.close`; from now on only the answer counts.
    pub fn refuse(&mut self, refusal: Refusal) {
        if self.life != Life::Open {
            self.life = Life::Finished;
            return;
        }
        self.end_session();
        refusal.encode_connection_close(&mut self.out);
        self.life = Life::Closing;
        self.cause = Some(refusal.text);
    }

    /// The client closes the connection.
    pub(super) fn close_by_client(&mut self) {
        self.end_session();
        method::connection::CloseOk.encode(ChannelId::CONNECTION, &mut self.out);
        self.life = Life::Finished;
    }

    /// Gives up without a word: the peer is gone.
    pub fn abandon(&mut self, cause: &str) {
        self.end_session();
        self.life = Life::Finished;
        self.cause.get_or_insert_with(|| cause.to_owned());
    }

    /// Appends a heartbeat.
    pub fn beat(&mut self) {
        if self.life == Life::Open {
            encode_heartbeat(&mut self.out);
        }
    }

    fn end_session(&mut self) {
        if let Some(session) = self.session.take() {
            let now = self.shared.now();
            blocking(|| session.close(now));
        }
    }
}

/// A task that is dropped (a stop that took too long) still gives everything back.
impl Drop for Link {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.close(self.shared.now());
        }
    }
}

/// The commands that travel in batches.
fn hot<'b>(channel: ChannelId, method: &Method<'b>) -> Option<Command<'b>> {
    let channel = own(channel);
    Some(match method {
        Method::BasicAck(ack) => Command::Ack {
            channel,
            tag: ack.delivery_tag,
            extent: Extent::from_multiple(ack.multiple),
        },
        Method::BasicNack(nack) => Command::Nack {
            channel,
            tag: nack.delivery_tag,
            extent: Extent::from_multiple(nack.multiple),
            give_back: GiveBack::from_nack(nack.requeue),
        },
        Method::BasicReject(reject) => Command::Reject {
            channel,
            tag: reject.delivery_tag,
            give_back: GiveBack::from_reject(reject.requeue),
        },
        _ => return None,
    })
}

/// The numbers of a command's method, for `close`.
fn id_of(command: &Command<'_>) -> MethodId {
    match command {
        Command::Publish(_) => method::basic::Publish::ID,
        Command::Ack { .. } => method::basic::Ack::ID,
        Command::Nack { .. } => method::basic::Nack::ID,
        Command::Reject { .. } => method::basic::Reject::ID,
    }
}

fn is_publish(frame: &Frame<'_>) -> bool {
    frame.kind == FrameKind::Method && frame.payload.starts_with(&[0, 60, 0, 40])
}

/// A method or content on a channel that nobody opened.
pub(super) fn not_open() -> Refusal {
    Refusal::new(ReplyCode::CHANNEL_ERROR, "expected 'channel.open'")
}

/// A channel of the wire at the broker.
pub(super) fn own(channel: ChannelId) -> broker::ChannelId {
    broker::ChannelId::new(channel.get())
}
