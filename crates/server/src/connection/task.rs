//! A connection's task: its socket, its timers, and whom it listens to.
//!
//! Invariants:
//! - Nothing waits but the one `select!`: reading, serving and writing never block on the peer.
//! - We read only while the broker takes commands and the answers fit into the write buffer; that is how back-pressure
//!   reaches a publisher. Deliveries that a client does not take keep us from nothing: it may send before it reads, and is found
//!   silent when it is gone.
//! - While a request waits for its turn nothing behind it is read; what the broker has for the client goes out.
//! - A connection that has nothing to do holds no read buffer and no write buffer.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use logpond_broker::{Flow, Reading};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::batch::CommandSpace;
use super::blockage::Blockage;
use super::greeting::{Greeted, greet};
use super::handshake::Handshake;
use super::heartbeat::{Beat, Heartbeat};
use super::link::{Life, Link};
use super::output::{Output, Written, equip, release};
use super::wire::Wire;
use crate::limits::{
    CLOSE_OK_TIMEOUT, FIRST_READ_BYTES, LINGER_TIME, POLL_PENDING_BYTES_MAX, SHUTDOWN_CLOSE_TIMEOUT,
    TURN_TIME, WRITE_BUFFER_BYTES,
};
use crate::peer::PeerAddress;
use crate::server::Shared;
use crate::signal::Signal;
use crate::stop::{Phase, Stop};

/// A socket that was accepted.
pub(crate) struct Arrival {
    pub socket: TcpStream,
    pub peer: PeerAddress,
    /// With what to encrypt, if the client spoke to a port for that.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// Serves one accepted socket to its end.
pub(crate) async fn serve(shared: Arc<Shared>, arrival: Arrival, mut stop: Stop) {
    let Arrival { socket, peer, tls } = arrival;
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(client = %peer, %error, "TCP_NODELAY refused");
    }
    let wire = match tls {
        None => Ok(Wire::plain(socket)),
        Some(config) => Wire::secure(socket, config),
    };
    let mut socket = match wire {
        Ok(wire) => wire,
        Err(error) => return tracing::warn!(client = %peer, %error, "no connection"),
    };
    let signal = Arc::new(Signal::default());
    let handshake = Handshake::new(Arc::clone(&shared), peer.kind(), peer.to_string(), signal.waker());
    let limit = shared.settings.handshake_timeout;
    let greeted = tokio::select! {
        // Boxed, so that its memory goes when the handshake is over.
        greeted = Box::pin(greet(&mut socket, handshake, limit)) => greeted,
        () = stop.reached(Phase::Draining) => return,
    };
    match greeted {
        Ok(greeted) => {
            Box::new(Task::new(shared, socket, signal, greeted))
                .run(stop)
                .await;
        }
        Err(error) => tracing::warn!(client = %peer, %error, "no connection"),
    }
}

struct Task {
    shared: Arc<Shared>,
    socket: Wire,
    signal: Arc<Signal>,
    link: Link,
    heartbeat: Heartbeat,
    output: Output,
    /// Bytes of an incomplete frame or message.
    rest: Vec<u8>,
    /// When this task was last woken, or let others have their turn.
    turn_began: Instant,
    is_socket_full: bool,
    is_peer_done: bool,
    /// We do not read any more, since the server stops.
    is_draining: bool,
    close_deadline: Option<Instant>,
    blockage: Blockage,
    /// The wait for a turn, once one is awaited: who gave it up would go to the end of the queue.
    turn: Option<Wait<OwnedSemaphorePermit>>,
}

