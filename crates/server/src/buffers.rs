//! Pooled memory for reading and writing: borrowed by connections that have something to do, never by idle ones.
//!
//! Invariants:
//! - A read buffer is zeroed once, when it is made; what stands in it afterwards is whatever was read last.
//! - The pool keeps at most `POOLED_BUFFERS_MAX` of each kind and drops the rest.

use std::sync::{Mutex, PoisonError};

use crate::connection::CommandSpace;
use crate::limits::{POOLED_BUFFERS_MAX, READ_BUFFER_BYTES, WRITE_BUFFER_KEPT_BYTES_MAX};

/// What a connection needs while it reads.
pub(crate) struct ReadSpace {
    /// Bytes from the socket.
    pub bytes: Box<[u8]>,
    /// Commands found in them.
    pub commands: CommandSpace,
}

impl ReadSpace {
    fn new() -> Self {
        Self {
            bytes: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            commands: CommandSpace::default(),
        }
    }
}

/// The buffers of all connections.
#[derive(Default)]
pub(crate) struct Buffers {
    reading: Mutex<Vec<ReadSpace>>,
    writing: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Borrows a read buffer.
    pub fn take_reading(&self) -> ReadSpace {
        let pooled = self.reading.lock().unwrap_or_else(PoisonError::into_inner).pop();
        pooled.unwrap_or_else(ReadSpace::new)
    }

    /// Gives a read buffer back.
    pub fn return_reading(&self, space: ReadSpace) {
        let mut pool = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOLED_BUFFERS_MAX {
            pool.push(space);
        }
    }

    /// Borrows an empty write buffer.
    pub fn take_writing(&self) -> Vec<u8> {
        self.writing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default()
    }

    /// Gives a write buffer back; one that a large message has stretched is freed.
    pub fn return_writing(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() == 0 || buffer.capacity() > WRITE_BUFFER_KEPT_BYTES_MAX {
            return;
        }
        let mut pool = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOLED_BUFFERS_MAX {
            pool.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::POLL_BYTES_MAX;

    /// What a poll that brings messages of `len` bytes makes of an empty buffer.
    fn filled(mut buffer: Vec<u8>, len: usize) -> Vec<u8> {
        while buffer.len() < POLL_BYTES_MAX {
            buffer.reserve(len);
            buffer.resize(buffer.len() + len, 1);
        }
        buffer
    }

    #[test]
    fn a_write_buffer_that_a_poll_filled_is_used_again() {
        for len in [88, 1_100, 65_620, 262_300] {
            let buffers = Buffers::default();
            buffers.return_writing(filled(buffers.take_writing(), len));
            let again = buffers.take_writing();
            assert!(again.is_empty() && again.capacity() >= POLL_BYTES_MAX, "{len}");
        }
    }

    #[test]
    fn a_write_buffer_that_a_large_message_has_stretched_is_freed() {
        let buffers = Buffers::default();
        buffers.return_writing(vec![1; WRITE_BUFFER_KEPT_BYTES_MAX + 1]);
        assert_eq!(buffers.take_writing().capacity(), 0);
    }
}
