//! An open connection, sans-I/O: bytes in, bytes out.
//!
//! Invariants:
//! - Commands reach the broker in the order of their bytes: what was collected is applied before anything that
//!   is not a command of the hot path.
//! - After we sent `connection.close` everything but `close` and `close-ok` is ignored, and nothing more is sent.
//! - An error of a channel ends that channel only.
//!
//! Elsewhere: what a client sends, taken apart (`intake`), requests that are answered one by one (`requests`), sockets and timers (`task`).

mod intake;

use std::sync::Arc;
use std::time::Duration;

use logpond_amqp::{ChannelId, MethodId, ReplyCode, encode_heartbeat, method};
use logpond_broker as broker;
use logpond_broker::{Command, Flow, Portion, Reading};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::batch::Batch;
use super::channels::{Channels, Slot};
use super::effects::{Sink, encode_return};
use super::handshake::{Client, Tuning};
use super::refusal::{Failure, Refusal};
use crate::blocking::blocking;
use crate::engine::ServerSession;
use crate::limits::POLL_BYTES_MAX;
use crate::server::Shared;

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
    /// Until what was read is served, or others had to wait long enough.
    Held {
        #[expect(dead_code, reason = "it is held")]
        permit: OwnedSemaphorePermit,
        since: Instant,
    },
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
    /// Something came, since this was asked last, for which the broker may have woken others.
    has_brought: bool,
    /// Requests were left in what was fed, since their answers would have been too much at once.
    is_paused: bool,
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
            has_brought: false,
            is_paused: false,
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

    /// How much may be read before the broker is asked again, while the flow is [`Flow::Continue`].
    pub fn reading(&self) -> Reading {
        match &self.session {
            Some(session) if self.life == Life::Open => session.reading(),
            _ => Reading::Freely,
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

    /// Whether anything but acknowledgements was fed since this was asked last: they wake nobody but this connection.
    pub fn take_brought(&mut self) -> bool {
        std::mem::take(&mut self.has_brought)
    }

    /// Whether what was left of the last [`Link::feed`] is to be fed again, with or without more behind it.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Whether what comes next waits for a turn. Nothing is to be fed until [`Link::grant`].
    pub fn awaits_turn(&self) -> bool {
        matches!(self.turn, Turn::Awaited) && self.life == Life::Open
    }

    /// It is this connection's turn.
    pub fn grant(&mut self, turn: OwnedSemaphorePermit) {
        self.turn = Turn::Held {
            permit: turn,
            since: Instant::now(),
        };
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

/// The numbers of a command's method, for `close`.
fn id_of(command: &Command<'_>) -> MethodId {
    match command {
        Command::Publish(_) => method::basic::Publish::ID,
        Command::Ack { .. } => method::basic::Ack::ID,
        Command::Nack { .. } => method::basic::Nack::ID,
        Command::Reject { .. } => method::basic::Reject::ID,
    }
}

/// A method or content on a channel that nobody opened.
pub(super) fn not_open() -> Refusal {
    Refusal::new(ReplyCode::CHANNEL_ERROR, "expected 'channel.open'")
}

/// A channel of the wire at the broker.
pub(super) fn own(channel: ChannelId) -> broker::ChannelId {
    broker::ChannelId::new(channel.get())
}
