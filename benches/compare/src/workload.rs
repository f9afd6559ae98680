//! What is measured.

use serde::Serialize;

const SIZES: [(&str, usize); 3] = [("16 B", 16), ("1 KiB", 1 << 10), ("64 KiB", 64 << 10)];
const BATCHES: [usize; 3] = [1, 100, 1000];
/// Queues that a fan-out goes to.
pub const FAN_OUT: usize = 10;
/// Messages that are fetched in one measurement, at most …
const FETCHED_MAX: usize = 50_000;
/// … and bytes of them: more than Logpond keeps in memory, so that it reads from the disk, too.
const FETCHED_BYTES_MAX: usize = 64 << 20;

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

/// What the threads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// They append batches.
    Append(Target),
    /// One takes so many messages, which lie there, in batches, and acknowledges each batch.
    FetchAndAck(usize),
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
    for (size, body_bytes) in SIZES {
        let messages = (FETCHED_BYTES_MAX / body_bytes).min(FETCHED_MAX);
        for batch in BATCHES {
            all.push(Workload {
                name: format!("fetch and ack {size}, batches of {batch}"),
                work: Work::FetchAndAck(messages),
                body_bytes,
                threads: 1,
                batch,
                durability: Durability::Buffered,
            });
        }
    }
    all
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
