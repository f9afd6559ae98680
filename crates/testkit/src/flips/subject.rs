//! The store that is damaged: its bytes, which of them it relies on, and what it holds.
//!
//! Invariants:
//! - It was stopped in order, or killed, after a life with acks, fan-outs, requeues, a restart, a kill and a deleted queue.
//! - A live byte is one that a start, a reader or a later checkpoint relies on; what lies in spares, in space that was
//!   never used or in index pages that no checkpoint refers to is none.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use logpond_store::Priority;
use logpond_store::disk::sim::{Rng, SimDisk};
use logpond_store::disk::{Disk, DiskFile, FileKind};
use logpond_store::inspect::{Inspector, RecordInfo, RecordKind, SegmentInfo, SegmentRole};
use logpond_store::{
    AckReason, Engine, NewMessage, Now, Options, Persistence, QueueDurability, QueueId, Return, Seq, Sources,
};

/// Queues that messages go to.
const QUEUES: u64 = 4;
/// Bytes of segments at which the store is large enough.
const JOURNAL_BYTES: u64 = 1 << 20;

/// Messages by queue and seq.
pub(super) type Held = BTreeMap<(u64, u64), Vec<u8>>;

/// How the life of the store ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was stopped in order.
    Closed,
    /// It was killed. Its last block is left alone: nothing tells damage there from an interrupted write. And nothing tells
    /// how far a queue went whose last message was lost behind the newest checkpoint: that one is covered by the damaged range.
    Killed,
}

/// A store, what it holds, and what it relies on.
pub struct Subject {
    pub(super) disk: SimDisk,
    pub(super) options: Options,
    pub(super) ending: Ending,
    pub(super) held: Held,
    /// Where the message of each entry stands: file, bytes, queue and seq.
    pub(super) places: Vec<(String, Range<u64>, (u64, u64))>,
    live: Vec<(String, Range<u64>)>,
}

impl Subject {
    /// Makes a store of about 1 MiB from a seed.
    ///
    /// # Errors
    /// When it does not hold what was put into it.
    pub fn new(seed: u64, ending: Ending) -> Result<Self, String> {
        let options = Options::tiny();
        let disk = live(seed, ending, &options)?;
        let mut subject = Self {
            held: read_all(&disk.fork(), &options)?,
            disk,
            options,
            ending,
            places: Vec::new(),
            live: Vec::new(),
        };
        subject.survey(ending).map_err(|error| error.to_string())?;
        let placed: BTreeSet<(u64, u64)> = subject.places.iter().map(|(.., place)| *place).collect();
        if placed.len() != subject.held.len() {
            let (placed, held) = (placed.len(), subject.held.len());
            return Err(format!("{placed} messages have a record, and {held} can be read"));
        }
        Ok(subject)
    }

