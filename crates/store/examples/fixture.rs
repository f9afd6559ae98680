//! Makes the fixture of the present format version: a small data directory with everything that a store keeps, and a list
//! of what was put in and has to come out of it.
//!
//! `cargo run -p logpond-store --example fixture -- crates/store/tests/fixtures` makes `format-<version>` in that
//! directory and refuses to touch one that is there (docs/format.md, "Versions").

use logpond_store::Priority;
use logpond_store::disk::{RealDisk, WriteMode};
use logpond_store::{
    AckReason, Engine, FORMAT_VERSION, LeaseOutcome, NewMessage, Now, Options, Persistence, QueueDurability,
    QueueId, QueueOptions, Return, Seq, Sources, Store,
};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

type Failure = Box<dyn std::error::Error>;

/// Messages of `orders`, from which some are acknowledged and some put back.
const ORDERS: u64 = 40;
/// Bursts of messages that come and go: each fills a segment, so that `kept` is evacuated.
const BURSTS: u64 = 24;
/// Pieces of pending work that are done in a round.
const STEPS: u32 = 100;
/// More than any run needs until all that is kept was moved.
const ROUNDS_MAX: u64 = 1_000;

/// Makes the fixture in the directory that the first argument names.
pub fn main() -> Result<(), Failure> {
    let into = env::args()
        .nth(1)
        .ok_or("name the directory that holds the fixtures")?;
    let made = make(Path::new(&into))?;
    println!("made {}", made.display());
    Ok(())
}

/// Makes the fixture below `into`; returns where it is.
pub fn make(into: &Path) -> Result<PathBuf, Failure> {
    let fixture = into.join(format!("format-{FORMAT_VERSION}"));
    fs::create_dir(&fixture)?;
    let data = fixture.join("data");
    let mut contents = Contents::default();
    let queues = define(&data)?;
    fill(&data, &queues, &mut contents)?;
    fs::write(fixture.join("contents.txt"), contents.0)?;
    // Who held the directory is no part of its format.
    fs::remove_file(data.join("LOCK"))?;
    Ok(fixture)
}

/// What has to come out, a line each: queue, seq, `again` or `first` for the next delivery (with how often it came back, and how often
/// of these with a failure), timestamp, properties, and the body as a text and how often it is repeated.
#[derive(Default)]
struct Contents(String);

impl Contents {
    fn expect(&mut self, queue: &str, seq: u64, delivery: &str, message: &Numbered) -> Result<(), Failure> {
        let Numbered {
            text,
            repeated,
            timestamp_ms,
            ..
        } = message;
        writeln!(
            self.0,
            "{queue}\t{seq}\t{delivery}\t{timestamp_ms}\tp-{text}\t{text}\t{repeated}"
        )?;
        Ok(())
    }
}

struct Queues {
    orders: QueueId,
    kept: QueueId,
    passing: QueueId,
    limited: QueueId,
}

struct Numbered {
    text: String,
    repeated: usize,
    timestamp_ms: u64,
    expires_ms: Option<u64>,
}

impl Numbered {
    /// Bodies of all sorts: empty, below and above what has a checksum of its own. Every fourth message expires, but not before the year
    /// 5138, and so has a record of the full form.
    fn new(queue: &str, number: u64) -> Self {
        let sizes = [0, 1, 7, 40, 300];
        let which = usize::try_from(number).unwrap_or(0) % sizes.len();
        Self {
            text: format!("{queue} {number}"),
            repeated: sizes[which],
            timestamp_ms: 1_700_000_000_000 + number,
            expires_ms: number.is_multiple_of(4).then_some(100_000_000_000_000),
        }
    }
}

fn options() -> Options {
    Options {
        slab_bytes: 128 << 10,
        checkpoint_bytes: u64::MAX,
        checkpoint_ms: u64::MAX,
        spare_segments_max: 0,
        reserve_segments: 0,
        evacuation_slack_bytes: 0,
        ..Options::tiny()
    }
}

/// Names, one of them deleted again with what it held.
fn define(data: &Path) -> Result<Queues, Failure> {
    let (store, _) = Store::open(data, options())?;
    let made = |name: &str, options| store.queue(name, options).map(|queue| queue.id());
    let queues = Queues {
        orders: made("orders", QueueOptions::default())?,
        kept: made("kept", QueueOptions::default())?,
        passing: made("passing", QueueOptions::default())?,
        limited: made("limited", QueueOptions::newest(1_000))?,
    };
    let deleted = store.queue("deleted", QueueOptions::at_most(10))?;
    let mut batch = logpond_store::Batch::new();
    batch.publish(
        &[deleted.id()],
        logpond_store::Message::new("goes with its queue"),
    );
    store.commit(batch)?;
    deleted.delete()?;
    store.close()?;
    Ok(queues)
}

