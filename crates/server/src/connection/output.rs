//! Bytes on their way into a socket.
//!
//! Invariants:
//! - A connection without pending bytes holds no write buffer: it is back in the pool.
//! - Bytes leave in the order in which they were encoded.

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
}

impl Output {
    /// Bytes of `buffer` that wait.
    pub fn pending(&self, buffer: &[u8]) -> usize {
        buffer.len() - self.written
    }

    /// Writes what the socket takes without waiting.
    pub fn write_to(&mut self, socket: &mut Wire, buffer: &mut Vec<u8>) -> io::Result<Written> {
        while self.written < buffer.len() {
            match socket.try_write(&buffer[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.written += len,
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
