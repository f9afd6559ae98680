//! The least that a confirmed message takes on this machine, measured beside the brokers.
//!
//! A thread sends a request over a loopback connection and sleeps until the answer is there; another sleeps until the request is whole,
//! writes a block, has it synced, and answers. Nothing is parsed, routed, copied or indexed: what a broker takes for one message in
//! flight beyond this is its own, and what this takes beyond the disk's share is the price of sleeping and waking.
//!
//! Invariants:
//! - Both threads block in the kernel; neither spins nor polls.
//! - What is measured on old blocks was written whole before.

use super::disk_probe::Probe;
use super::figures::median;
use crate::generator::{Clock, Histogram};
use anyhow::Context;
use serde::Serialize;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The part of the disk that is written.
const FILE_MIB: u64 = 128;
/// Length of each measurement.
const PART: Duration = Duration::from_millis(500);
/// The frames of a publish of 16 bytes, about.
const SMALL_REQUEST: usize = 128;
/// The frame of a confirm.
const ANSWER: usize = 21;
const SMALL_BLOCK: usize = 4 << 10;
const LARGE_BLOCK: usize = 64 << 10;
/// The frames of a thousand publishes of 16 bytes, about, and what a journal takes for them.
const THOUSAND_SMALL: Exchange = Exchange {
    request: 107 << 10,
    block: 104 << 10,
};
/// The same of 1 KiB, but for some of them: a block is a mebibyte at most.
const THOUSAND: Exchange = Exchange {
    request: 1100 << 10,
    block: 1 << 20,
};

/// What is asked, and written before the answer; in bytes.
struct Exchange {
    request: usize,
    block: usize,
}

/// Percentiles of a time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// The median.
    pub p50_ns: u64,
    /// 99 of 100.
    pub p99_ns: u64,
}

/// How long an answer took.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct EchoFigures {
    /// 128 bytes there and 21 back.
    pub unwritten: Latency,
    /// The same, with 4 KiB synced before the answer, to blocks that were written before.
    pub synced_4kib: Latency,
    /// The same, to blocks that were never written.
    pub synced_new_4kib: Latency,
    /// 64 KiB there, 64 KiB synced, to blocks that were written before.
    pub synced_64kib: Latency,
    /// A thousand publishes of 16 bytes there, that travel together, and what they take synced, to blocks that were written before.
    pub synced_thousand_16b: Latency,
    /// The same of 1 KiB.
    pub synced_thousand_1kib: Latency,
}

impl EchoFigures {
    /// The medians of several.
    pub fn median(all: &[Self]) -> Self {
        let of = |field: fn(&Self) -> Latency| {
            let part = |part: fn(Latency) -> u64| {
                median(all.iter().map(|echo| part(field(echo))).collect()).unwrap_or(0)
            };
            Latency {
                p50_ns: part(|latency| latency.p50_ns),
                p99_ns: part(|latency| latency.p99_ns),
            }
        };
        Self {
            unwritten: of(|echo| echo.unwritten),
            synced_4kib: of(|echo| echo.synced_4kib),
            synced_new_4kib: of(|echo| echo.synced_new_4kib),
            synced_64kib: of(|echo| echo.synced_64kib),
            synced_thousand_16b: of(|echo| echo.synced_thousand_16b),
            synced_thousand_1kib: of(|echo| echo.synced_thousand_1kib),
        }
    }
}

/// Measures with blocks written to the disk on which a folder lies.
pub fn measure(folder: &Path) -> anyhow::Result<EchoFigures> {
    let path = folder.join("echo-probe");
    let result = run(&path);
    // What is left behind is in the way of the brokers, but no reason to lose what was measured.
    let _ = std::fs::remove_file(&path);
    result.context("a synced write before an answer cannot be measured")
}

fn run(path: &Path) -> anyhow::Result<EchoFigures> {
    let mut disk = Probe::open(path, FILE_MIB)?;
    let synced_new_4kib = echo(&mut disk, SMALL_REQUEST, Before::New(SMALL_BLOCK))?;
    disk.fill(FILE_MIB)?;
    Ok(EchoFigures {
        unwritten: echo(&mut disk, SMALL_REQUEST, Before::Nothing)?,
        synced_4kib: echo(&mut disk, SMALL_REQUEST, Before::Old(SMALL_BLOCK))?,
        synced_new_4kib,
        synced_64kib: echo(&mut disk, LARGE_BLOCK, Before::Old(LARGE_BLOCK))?,
        synced_thousand_16b: echo_of(&mut disk, &THOUSAND_SMALL)?,
        synced_thousand_1kib: echo_of(&mut disk, &THOUSAND)?,
    })
}

/// What is synced before each answer.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    /// So many bytes, to a file of which nothing was written; at its end there are no more answers.
    New(usize),
    /// So many bytes, to a file that was written before, from its front on, and again.
    Old(usize),
}

fn echo_of(disk: &mut Probe, exchange: &Exchange) -> anyhow::Result<Latency> {
    echo(disk, exchange.request, Before::Old(exchange.block))
}

/// Requests of so many bytes, one after the other.
fn echo(disk: &mut Probe, request: usize, before: Before) -> anyhow::Result<Latency> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let asking = TcpStream::connect(listener.local_addr()?)?;
    let (answering, _) = listener.accept()?;
    asking.set_nodelay(true)?;
    answering.set_nodelay(true)?;
    thread::scope(|scope| {
        let answers = scope.spawn(move || answer(disk, answering, request, before));
        let asked = ask(asking, request);
        let answered = answers.join().expect("the answering thread does not panic");
        answered.and(asked)
    })
}

/// Until the time is over, or the other side has no more to answer.
fn ask(mut connection: TcpStream, len: usize) -> anyhow::Result<Latency> {
    let request = vec![0xA5; len];
    let mut answer = [0; ANSWER];
    let (clock, start) = (Clock::start(), Instant::now());
    let mut latency = Histogram::default();
    while start.elapsed() < PART {
        let before = clock.now();
        connection.write_all(&request)?;
        if connection.read_exact(&mut answer).is_err() {
            break;
        }
        latency.record(clock.now() - before);
    }
    Ok(Latency {
        p50_ns: latency.permille(500),
        p99_ns: latency.permille(990),
    })
}

/// Until the connection is closed, or there is nothing new to write.
fn answer(disk: &mut Probe, mut connection: TcpStream, len: usize, before: Before) -> anyhow::Result<()> {
    let mut request = vec![0; len];
    let mut at = 0;
    while connection.read_exact(&mut request).is_ok() {
        if let Before::New(block) | Before::Old(block) = before {
            let bytes = u64::try_from(block)?;
            if at + bytes > FILE_MIB << 20 {
                if matches!(before, Before::New(_)) {
                    break;
                }
                at = 0;
            }
            disk.write_synced(block, at)?;
            at += bytes;
        }
        connection.write_all(&[0; ANSWER])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_percentile_has_a_median_of_its_own() {
        let echo = |p50_ns, p99_ns| EchoFigures {
            unwritten: Latency { p50_ns, p99_ns },
            ..EchoFigures::default()
        };
        let median = EchoFigures::median(&[echo(1, 30), echo(3, 20), echo(2, 10)]).unwritten;
        assert_eq!((median.p50_ns, median.p99_ns), (2, 20));
    }
}
