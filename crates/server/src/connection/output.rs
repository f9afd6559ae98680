//! Bytes on their way into a socket.
//!
//! Invariants:
//! - A connection without pending bytes holds no write buffer: it is back in the pool.
//! - Bytes leave in the order in which they were encoded.
//! - What counts as answers is at least what waits of them, and nothing once the last of them has left.

use std::io;

use super::wire::Wire;
use crate::buffers::Buffers;

/// Whether the socket took everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Nothing is left.
    All,
    /// The socket is full.
    Some,
}

/// How far a write buffer was written.
#[derive(Debug, Default)]
pub(super) struct Output {
    written: usize,
    /// Bytes of answers, since none of them waited, and how much is to be written until that is so again.
    answers: usize,
    until_answered: usize,
}

impl Output {
    /// Bytes of `buffer` that wait.
    pub fn pending(&self, buffer: &[u8]) -> usize {
        buffer.len() - self.written
    }

    /// Bytes of answers that wait, as opposed to what the client did not ask for just now.
    pub fn answers(&self) -> usize {
        self.answers
    }

    /// What stands in `buffer` behind its first `before` bytes are answers.
    pub fn answered(&mut self, before: usize, buffer: &[u8]) {
        let more = buffer.len() - before;
        if more > 0 {
            self.answers += more;
            self.until_answered = self.pending(buffer);
        }
    }

    fn wrote(&mut self, len: usize) {
        self.written += len;
        self.until_answered = self.until_answered.saturating_sub(len);
        if self.until_answered == 0 {
            self.answers = 0;
        }
    }

    /// Writes what the socket takes without waiting.
    pub fn write_to(&mut self, socket: &mut Wire, buffer: &mut Vec<u8>) -> io::Result<Written> {
        while self.written < buffer.len() {
            match socket.try_write(&buffer[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.wrote(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.compact(buffer);
                    return Ok(Written::Some);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        buffer.clear();
        socket.flush()?;
        Ok(if socket.owes() {
            Written::Some
        } else {
            Written::All
        })
    }

    /// Forgets what was written, once that is most of the buffer, so that a slow reader does not make it grow.
    fn compact(&mut self, buffer: &mut Vec<u8>) {
        if self.written > buffer.len() / 2 {
            buffer.drain(..self.written);
            self.written = 0;
        }
    }
}

/// Gives `buffer` memory from the pool if it has none.
pub(super) fn equip(buffer: &mut Vec<u8>, buffers: &Buffers) {
    if buffer.capacity() == 0 {
        *buffer = buffers.take_writing();
    }
}

/// Gives the memory back if nothing is in it.
pub(super) fn release(buffer: &mut Vec<u8>, buffers: &Buffers) {
    if buffer.is_empty() {
        buffers.return_writing(std::mem::take(buffer));
    }
}
