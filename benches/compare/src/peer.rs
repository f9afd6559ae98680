//! What an engine has to do to be compared.

use crate::workload::{Durability, Target};
use serde::Serialize;

/// A batch of equal messages, by thread number `thread`.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    pub body: &'a [u8],
    pub count: usize,
    pub target: Target,
    pub durability: Durability,
    pub thread: usize,
}

/// An engine, open on a directory of its own.
pub trait Peer: Send + Sync {
    /// Appends a batch.
    fn append(&self, load: &Load<'_>) -> anyhow::Result<()>;

    /// Makes durable whatever was appended or acknowledged before.
    fn settle(&self) -> anyhow::Result<()>;

    /// Takes up to `count` messages off the first queue, looks at each and acknowledges them; returns the bytes of their bodies
    /// and how many there were.
    fn take(&self, count: usize) -> anyhow::Result<Taken>;

    /// Prepares to keep so many bytes of messages in memory, where that is a matter of settings and the engine's own would not
    /// do; `None` for its own. Not measured; the queues are empty.
    fn keep_in_memory(&mut self, _bytes: Option<usize>) -> anyhow::Result<()> {
        Ok(())
    }

    /// Closes the engine in good order; what was settled is in its files. Not measured.
    fn close(&mut self) -> anyhow::Result<()>;

    /// Opens it again.
    fn reopen(&mut self) -> anyhow::Result<()>;

    /// Empties all queues, so that the next measurement begins like this one. Not measured.
    fn clear(&mut self) -> anyhow::Result<()>;
}

/// What was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub messages: usize,
    pub bytes: usize,
}

impl Taken {
    /// One more message with this body.
    pub fn add(&mut self, body: &[u8]) {
        self.messages += 1;
        self.bytes += std::hint::black_box(body).len();
    }
}

/// What the record says of an engine.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Description {
    pub name: &'static str,
    /// The package whose version counts.
    pub package: &'static str,
    pub settings: &'static str,
    /// Where messages are that were just appended, and what is done so that 64 MiB of them are there.
    pub memory: &'static str,
    /// How a synced batch becomes durable, and what is missing to what Logpond promises.
    pub durability: &'static str,
}
