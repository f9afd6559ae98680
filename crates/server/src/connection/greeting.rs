//! The handshake on a socket: its clock and its memory.
//!
//! Invariants:
//! - All of it takes at most the configured time, and holds at most `UNAUTHENTICATED_BYTES_MAX`.

use std::io;

use tokio::time::{sleep, timeout};

use super::handshake::{Handshake, HandshakeError, Opened};
use super::refusal::Refusal;
use super::wire::Wire;
use crate::limits::{HEADER_ANSWER_TIME, REFUSAL_DELAY, UNAUTHENTICATED_BYTES_MAX};

/// An opened connection, and what the client sent behind `connection.open`.
pub(super) struct Greeted {
    pub opened: Opened,
    pub rest: Vec<u8>,
}

/// How a handshake can end without a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetingError {
    #[error("the handshake took too long")]
    TooSlow,
    #[error("the peer closed during the handshake")]
    Gone,
    #[error("refused: {0}")]
    Refused(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Leads a peer through the handshake.
pub(super) async fn greet(
    socket: &mut Wire,
    mut handshake: Handshake,
    limit: std::time::Duration,
) -> Result<Greeted, GreetingError> {
    match timeout(limit, converse(socket, &mut handshake)).await {
        Ok(Ok(greeted)) => Ok(greeted),
        Ok(Err(Ended::Io(error))) => Err(error.into()),
        Ok(Err(Ended::Gone)) => Err(GreetingError::Gone),
        Ok(Err(Ended::Handshake(error))) => Err(dismiss(socket, error).await),
        Err(_) => Err(GreetingError::TooSlow),
    }
}

enum Ended {
    Io(io::Error),
    Gone,
    Handshake(HandshakeError),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

async fn converse(socket: &mut Wire, handshake: &mut Handshake) -> Result<Greeted, Ended> {
    socket.shake_hands().await?;
    if matches!(socket, Wire::Secure(_)) {
        handshake.is_secure(socket.certificate());
    }
    let mut bytes = Vec::with_capacity(1024);
    let mut out = Vec::new();
    loop {
        let room = UNAUTHENTICATED_BYTES_MAX - bytes.len();
        if socket.read_into(&mut bytes, room).await? == 0 {
            return Err(Ended::Gone);
        }
        let step = handshake.advance(&bytes, &mut out);
        socket.write_all(&out).await?;
        out.clear();
        let (taken, opened) = step.map_err(Ended::Handshake)?;
        bytes.drain(..taken);
        if let Some(opened) = opened {
            return Ok(Greeted { opened, rest: bytes });
        }
    }
}

/// Says goodbye in the manner that the error asks for.
async fn dismiss(socket: &mut Wire, error: HandshakeError) -> GreetingError {
    let (farewell, text) = match error {
        HandshakeError::Header(mismatch) => {
            if socket.write_all(&mismatch.answer).await.is_ok() {
                // Until the answer has arrived, or the peer has gone by itself.
                let _ = timeout(HEADER_ANSWER_TIME, drain(socket)).await;
            }
            // As RabbitMQ does: clients that wait for the end of such a connection see a reset.
            let _ = socket.socket().set_zero_linger();
            return GreetingError::Refused(mismatch.to_string());
        }
        HandshakeError::Refused(refusal) => (close_frame(&refusal), refusal.text),
        HandshakeError::Silent(text) => {
            sleep(REFUSAL_DELAY).await;
            return GreetingError::Refused(text);
        }
    };
    // Whether the peer still listens does not matter any more.
    if socket.write_all(&farewell).await.is_ok() && socket.shutdown().await.is_ok() {
        let _ = timeout(REFUSAL_DELAY, drain(socket)).await;
    }
    GreetingError::Refused(text)
}

fn close_frame(refusal: &Refusal) -> Vec<u8> {
    let mut out = Vec::new();
    refusal.encode_connection_close(&mut out);
    out
}

/// Reads until the peer closes: a socket closed with unread bytes would take the farewell along.
async fn drain(socket: &mut Wire) {
    let mut sink = Vec::with_capacity(1024);
    while socket.read_into(&mut sink, 1024).await.is_ok_and(|len| len > 0) {
        sink.clear();
    }
}
