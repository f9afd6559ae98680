//! The sending half of a connection.
//!
//! Invariants:
//! - What is sent in one call stands together on the wire: a heartbeat never cuts into a message.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use logpond_amqp::{ChannelId, Method, encode_heartbeat};

use super::failure::ClientError;

/// Writes whole frames; clones share the socket.
#[derive(Debug, Clone)]
pub struct Sender {
    shared: Arc<Mutex<Shared>>,
    frame_max: u32,
}

#[derive(Debug)]
struct Shared {
    stream: TcpStream,
    last_sent: Instant,
}

impl Sender {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                stream,
                last_sent: Instant::now(),
            })),
            frame_max: 0,
        }
    }

    pub(super) fn set_frame_max(&mut self, frame_max: u32) {
        self.frame_max = frame_max;
    }

    /// The largest frame that the broker takes.
    pub fn frame_max(&self) -> u32 {
        self.frame_max
    }

    /// Writes whole frames.
    pub fn send(&self, frames: &[u8]) -> Result<(), ClientError> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.stream.write_all(frames)?;
        shared.last_sent = Instant::now();
        Ok(())
    }

    /// Writes one method.
    pub fn method<'a>(&self, channel: ChannelId, method: impl Into<Method<'a>>) -> Result<(), ClientError> {
        let mut frame = Vec::new();
        method.into().encode(channel, &mut frame);
        self.send(&frame)
    }

    /// Writes a heartbeat if nothing was written for `interval`. While someone else writes, none is needed.
    pub(super) fn heartbeat_after(&self, interval: Duration) -> Result<(), ClientError> {
        let Ok(mut shared) = self.shared.try_lock() else {
            return Ok(());
        };
        if shared.last_sent.elapsed() < interval {
            return Ok(());
        }
        let mut frame = Vec::new();
        encode_heartbeat(&mut frame);
        shared.stream.write_all(&frame)?;
        shared.last_sent = Instant::now();
        Ok(())
    }
}