type Wait<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Task {
    fn new(shared: Arc<Shared>, socket: Wire, signal: Arc<Signal>, greeted: Greeted) -> Self {
        let Greeted { opened, rest } = greeted;
        let heartbeat = Heartbeat::new(opened.tuning.heartbeat_seconds);
        let link = Link::new(Arc::clone(&shared), opened.session, opened.tuning, opened.client);
        Self {
            shared,
            socket,
            signal,
            link,
            heartbeat,
            output: Output::default(),
            rest,
            turn_began: Instant::now(),
            is_socket_full: false,
            is_peer_done: false,
            is_draining: false,
            close_deadline: None,
            blockage: Blockage::default(),
            turn: None,
        }
    }

    async fn run(mut self: Box<Self>, mut stop: Stop) {
        if !self.rest.is_empty() {
            self.feed_rest();
        }
        if let Err(error) = self.converse(&mut stop).await {
            self.link.abandon(&error.to_string());
        }
        self.socket.end();
        let name = &self.link.client.name;
        match self.link.cause() {
            Some(cause) => tracing::warn!(client = %name, %cause, "connection ended"),
            None => tracing::info!(client = %name, "connection closed"),
        }
        if self.link.cause().is_none() && !self.is_peer_done {
            let lingering = tokio::time::timeout(LINGER_TIME, self.linger());
            tokio::select! {
                // However it ended, there is nobody left to tell.
                _ = lingering => {}
                () = stop.reached(Phase::Draining) => {}
            }
        }
    }

    /// Drops what the client sent behind its close, until it has closed its socket too: a socket that is closed with bytes unread is
    /// reset, and the client, which may still be writing, would never see our answer.
    async fn linger(&mut self) -> io::Result<()> {
        self.socket.shutdown().await?;
        let socket = self.socket.socket();
        loop {
            socket.readable().await?;
            let mut space = self.shared.buffers.take_reading();
            let read = socket.try_read(&mut space.bytes);
            self.shared.buffers.return_reading(space);
            match read {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    async fn converse(&mut self, stop: &mut Stop) -> io::Result<()> {
        loop {
            let has_more = self.exchange()?;
            if self.is_over() {
                return Ok(());
            }
            if self.link.life() == Life::Closing && self.close_deadline.is_none() {
                self.close_deadline = Some(Instant::now() + CLOSE_OK_TIMEOUT);
            }
            if has_more && !self.is_socket_full {
                // Acknowledgements come in while deliveries go out.
                if self.reads() {
                    self.read()?;
                }
                tokio::task::consume_budget().await;
                if self.link.take_brought() || self.turn_began.elapsed() >= TURN_TIME {
                    self.give_way().await;
                }
                continue;
            }
            if self.link.take_brought() && self.socket.is_readable_now().await {
                self.give_way().await;
            }
            self.wait(stop).await?;
            self.turn_began = Instant::now();
        }
    }

    /// Lets others have their turn. Whom the broker woke for what was brought to it, consumers say, may only be served by this thread,
    /// which would go on with the next that came while it wrote the log. It is not for nothing: the task may go on elsewhere.
    async fn give_way(&mut self) {
        tokio::task::yield_now().await;
        self.turn_began = Instant::now();
    }

    /// Waits for the next thing that happens, and deals with it.
    async fn wait(&mut self, stop: &mut Stop) -> io::Result<()> {
        let interest = self.interest();
        let reads = self.reads();
        if reads && (self.socket.has_input() || self.link.is_paused()) {
            return self.read();
        }
        let blocked = self.blockage.deadline();
        // What lies beyond the clock never comes.
        let lapse = self
            .link
            .lapse()
            .and_then(|left| Instant::now().checked_add(left));
        if self.link.awaits_turn() && self.turn.is_none() {
            let turns = Arc::clone(&self.shared.turns);
            self.turn = Some(Box::pin(async {
                turns.acquire_owned().await.expect("turns never end")
            }));
        }
        tokio::select! {
            turn = wait_for(&mut self.turn) => {
                self.turn = None;
                self.link.grant(turn);
                self.feed_rest();
            }
            ready = ready(&self.socket, interest) => {
                if ready?.is_readable() && reads {
                    self.read()?;
                }
                self.is_socket_full = false;
            }
            () = self.signal.knocked() => {}
            () = self.heartbeat.tick() => match self.heartbeat.due(reads) {
                Beat::Nothing => {}
                Beat::Send => self.link.beat(),
                Beat::PeerGone => self.link.abandon("missed heartbeats from client"),
            },
            () = until(self.close_deadline) => {
                self.link.abandon("no answer to connection.close");
                self.is_peer_done = true;
            }
            () = until(blocked) => self.blockage.announce(&mut self.link.out),
            // What is overdue is taken back with the next exchange.
            () = until(lapse) => {}
            phase = stop.changed() => self.stop(phase),
        }
        Ok(())
    }

    /// Fetches what the broker has and writes what the socket takes; whether there is more to fetch.
    fn exchange(&mut self) -> io::Result<bool> {
        self.link.take_back();
        // Where nobody asked the broker, nobody knows that it has no more.
        let mut has_more = true;
        if self.pending() < POLL_PENDING_BYTES_MAX {
            equip(&mut self.link.out, &self.shared.buffers);
            has_more = self.link.poll();
            self.observe();
        }
        if self.pending() > 0 && !self.is_socket_full {
            self.heartbeat.sent();
            let written = self.output.write_to(&mut self.socket, &mut self.link.out)?;
            self.is_socket_full = written == Written::Some;
        }
        release(&mut self.link.out, &self.shared.buffers);
        Ok(has_more)
    }

    /// Follows from what the broker said.
    fn observe(&mut self) {
        if self.link.client.blocked_notify && self.link.life() == Life::Open {
            self.blockage.observe(self.link.flow(), &mut self.link.out);
        }
        if self.is_draining && self.link.life() == Life::Open && !self.link.is_unconfirmed() {
            self.link.refuse(self.shared.farewell());
            self.close_deadline = Some(Instant::now() + SHUTDOWN_CLOSE_TIMEOUT);
        }
    }

    /// Bytes that the socket has not taken yet.
    fn pending(&self) -> usize {
        let owed = usize::from(self.socket.owes());
        self.output.pending(&self.link.out) + owed
    }

    fn interest(&self) -> Option<Interest> {
        let writes = self.pending() > 0;
        match (self.reads(), writes) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        }
    }

    fn reads(&self) -> bool {
        let takes = match self.link.life() {
            Life::Open => !self.is_draining,
            Life::Closing => true,
            Life::Finished => false,
        };
        takes
            && !self.is_peer_done
            && !self.link.awaits_turn()
            && self.link.flow() == Flow::Continue
            && self.output.answers() < WRITE_BUFFER_BYTES
    }

    /// Reads once, and serves what came; what came before and was not served yet goes first.
    fn read(&mut self) -> io::Result<()> {
        if self.link.is_paused() {
            self.feed_rest();
            return Ok(());
        }
        let reading = self.link.reading();
        if reading == Reading::AfterPoll {
            let _ = self.exchange()?;
            if !self.reads() {
                return Ok(());
            }
        }
        let mut space = self.shared.buffers.take_reading();
        let kept = self.rest.len();
        space.bytes[..kept].copy_from_slice(&self.rest);
        let end = match reading {
            Reading::Little => space.bytes.len().min(kept + FIRST_READ_BYTES),
            Reading::Freely | Reading::AfterPoll => space.bytes.len(),
        };
        let read = self.socket.try_read(&mut space.bytes[kept..end]);
        let outcome = match read {
            Ok(0) => {
                self.is_peer_done = true;
                self.link.abandon("client unexpectedly closed TCP connection");
                Ok(())
            }
            Ok(len) => {
                self.heartbeat.received();
                let taken = self.feed(&space.bytes[..kept + len], &mut space.commands);
                self.keep(&space.bytes[taken..kept + len]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        };
        self.shared.buffers.return_reading(space);
        outcome
    }

    /// Keeps an incomplete frame, in no more memory than it needs.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.rest = Vec::new();
            return;
        }
        self.rest.clear();
        self.rest.extend_from_slice(rest);
    }

    fn feed_rest(&mut self) {
        let mut space = self.shared.buffers.take_reading();
        let rest = std::mem::take(&mut self.rest);
        let taken = self.feed(&rest, &mut space.commands);
        self.keep(&rest[taken..]);
        self.shared.buffers.return_reading(space);
    }

    /// Has bytes served; how many of them are done with.
    fn feed(&mut self, bytes: &[u8], commands: &mut CommandSpace) -> usize {
        equip(&mut self.link.out, &self.shared.buffers);
        let before = self.link.out.len();
        let taken = self.link.feed(bytes, commands);
        self.output.answered(before, &self.link.out);
        taken
    }

    /// Whether there is nothing left to do with this socket.
    fn is_over(&self) -> bool {
        self.link.life() == Life::Finished && (self.pending() == 0 || self.is_peer_done)
    }

    fn stop(&mut self, phase: Phase) {
        match phase {
            Phase::Running => {}
            Phase::Draining => self.is_draining = true,
            Phase::Closing => {
                if self.link.life() == Life::Open {
                    self.link.refuse(self.shared.farewell());
                }
                self.close_deadline = Some(Instant::now() + SHUTDOWN_CLOSE_TIMEOUT);
            }
        }
    }
}

async fn ready(socket: &Wire, interest: Option<Interest>) -> io::Result<tokio::io::Ready> {
    match interest {
        Some(interest) => socket.ready(interest).await,
        None => pending().await,
    }
}

async fn wait_for<T>(wait: &mut Option<Wait<T>>) -> T {
    match wait {
        Some(wait) => wait.await,
        None => pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
