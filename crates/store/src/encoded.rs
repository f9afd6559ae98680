//! Messages in the form in which the log takes them: encoded once, outside of every lock, by whoever brings them.
//!
//! Invariants:
//! - The bytes are message records, one behind the other, each 8-aligned with a padding of zeros. What only the log can give
//!   (ordinal, message id, time, places in the queues, checksums) is zero in them.
//! - A record names each queue once.
//! - The runs, one behind the other, are all messages; neighbours differ in their queues.
//! - No allocation per message.
//!
//! Elsewhere: what the log gives them (`shard::encoded`).

use crate::batch_memory::BatchMemory;
use crate::disk::AlignedBuf;
use crate::format::message::{self, MessageRecord, Persistence, UnplacedMessage};
use crate::format::pad8;
use crate::ids::QueueId;
use crate::index::page;

/// Messages that wait to be published together. What is too large for a record stands in it all the same, with lengths that
/// say so: whoever takes it looks at the bytes first.
pub(crate) struct EncodedMessages {
    memory: BatchMemory,
    /// The queues of all runs, one behind the other.
    queues: Queues,
    /// All runs but the newest.
    runs: Vec<Extent>,
    newest: Extent,
    /// Whether something in it is transient, or expires.
    is_mixed: bool,
}

/// Queues, one behind the other. Most batches are for a single one, which is kept without an allocation.
enum Queues {
    One(QueueId),
    Many(Vec<QueueId>),
}

/// A run, as it is kept.
#[derive(Clone, Copy, Default)]
struct Extent {
    queues: usize,
    messages: usize,
    counted: u64,
}

/// Messages that follow each other, all for the same queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EncodedRun<'a> {
    pub queues: &'a [QueueId],
    pub messages: usize,
    /// Bytes of their bodies, as limits count them.
    pub counted: u64,
}

impl EncodedMessages {
    pub(crate) const fn new() -> Self {
        Self {
            memory: BatchMemory::new(),
            queues: Queues::Many(Vec::new()),
            runs: Vec::new(),
            newest: Extent {
                queues: 0,
                messages: 0,
                counted: 0,
            },
            is_mixed: false,
        }
    }

    /// Adds a message for these queues; for one that is named twice, once.
    pub(crate) fn push(&mut self, queues: &[QueueId], message: &UnplacedMessage<'_>) {
        self.is_mixed |= message.persistence == Persistence::Transient || message.life_ms.is_some();
        if !self.goes_on_for(queues) {
            self.begin_run(queues);
        }
        self.newest.messages += 1;
        self.newest.counted += page::counted_bytes(message.properties.len(), message.body.len());
        let all = self.queues.as_slice();
        let queues = &all[all.len() - self.newest.queues..];
        let len = message.shape(queues.len()).record_len();
        self.memory.push(pad8(len), queues, message);
    }

    /// Whether a message for these queues goes on with the newest run.
    fn goes_on_for(&self, queues: &[QueueId]) -> bool {
        match (queues, &self.queues) {
            ([queue], Queues::One(only)) => queue == only,
            _ => self.newest.messages > 0 && self.newest_queues() == queues,
        }
    }

    /// The queues of the newest run.
    fn newest_queues(&self) -> &[QueueId] {
        let all = self.queues.as_slice();
        &all[all.len() - self.newest.queues..]
    }

    fn begin_run(&mut self, queues: &[QueueId]) {
        let before = self.queues.as_slice().len();
        self.queues.add(queues);
        let (known, named) = self.queues.as_slice().split_at(before);
        let named_count = named.len();
        if self.newest.messages > 0 {
            if self.newest.queues == named_count && known.ends_with(named) {
                // The same, named in another order.
                self.queues.truncate(before);
                return;
            }
            self.runs.push(self.newest);
        }
        self.newest = Extent {
            queues: named_count,
            messages: 0,
            counted: 0,
        };
    }

    /// Messages.
    pub(crate) fn count(&self) -> usize {
        self.extents().map(|run| run.messages).sum()
    }

    /// All records.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.records()
    }

    /// All records as a block with room for its header, if they are many; they are not here any more then.
    pub(crate) fn take_block(&mut self) -> Option<AlignedBuf> {
        self.memory.take_block()
    }

    /// Each queue that is named, at least once.
    pub(crate) fn queues(&self) -> &[QueueId] {
        self.queues.as_slice()
    }

    fn extents(&self) -> impl Iterator<Item = &Extent> {
        let newest = Some(&self.newest).filter(|run| run.messages > 0);
        self.runs.iter().chain(newest)
    }

    /// All messages, as the runs that they are made of.
    pub(crate) fn runs(&self) -> impl Iterator<Item = EncodedRun<'_>> {
        let mut rest = self.queues.as_slice();
        self.extents().map(move |run| {
            let (queues, behind) = rest.split_at(run.queues);
            rest = behind;
            EncodedRun {
                queues,
                messages: run.messages,
                counted: run.counted,
            }
        })
    }

    /// Bytes of all records, should they be written one by one: in queues in which they expire they have the full form then.
    pub(crate) fn bytes_at_most(&self) -> usize {
        let excess = self
            .runs()
            .map(|run| run.messages * message::full_excess(run.queues.len()));
        self.bytes().len() + excess.sum::<usize>()
    }

    /// The most queues that one message names.
    pub(crate) fn references_max(&self) -> usize {
        self.extents().map(|run| run.queues).max().unwrap_or_default()
    }

    /// Whether all are persistent, and none expires.
    pub(crate) const fn are_plain(&self) -> bool {
        !self.is_mixed
    }

    /// The messages one by one, each with the milliseconds that it lives; nothing else of what the log gives means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MessageRecord<'_>, Option<u64>)> {
        message::messages(self.bytes()).map(|message| (message, message::life_ms(&message)))
    }
}

impl Queues {
    fn as_slice(&self) -> &[QueueId] {
        match self {
            Self::One(queue) => std::slice::from_ref(queue),
            Self::Many(queues) => queues,
        }
    }

    /// Adds these behind all others, sorted and each once.
    fn add(&mut self, queues: &[QueueId]) {
        match (&mut *self, queues) {
            (Self::Many(all), [queue]) if all.is_empty() => *self = Self::One(*queue),
            (Self::Many(all), _) => add_sorted(all, queues),
            (Self::One(first), _) => {
                let mut all = vec![*first];
                add_sorted(&mut all, queues);
                *self = Self::Many(all);
            }
        }
    }

    /// Takes off all but the first `len`.
    fn truncate(&mut self, len: usize) {
        if let Self::Many(all) = self {
            all.truncate(len);
        }
    }
}

fn add_sorted(all: &mut Vec<QueueId>, queues: &[QueueId]) {
    let before = all.len();
    all.extend_from_slice(queues);
    sort_and_dedup(all, before);
}

/// Sorts what stands in the list from `from` on, and keeps each once.
fn sort_and_dedup(list: &mut Vec<QueueId>, from: usize) {
    list[from..].sort_unstable();
    let mut end = from;
    for at in from..list.len() {
        if at == from || list[at] != list[end - 1] {
            list[end] = list[at];
            end += 1;
        }
    }
    list.truncate(end);
}