    /// How many bytes the store relies on.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.live.iter().map(|(_, range)| range.end - range.start).sum()
    }

    /// Live byte number `nth`: its file and its offset there.
    #[must_use]
    pub fn live_byte(&self, nth: u64) -> Option<(&str, u64)> {
        let mut left = nth;
        for (file, range) in &self.live {
            let len = range.end - range.start;
            if left < len {
                return Some((file, range.start + left));
            }
            left -= len;
        }
        None
    }

    /// Live bytes by kind of file, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
        for (file, range) in &self.live {
            let kind = match file.rsplit_once('/') {
                Some((_, name)) if name.starts_with("ckpt-") => "checkpoints",
                Some((_, name)) if name.contains(".idx") => "index",
                Some((_, name)) if name.contains(".footer") => "footers",
                Some(_) => "journal",
                None => file,
            };
            *kinds.entry(kind).or_default() += range.end - range.start;
        }
        let parts: Vec<String> = kinds
            .iter()
            .map(|(kind, bytes)| format!("{kind} {bytes}"))
            .collect();
        format!("{} messages, live bytes: {}", self.held.len(), parts.join(", "))
    }

    fn survey(&mut self, ending: Ending) -> Result<(), Box<dyn std::error::Error>> {
        let inspector = Inspector::new(&self.disk)?;
        for file in ["META", "catalog.log"] {
            // The end of a catalog that was not closed may be an interrupted write.
            let end = match (file, ending) {
                ("catalog.log", Ending::Killed) => 256,
                _ => size(&self.disk, file)?,
            };
            self.live.push((file.to_owned(), 0..end));
        }
        for checkpoint in inspector.checkpoints()? {
            self.live.push((checkpoint.file, 0..checkpoint.bytes));
        }
        for page in inspector.index()? {
            self.live.push((page.file, page.offset..page.offset + 4096));
        }
        let segments = inspector.segments()?;
        let of_log = |info: &&SegmentInfo| matches!(info.role, SegmentRole::Log | SegmentRole::Cold);
        let mut last = None;
        for segment in segments.iter().filter(of_log) {
            let blocks = inspector.segment(segment.number)?.blocks;
            for block in &blocks {
                for record in inspector.block(segment.number, block.offset)?.1 {
                    self.place(&segment.file, &record);
                }
            }
            if segment.role == SegmentRole::Log && !blocks.is_empty() {
                last = Some(segment.number);
            }
        }
        for segment in segments.iter().filter(of_log) {
            let detail = inspector.segment(segment.number)?;
            if let Some(footer) = detail.footer {
                self.live.push((footer.file, 0..footer.bytes));
            }
            let mut blocks = detail.blocks;
            // A header without a block behind it, and the last block, may be interrupted writes.
            if ending == Ending::Closed || !blocks.is_empty() {
                self.live.push((segment.file.clone(), 0..4096));
            }
            if ending == Ending::Killed && (Some(segment.number) == last || segment.number.is_cold()) {
                blocks.pop();
            }
            for block in blocks {
                let range = block.offset..block.offset + block.bytes;
                self.live.push((segment.file.clone(), range));
            }
        }
        Ok(())
    }

    /// Takes down where the entries of a message stand. One that was evacuated stands at two places.
    fn place(&mut self, file: &str, record: &RecordInfo) {
        let RecordKind::Message { references, .. } = &record.kind else {
            return;
        };
        let range = record.offset..record.offset + record.bytes;
        for reference in references {
            let place = place(reference.queue, reference.seq);
            if self.held.contains_key(&place) {
                self.places.push((file.to_owned(), range.clone(), place));
            }
        }
    }
}

fn size(disk: &SimDisk, file: &str) -> std::io::Result<u64> {
    disk.open(file, FileKind::Plain)?.len()
}

/// Everything that the store on `disk` gives out.
fn read_all(disk: &SimDisk, options: &Options) -> Result<Held, String> {
    let opened = Engine::open(disk.clone(), options.clone(), ());
    let (store, _) = opened.map_err(|error| error.to_string())?;
    let found = super::judge::read(&store)?;
    let messages = found.messages.into_iter().collect();
    Ok(messages)
}

/// The life of the store.
struct Life {
    store: Engine<SimDisk>,
    rng: Rng,
    queues: Vec<QueueId>,
    published: u64,
}

fn live(seed: u64, ending: Ending, options: &Options) -> Result<SimDisk, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut disk = SimDisk::new(seed);
    let (store, _) = Engine::open(disk.clone(), options.clone(), ()).map_err(|error| text(&error))?;
    let mut life = Life {
        store,
        rng: Rng::new(seed),
        queues: Vec::new(),
        published: 0,
    };
    life.create()?;
    for part in 1..=3 {
        while journal_bytes(&disk)? < JOURNAL_BYTES * part / 3 {
            life.work()?;
        }
        if part == 1 {
            life.store.close().map_err(|error| text(&error))?;
        }
        if part == 2 {
            // Nobody closes it: a kill.
            disk = disk.after_kill();
        }
        if part < 3 {
            let reopened = Engine::open(disk.clone(), options.clone(), ());
            life.store = reopened.map_err(|error| text(&error))?.0;
        }
    }
    if ending == Ending::Killed {
        return Ok(disk.after_kill());
    }
    life.store.close().map_err(|error| text(&error))?;
    Ok(disk)
}

