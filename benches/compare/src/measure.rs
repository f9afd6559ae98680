//! One measurement: an engine does a workload for a while.

use crate::page_cache;
use crate::peer::{Load, Peer, Taken};
use crate::workload::{Durability, Target, Warmth, Work, Workload};
use anyhow::ensure;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// How long a measurement may take, and how much it may write.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub time: Duration,
    pub bytes: usize,
    /// Exactly so many batches by each thread instead.
    pub batches: Option<usize>,
}

/// Messages that were brought in one batch while a queue is filled for those who fetch.
const FILL_BYTES: usize = 4 << 20;
/// What a message takes beside its body, for the bound of bytes.
const OVERHEAD_BYTES: usize = 44;

/// Messages per second, all of them durable at the end. `dir` has all files of the engine.
pub fn measure(peer: &mut dyn Peer, dir: &Path, workload: &Workload, bounds: Bounds) -> anyhow::Result<f64> {
    match workload.work {
        Work::Append(target) => append(peer, workload, target, bounds),
        Work::FetchAndAck { messages, warmth } => {
            let bytes = messages * (workload.body_bytes + OVERHEAD_BYTES);
            if warmth == Warmth::Warm {
                peer.keep_in_memory(Some(bytes))?;
            }
            fill(peer, workload, messages)?;
            if warmth == Warmth::Cold {
                peer.close()?;
                page_cache::forget(dir)?;
            }
            let began = Instant::now();
            if warmth == Warmth::Cold {
                peer.reopen()?;
            }
            let rate = fetch(peer, workload, messages, began, bounds)?;
            if warmth == Warmth::Warm {
                peer.clear()?;
                peer.keep_in_memory(None)?;
            }
            Ok(rate)
        }
    }
}

fn append(peer: &dyn Peer, workload: &Workload, target: Target, bounds: Bounds) -> anyhow::Result<f64> {
    let body = vec![7; workload.body_bytes];
    let batch_bytes = (workload.body_bytes + OVERHEAD_BYTES) * workload.batch;
    let batches_max = (bounds.bytes / workload.threads / batch_bytes).max(1);
    let (batches_max, time) = match bounds.batches {
        Some(batches) => (batches, Duration::MAX),
        None => (batches_max, bounds.time),
    };
    let begin = Barrier::new(workload.threads + 1);
    let (began, batches) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workload.threads)
            .map(|thread| {
                let load = Load {
                    body: &body,
                    count: workload.batch,
                    target,
                    durability: workload.durability,
                    thread,
                };
                let begin = &begin;
                scope.spawn(move || {
                    begin.wait();
                    append_for_a_while(peer, &load, time, batches_max)
                })
            })
            .collect();
        let began = Instant::now();
        begin.wait();
        let done = threads
            .into_iter()
            .map(|thread| thread.join().expect("no thread panics"));
        (began, done.sum::<anyhow::Result<usize>>())
    });
    let batches = batches?;
    if workload.durability == Durability::Buffered {
        peer.settle()?;
    }
    Ok(per_second(batches * workload.batch, began.elapsed()))
}

fn append_for_a_while(
    peer: &dyn Peer,
    load: &Load<'_>,
    time: Duration,
    batches_max: usize,
) -> anyhow::Result<usize> {
    let began = Instant::now();
    let mut batches = 0;
    while batches == 0 || (batches < batches_max && began.elapsed() < time) {
        peer.append(load)?;
        batches += 1;
    }
    Ok(batches)
}

/// Puts messages into the first queue, outside of the measured time.
fn fill(peer: &dyn Peer, workload: &Workload, messages: usize) -> anyhow::Result<()> {
    let body = vec![7; workload.body_bytes];
    let at_once = (FILL_BYTES / (workload.body_bytes + OVERHEAD_BYTES)).clamp(1, 1000);
    let mut left = messages;
    while left > 0 {
        let count = left.min(at_once);
        peer.append(&Load {
            body: &body,
            count,
            target: Target::One,
            durability: Durability::Buffered,
            thread: 0,
        })?;
        left -= count;
    }
    peer.settle()
}

fn fetch(
    peer: &dyn Peer,
    workload: &Workload,
    messages: usize,
    began: Instant,
    bounds: Bounds,
) -> anyhow::Result<f64> {
    let opened = Instant::now();
    let mut all = Taken::default();
    while all.messages < messages && opened.elapsed() < 4 * bounds.time {
        let taken = peer.take(workload.batch.min(messages - all.messages))?;
        ensure!(taken.messages > 0, "what was appended is there");
        all.messages += taken.messages;
        all.bytes += taken.bytes;
    }
    peer.settle()?;
    let took = began.elapsed();
    ensure!(
        all.bytes == all.messages * workload.body_bytes,
        "bodies come back as they were"
    );
    Ok(per_second(all.messages, took))
}

#[expect(clippy::as_conversions, reason = "a rate of messages")]
fn per_second(messages: usize, took: Duration) -> f64 {
    messages as f64 / took.as_secs_f64()
}
