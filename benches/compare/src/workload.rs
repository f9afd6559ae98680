//! What is measured.

use serde::Serialize;

const SIZES: [(&str, usize); 3] = [("16 B", 16), ("1 KiB", 1 << 10), ("64 KiB", 64 << 10)];
const BATCHES: [usize; 3] = [1, 100, 1000];
/// Queues that a fan-out goes to.
pub const FAN_OUT: usize = 10;
/// Messages that are fetched warm in one measurement, at most …
const WARM_MAX: usize = 50_000;
/// … and bytes of their bodies.
const WARM_BYTES_MAX: usize = 64 << 20;
/// The same of cold ones: enough for a disk to show how fast it is.
const COLD_MAX: usize = 400_000;
const COLD_BYTES_MAX: usize = 128 << 20;

/// When a batch is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// When the call that brings it returns.
    Synced,
    /// Some time later; at the latest when the engine is told to settle.
    Buffered,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Into one queue.
    One,
    /// Into [`FAN_OUT`] queues.
    FanOut,
}

/// Where messages are when somebody begins to fetch them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Warmth {
    /// They were just appended, and fit into the memory that the engine keeps them in.
    Warm,
    /// The engine was closed, and the system was told to forget the pages of its files. The clock starts before it is opened
    /// again, for some read everything then.
    Cold,
}

/// What the threads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// They append batches.
    Append(Target),
    /// One takes so many messages, which lie there, in batches, and acknowledges each batch.
    FetchAndAck { messages: usize, warmth: Warmth },
}

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Workload {
    pub name: String,
    pub work: Work,
    pub body_bytes: usize,
    pub threads: usize,
    pub batch: usize,
    pub durability: Durability,
}

/// All of them.
pub fn all() -> Vec<Workload> {
    let mut all = Vec::new();
    for (size, body_bytes) in SIZES {
        for durability in [Durability::Synced, Durability::Buffered] {
            for threads in [1, 4] {
                for batch in BATCHES {
                    all.push(append(size, body_bytes, durability, threads, batch, Target::One));
                }
            }
        }
    }
    for durability in [Durability::Synced, Durability::Buffered] {
        for batch in BATCHES {
            all.push(append("1 KiB", 1 << 10, durability, 1, batch, Target::FanOut));
        }
    }
    for warmth in [Warmth::Warm, Warmth::Cold] {
        for (size, body_bytes) in SIZES {
            for batch in BATCHES {
                all.push(fetch(size, body_bytes, batch, warmth));
            }
        }
    }
    all
}

fn fetch(size: &str, body_bytes: usize, batch: usize, warmth: Warmth) -> Workload {
    let (what, messages_max, bytes_max) = match warmth {
        Warmth::Warm => ("warm", WARM_MAX, WARM_BYTES_MAX),
        Warmth::Cold => ("cold", COLD_MAX, COLD_BYTES_MAX),
    };
    let messages = (bytes_max / body_bytes).min(messages_max);
    Workload {
        name: format!("fetch and ack {size}, batches of {batch}, {what}"),
        work: Work::FetchAndAck { messages, warmth },
        body_bytes,
        threads: 1,
        batch,
        durability: Durability::Buffered,
    }
}

/// What each engine does before it is measured.
pub fn warm_up() -> Workload {
    append("64 KiB", 64 << 10, Durability::Buffered, 1, 10, Target::One)
}

fn append(
    size: &str,
    body_bytes: usize,
    durability: Durability,
    threads: usize,
    batch: usize,
    target: Target,
) -> Workload {
    let what = match target {
        Target::One => "append",
        Target::FanOut => "fan-out",
    };
    let when = match durability {
        Durability::Synced => "synced",
        Durability::Buffered => "buffered",
    };
    let by = if threads == 1 { "1 thread" } else { "4 threads" };
    Workload {
        name: format!("{what} {size}, {by}, batches of {batch}, {when}"),
        work: Work::Append(target),
        body_bytes,
        threads,
        batch,
        durability,
    }
}