fn journal_bytes(disk: &SimDisk) -> Result<u64, String> {
    let names = disk.list("shard-00/j").map_err(|error| error.to_string())?;
    let segments = names.iter().filter(|name| name.ends_with(".seg"));
    u64::try_from(segments.count() * (64 << 10)).map_err(|error| error.to_string())
}

impl Life {
    fn create(&mut self) -> Result<(), String> {
        for name in 0..=QUEUES {
            let id = self.store.next_queue_id();
            let description = format!("queue {name}");
            let put = self.store.catalog().put(description.as_bytes(), &id.get());
            put.map_err(|error| error.to_string())?;
            let durable = QueueDurability::Durable;
            let mut guard = self.store.lock();
            let created = guard.shard().create_queue(id, durable, description.as_bytes());
            created.map_err(|error| error.to_string())?;
            self.queues.push(id);
        }
        self.rest();
        // One of them does not stay.
        let gone = self.queues.swap_remove(0);
        self.publish_to(&[gone], 100)?;
        self.rest();
        let deleted = self.store.lock().shard().delete_queue(gone);
        deleted.map_err(|error| error.to_string())?;
        self.rest();
        Ok(())
    }

    /// Some messages, some acks, and one block or a few.
    fn work(&mut self) -> Result<(), String> {
        for _ in 0..self.rng.between(1, 12) {
            let all = self.queues.clone();
            let one = [all[self.rng.index(all.len())]];
            let queues = if self.rng.chance(8192) { &all[..] } else { &one[..] };
            let bytes = match self.rng.below(10) {
                0..5 => self.rng.below(200),
                5..8 => self.rng.between(200, 1500),
                8 => self.rng.between(1500, 6000),
                _ => 0,
            };
            self.publish_to(queues, usize::try_from(bytes).map_err(|error| error.to_string())?)?;
        }
        self.rest();
        let queue = self.queues[self.rng.index(self.queues.len())];
        self.consume(queue)
    }

    fn publish_to(&mut self, queues: &[QueueId], bytes: usize) -> Result<(), String> {
        self.published += 1;
        let number = self.published.to_le_bytes();
        let body: Vec<u8> = number.iter().copied().cycle().take(bytes).collect();
        let message = NewMessage {
            queues,
            properties: &[&number],
            body: &[&body],
            persistence: Persistence::Persistent,
            priority: Priority::NONE,
            timestamp_ms: self.published,
            // Some expire one day, and so have a record of the full form.
            expires_ms: self.published.is_multiple_of(4).then_some(100_000_000_000_000),
        };
        let published = self.store.lock().shard().publish(&message);
        published.map(drop).map_err(|error| error.to_string())
    }

    /// Leases some messages; acknowledges most, gives back the others.
    fn consume(&mut self, queue: QueueId) -> Result<(), String> {
        let (mut leases, mut sources) = (Vec::new(), Sources::default());
        let count = u32::try_from(self.rng.between(1, 8)).map_err(|error| error.to_string())?;
        {
            let mut guard = self.store.lock();
            let leased = guard
                .shard()
                .lease(queue, count, u64::MAX, &mut leases, &mut sources);
            leased.map_err(|error| error.to_string())?;
        }
        for lease in leases {
            let is_acked = self.rng.chance(30_000);
            let mut guard = self.store.lock();
            let shard = guard.shard();
            let settled = if is_acked {
                let acked = AckReason::Acked;
                let block = shard.acknowledge(queue, lease.seq, 1, acked, Now::default());
                block.map(drop)
            } else {
                shard.requeue(queue, lease.seq, 1, Return::Released, Now::default())
            };
            settled.map_err(|error| error.to_string())?;
        }
        self.rest();
        Ok(())
    }

    fn rest(&self) {
        while self.store.step() {}
    }
}

/// A place in a queue.
pub(super) const fn place(queue: QueueId, seq: Seq) -> (u64, u64) {
    (queue.get(), seq.get())
}
