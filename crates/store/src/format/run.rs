//! Runs: messages that follow each other, all for the same queues. What they share is settled once for all of them.
//!
//! Invariants:
//! - What is read of a run is what `record` reads of each of its messages.
//! - In a run that is read each message is the next one in each of its queues, and all entries of a message are alike: they
//!   expire together.
//!
//! Elsewhere: the records (`record`), what a run does to the state (`state::run`).

use super::message::{self, Form, Layout, Origin, Persistence, Reference, References, Stamps};
use crate::format::{gist, pad8};
use crate::ids::Seq;
use crate::priority::Priority;

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
        let stamps = Stamps {
            ordinal: first.ordinal + at,
            message_id: first.message_id + u64::from(at),
            timestamp_ms: first.timestamp_ms,
        };
        let len = message::complete(rest, &stamps, first.seqs, u64::from(at));
        rest = &mut rest[len..];
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
    pub priority: Priority,
    pub form: Form,
    pub message_id: Option<u64>,
    pub properties_len: usize,
}

/// The run that a payload begins with, read message by message.
pub(crate) struct Run<'a> {
    payload: &'a [u8],
    at: usize,
    taken: u64,
    /// Of the first message.
    references: References<'a>,
    width: usize,
    /// The first of them.
    first: Reference,
}

impl<'a> Run<'a> {
    /// `None` when the first record is no message that was published for any queue.
    pub(crate) fn begin(payload: &'a [u8]) -> Option<Self> {
        let layout = Layout::of(payload).filter(|layout| layout.origin == Origin::Published)?;
        let references = layout.references_in(payload)?;
        Some(Self {
            payload,
            at: 0,
            taken: 0,
            references,
            width: layout.references,
            first: references.first()?,
        })
    }

    /// The entries of the first message.
    pub(crate) fn references(&self) -> impl Iterator<Item = Reference> + use<'a> {
        self.references.iter()
    }

    /// How many entries each message has.
    pub(crate) const fn width(&self) -> usize {
        self.width
    }

    /// Bytes of the messages that were read.
    pub(crate) const fn read_len(&self) -> usize {
        self.at
    }

    /// Whether an entry follows, in its queue, on what was taken behind `first`.
    #[inline]
    fn follows(&self, entry: &Reference, first: &Reference) -> bool {
        entry.queue == first.queue && entry.seq.get() == first.seq.get().wrapping_add(self.taken)
    }

    /// Whether a message with these entries, which expires then, goes on with the run.
    fn goes_on_with(&self, references: &References<'_>, expires_ms: u64) -> bool {
        let mut pairs = references.iter().zip(self.references.iter());
        pairs.all(|(here, first)| self.follows(&here, &first) && here.expires_ms == expires_ms)
    }
}

impl Iterator for Run<'_> {
    type Item = RunMessage;

    #[inline]
    fn next(&mut self) -> Option<RunMessage> {
        let bytes = self.payload.get(self.at..)?;
        let layout = Layout::of(bytes)?;
        let references = layout.references_in(bytes)?;
        let first = references.first()?;
        let is_next = layout.origin == Origin::Published
            && layout.references == self.width
            && self.follows(&first, &self.first)
            && (self.width == 1 || self.goes_on_with(&references, first.expires_ms));
        let len = gist::record_len(bytes);
        if !is_next || len > bytes.len() {
            return None;
        }
        let (message_id, _) = layout.stamps_in(bytes);
        let message = RunMessage {
            offset: self.at,
            len,
            expires_ms: first.expires_ms,
            is_transient: message::persistence(bytes[9]) == Persistence::Transient,
            priority: message::priority(bytes[9], bytes[10]),
            form: layout.form,
            message_id,
            properties_len: layout.properties_len,
        };
        self.at += pad8(len);
        self.taken += 1;
        Some(message)
    }
}

#[cfg(test)]
mod tests;
