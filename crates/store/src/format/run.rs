//! Runs: messages that follow each other, all for the same queues. What they share is settled once for all of them.
//!
//! Invariants:
//! - What is read of a run is what `record` reads of each of its messages.
//! - In a run that is read each message is the next one in each of its queues, and all entries of a message are alike: they
//!   expire together.
//!
//! Elsewhere: the records (`record`), what a run does to the state (`state::run`).

use super::message::{self, MESSAGE_HEADER_LEN, Persistence, REFERENCE_LEN, Reference};
use crate::format::{memory_len, pad8};
use crate::ids::Seq;
use byteorder::{ByteOrder, LittleEndian as LE};

/// What the log gives to the first message of a run; those behind it get what comes next.
pub(crate) struct FirstPlace<'a> {
    pub ordinal: u32,
    pub message_id: u64,
    /// Its place in each of the run's queues.
    pub seqs: &'a [Seq],
    /// When all of them were published.
    pub timestamp_ms: u64,
}

/// Gives so many messages of a run, which [`message::encode_message`] made and `records` begins with, what only the log knows. Returns
/// what stands behind them.
pub(crate) fn complete<'a>(records: &'a mut [u8], count: u32, first: &FirstPlace<'_>) -> &'a mut [u8] {
    let mut rest = records;
    for at in 0..count {
        let head: &mut [u8; MESSAGE_HEADER_LEN] = rest
            .first_chunk_mut()
            .expect("each message has been counted when it was encoded");
        let len = pad8(memory_len(LE::read_u32(&head[4..])));
        LE::write_u32(&mut head[12..], first.ordinal + at);
        LE::write_u64(&mut head[32..], first.message_id + u64::from(at));
        LE::write_u64(&mut head[40..], first.timestamp_ms);
        let (message, behind) = rest.split_at_mut(len);
        let references = message[MESSAGE_HEADER_LEN..].chunks_exact_mut(REFERENCE_LEN);
        for (reference, seq) in references.zip(first.seqs) {
            LE::write_u64(&mut reference[8..], seq.plus(u64::from(at)).get());
        }
        rest = behind;
    }
    rest
}

/// What the index needs to know of a message in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RunMessage {
    /// Where in the payload its record begins.
    pub offset: usize,
    /// Bytes of its record, padding not counted.
    pub len: usize,
    pub expires_ms: u64,
    pub is_transient: bool,
    pub priority: u8,
    pub message_id: u64,
    pub properties_len: usize,
}

/// The run that a payload begins with, read message by message.
pub(crate) struct Run<'a> {
    payload: &'a [u8],
    at: usize,
    taken: u64,
    /// Of the first message.
    references: &'a [u8],
    /// The first of them.
    queue: u64,
    seq: u64,
}

/// The shortest message that is for any queue: of runs all are.
const HEAD_LEN: usize = MESSAGE_HEADER_LEN + REFERENCE_LEN;

impl<'a> Run<'a> {
    /// `None` when the first record is no message that was published for any queue.
    pub(crate) fn begin(payload: &'a [u8]) -> Option<Self> {
        let head: &[u8; HEAD_LEN] = payload.first_chunk()?;
        let count = memory_len(LE::read_u32(&head[16..]));
        if head[8] != message::TYPE_MESSAGE || count == 0 {
            return None;
        }
        let references = payload[MESSAGE_HEADER_LEN..].get(..count.checked_mul(REFERENCE_LEN)?)?;
        Some(Self {
            payload,
            at: 0,
            taken: 0,
            references,
            queue: LE::read_u64(&head[48..]),
            seq: LE::read_u64(&head[56..]),
        })
    }

    /// The entries of the first message.
    pub(crate) fn references(&self) -> impl Iterator<Item = Reference> + use<'a> {
        message::references(self.references)
    }

    /// How many entries each message has.
    pub(crate) const fn width(&self) -> usize {
        self.references.len() / REFERENCE_LEN
    }

    /// Bytes of the messages that were read.
    pub(crate) const fn read_len(&self) -> usize {
        self.at
    }

    /// Whether a message with these references, which expires then, goes on with the run.
    fn goes_on_with(&self, references: &[u8], expires_ms: u64) -> bool {
        let pairs = references
            .chunks_exact(REFERENCE_LEN)
            .zip(self.references.chunks_exact(REFERENCE_LEN));
        pairs.skip(1).all(|(here, first)| {
            LE::read_u64(here) == LE::read_u64(first)
                && LE::read_u64(&here[8..]) == LE::read_u64(&first[8..]).wrapping_add(self.taken)
                && LE::read_u64(&here[16..]) == expires_ms
        })
    }
}

impl Iterator for Run<'_> {
    type Item = RunMessage;

    #[inline]
    fn next(&mut self) -> Option<RunMessage> {
        let bytes = self.payload.get(self.at..)?;
        let head: &[u8; HEAD_LEN] = bytes.first_chunk()?;
        let references_len = self.references.len();
        let is_next = head[8] == message::TYPE_MESSAGE
            && head[11] == message::FORMAT_MESSAGE
            && memory_len(LE::read_u32(&head[16..])) == self.width()
            && LE::read_u64(&head[48..]) == self.queue
            && LE::read_u64(&head[56..]) == self.seq.wrapping_add(self.taken);
        let len = memory_len(LE::read_u32(&head[4..]));
        let properties_len = memory_len(LE::read_u32(&head[20..]));
        let claimed = (MESSAGE_HEADER_LEN + references_len)
            .checked_add(properties_len)?
            .checked_add(memory_len(LE::read_u32(&head[24..])))?;
        if !is_next || len != claimed || len > bytes.len() {
            return None;
        }
        let expires_ms = LE::read_u64(&head[64..]);
        if references_len > REFERENCE_LEN
            && !self.goes_on_with(&bytes[MESSAGE_HEADER_LEN..][..references_len], expires_ms)
        {
            return None;
        }
        let message = RunMessage {
            offset: self.at,
            len,
            expires_ms,
            is_transient: message::persistence(head[9]) == Persistence::Transient,
            priority: head[10],
            message_id: LE::read_u64(&head[32..]),
            properties_len,
        };
        self.at += pad8(len);
        self.taken += 1;
        Some(message)
    }
}

#[cfg(test)]
mod tests;