fn fill(data: &Path, queues: &Queues, contents: &mut Contents) -> Result<(), Failure> {
    let disk = RealDisk::open(data, WriteMode::default())?;
    let (engine, _) = Engine::open(disk, options(), ())?;
    let vanishing = engine.next_queue_id();
    let transient = QueueDurability::Transient;
    engine
        .lock()
        .shard()
        .create_queue(vanishing, transient, b"vanishes")?;
    for number in 0..BURSTS {
        let message = Numbered::new("kept", number);
        publish(&engine, &[queues.kept], &message, Persistence::Persistent)?;
        contents.expect("kept", number, "first", &message)?;
        burst(&engine, queues.passing)?;
    }
    evacuate(&engine, queues.passing)?;

    for number in 0..ORDERS {
        let message = Numbered::new("orders", number);
        // Every third is in two queues and written once; those at 31 and 37 do not outlive the process.
        let both = [queues.orders, queues.limited];
        let to = if number % 3 == 0 { &both[..] } else { &both[..1] };
        let persistence = if matches!(number, 31 | 37) {
            Persistence::Transient
        } else {
            Persistence::Persistent
        };
        publish(&engine, to, &message, persistence)?;
        if number % 3 == 0 {
            contents.expect("limited", number / 3, "first", &message)?;
        }
    }
    publish(
        &engine,
        &[vanishing],
        &Numbered::new("vanishing", 3),
        Persistence::Persistent,
    )?;
    lease(&engine, queues.orders, 30)?;
    acknowledge(&engine, queues.orders, 0, 10)?;
    acknowledge(&engine, queues.orders, 14, 3)?;
    requeue(&engine, queues.orders, 18, 4, Return::Failed)?;
    lease(&engine, queues.orders, 4)?;
    engine.checkpoint();
    // Behind the checkpoint, so that there is something to replay.
    let late = Numbered::new("orders", ORDERS);
    publish(&engine, &[queues.orders], &late, Persistence::Persistent)?;
    requeue(&engine, queues.orders, 20, 4, Return::Released)?;
    acknowledge(&engine, queues.orders, 12, 1)?;
    for number in 0..=ORDERS {
        let is_dead = number < 10 || (14..17).contains(&number) || matches!(number, 12 | 31 | 37);
        // What was leased when the store was stopped is back, and was delivered.
        let delivery = match number {
            18 | 19 => "again 1 1",
            20 | 21 => "again 2 1",
            22 | 23 => "again 1 0",
            0..30 => "again",
            _ => "first",
        };
        if !is_dead {
            contents.expect("orders", number, delivery, &Numbered::new("orders", number))?;
        }
    }
    engine.close()?;
    Ok(())
}

fn requeue(
    engine: &Engine<RealDisk>,
    queue: QueueId,
    first: u64,
    count: u64,
    how: Return,
) -> Result<(), Failure> {
    let mut guard = engine.lock();
    Ok(guard
        .shard()
        .requeue(queue, Seq::new(first), count, how, Now::default())?)
}

fn publish(
    engine: &Engine<RealDisk>,
    queues: &[QueueId],
    message: &Numbered,
    persistence: Persistence,
) -> Result<(), Failure> {
    let block = engine.lock().shard().publish(&NewMessage {
        queues,
        properties: &[b"p-", message.text.as_bytes()],
        body: &[message.text.repeat(message.repeated).as_bytes()],
        persistence,
        // None, a 0 that was given, and another.
        priority: [Priority::NONE, Priority::new(0), Priority::new(3)][message.repeated % 3],
        timestamp_ms: message.timestamp_ms,
        expires_ms: message.expires_ms,
    })?;
    engine.wait_durable(block)?;
    Ok(())
}

/// More than a segment of messages, acknowledged at once.
fn burst(engine: &Engine<RealDisk>, passing: QueueId) -> Result<(), Failure> {
    let mut last = Seq::new(0);
    for _ in 0..3 {
        let message = Numbered {
            text: "passes by ".to_owned(),
            repeated: 2_400,
            timestamp_ms: 1,
            expires_ms: None,
        };
        publish(engine, &[passing], &message, Persistence::Persistent)?;
        last = lease(engine, passing, 1)?;
    }
    acknowledge(engine, passing, last.get() - 2, 3)
}

/// Goes on until what is kept was moved to a cold segment and what it lay in is gone.
fn evacuate(engine: &Engine<RealDisk>, passing: QueueId) -> Result<(), Failure> {
    for _ in 0..ROUNDS_MAX {
        burst(engine, passing)?;
        engine.checkpoint();
        // A store makes work out of work: a bounded share of it a round.
        (0..STEPS).take_while(|_| engine.step()).count();
        let counters = engine.counters();
        if counters.copies >= BURSTS && counters.segments <= 4 {
            return Ok(());
        }
    }
    Err(format!("no rest: {:?}", engine.counters()).into())
}

/// Leases `count` messages; returns the last.
fn lease(engine: &Engine<RealDisk>, queue: QueueId, count: u32) -> Result<Seq, Failure> {
    let (mut leases, mut sources) = (Vec::new(), Sources::default());
    while let left @ 1.. = count.saturating_sub(u32::try_from(leases.len())?) {
        let outcome = engine
            .lock()
            .shard()
            .lease(queue, left, u64::MAX, &mut leases, &mut sources)?;
        match outcome {
            LeaseOutcome::Pending(block) => engine.wait_durable(block).map(drop)?,
            LeaseOutcome::Empty => return Err("there are fewer messages than that".into()),
            LeaseOutcome::Some(_) => {}
        }
    }
    let last = leases.last().ok_or("nothing was asked for")?;
    Ok(last.seq)
}

fn acknowledge(engine: &Engine<RealDisk>, queue: QueueId, first: u64, count: u64) -> Result<(), Failure> {
    let (first, reason) = (Seq::new(first), AckReason::Acked);
    let block = engine
        .lock()
        .shard()
        .acknowledge(queue, first, count, reason, Now::default())?;
    engine.wait_durable(block)?;
    Ok(())
}
