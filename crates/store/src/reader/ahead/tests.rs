//! What readers ask for ahead, and what becomes of it.

use super::super::Reader;
use super::super::window::{Filled, Window};
use super::{Ahead, Asked, Begun, Progress, Read, Wanted};
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, DiskFile, FileKind};
use crate::engine::Engine;
use crate::ids::{Epoch, Lsn, QueueId, SegmentNumber};
use crate::limits::{READ_AHEAD_BYTES_MAX, READ_AHEAD_THREADS, READS_ASKED_MAX};
use crate::priority::Priority;
use crate::segments::SegmentFile;
use crate::shard::{LeaseOutcome, NewMessage, Sources};
use crate::{Options, Persistence, QueueDurability};
use std::cell::Cell;
use std::sync::Arc;

const FILE_BYTES: usize = 6 << 20;
const FIRST: Lsn = Lsn::new(1 << 30);

/// No two places of it are alike for long.
fn contents() -> Vec<u8> {
    let words = (0_u32..).flat_map(|at| at.wrapping_mul(0x9e37_79b1).to_le_bytes());
    words.take(FILE_BYTES).collect()
}

fn file_of(contents: &[u8]) -> Arc<SegmentFile<<SimDisk as Disk>::File>> {
    let file = SimDisk::new(1).create("segment", FileKind::Plain).unwrap();
    file.write_at(contents, 0).unwrap();
    let bytes = u64::try_from(contents.len()).unwrap();
    let (number, epoch) = (SegmentNumber::new(1), Epoch::new(1));
    Arc::new(SegmentFile::new(number, FIRST, epoch, bytes, file))
}

/// Somebody does what is asked for until this is dropped.
struct Served(Ahead<SimDisk>, Vec<std::thread::JoinHandle<()>>);

impl Served {
    fn new() -> Self {
        let ahead = Ahead::new();
        ahead.open();
        let threads = (0..READ_AHEAD_THREADS).map(|_| {
            let serving = ahead.clone();
            std::thread::spawn(move || serving.serve())
        });
        let threads = threads.collect();
        Self(ahead, threads)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.close();
        for thread in self.1.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// Looks at records of `len` bytes, one behind the other, and says how many of the window's stretches were read ahead and how
/// many were not.
fn walk(window: &mut Window<SimDisk>, len: usize, meanwhile: impl Fn()) -> (usize, usize) {
    let contents = contents();
    let file = file_of(&contents);
    let limit = FIRST.plus(file.bytes());
    let (mut ahead, mut now) = (0, 0);
    for (number, record) in contents.chunks_exact(len).enumerate() {
        let lsn = FIRST.plus(u64::try_from(number * len).unwrap());
        if !window.holds(lsn, len) {
            meanwhile();
            match window.advance(&file, limit, lsn, len).unwrap() {
                Filled::Ahead => ahead += 1,
                Filled::Now => now += 1,
            }
        }
        assert!(window.at(lsn, len) == Some(record), "{len} bytes at {lsn:?}");
    }
    (ahead, now)
}

#[test]
fn what_is_read_ahead_is_what_stands_there_wherever_records_begin() {
    let served = Served::new();
    for len in [88, 4096, 5_000, 65_620, 120_001] {
        walk(&mut Window::new(served.0.clone()), len, || {});
    }
}

#[test]
fn records_that_would_not_fit_in_front_are_not_read_ahead() {
    let served = Served::new();
    for len in [140_000, 1_100_000, 2_500_000] {
        let (ahead, _) = walk(&mut Window::new(served.0.clone()), len, || {});
        assert_eq!(ahead, 0, "{len}");
    }
}

/// Does what was asked for first, if something was.
fn serve_one(ahead: &Ahead<SimDisk>) {
    let first = ahead.0.waiting().reads.pop_front();
    if let Some(slot) = first {
        slot.perform();
    }
}

#[test]
fn once_reads_follow_each_other_all_are_done_ahead() {
    let ahead = Ahead::new();
    ahead.open();
    for len in [88, 65_620] {
        // 64, 128, 256, 512 KiB and 1 MiB are read at first.
        let mut window = Window::new(ahead.clone());
        assert_eq!(walk(&mut window, len, || serve_one(&ahead)), (5, 5), "{len}");
    }
}

/// The most reads that wait at a time while a file is walked of which `done` of them are done before the reader comes.
fn most_waiting(done: impl Fn(usize) -> usize) -> usize {
    let ahead = Ahead::new();
    ahead.open();
    let (most, misses) = (Cell::new(0), Cell::new(0));
    walk(&mut Window::new(ahead.clone()), 5_000, || {
        misses.set(misses.get() + 1);
        most.set(most.get().max(ahead.0.waiting().reads.len()));
        for _ in 0..done(misses.get()) {
            serve_one(&ahead);
        }
    });
    most.get()
}

#[test]
fn while_the_disk_keeps_up_one_stretch_is_read_ahead_and_more_once_it_was_late() {
    assert_eq!(most_waiting(|_| 8), 1);
    // Five reads are done by the reader itself before it asks for any.
    assert_eq!(most_waiting(|miss| if miss <= 6 { 0 } else { 8 }), 2);
}

#[test]
fn what_is_wanted_later_leaves_half_of_the_room_to_what_is_wanted_next() {
    let ahead = Ahead::new();
    ahead.open();
    let later: Vec<_> = (0..READS_ASKED_MAX)
        .filter_map(|_| ask_when(&ahead, Wanted::Later))
        .collect();
    assert_eq!(later.len(), READS_ASKED_MAX / 2);
    let next: Vec<_> = (0..READS_ASKED_MAX).filter_map(|_| ask(&ahead)).collect();
    assert_eq!(next.len(), READS_ASKED_MAX / 2);
    drop(next);
    assert!(ask_when(&ahead, Wanted::Later).is_none());
    drop(later);
    assert!(ask_when(&ahead, Wanted::Later).is_some());
}

#[test]
fn nobody_waits_for_a_read_that_has_not_begun() {
    let ahead = Ahead::new();
    ahead.open();
    let mut window = Window::new(ahead.clone());
    assert_eq!(walk(&mut window, 5_000, || {}).0, 0);
    // What was given up is passed over.
    while !ahead.0.waiting().reads.is_empty() {
        serve_one(&ahead);
    }
}

/// Asks for the first stretch of a file, as if it were wanted next.
fn ask(ahead: &Ahead<SimDisk>) -> Option<Asked<SimDisk>> {
    ask_when(ahead, Wanted::Next)
}

fn ask_when(ahead: &Ahead<SimDisk>, wanted: Wanted) -> Option<Asked<SimDisk>> {
    let read = Read {
        file: file_of(&contents()[..4096]),
        offset: 0,
        stretch: Window::new(ahead.clone()).stretch_for(FIRST, READ_AHEAD_BYTES_MAX),
    };
    ahead.ask(read, wanted).ok()
}

#[test]
fn no_more_reads_wait_than_the_bound_says() {
    let ahead = Ahead::new();
    ahead.open();
    let asked: Vec<_> = (0..READS_ASKED_MAX + 4).filter_map(|_| ask(&ahead)).collect();
    assert_eq!(asked.len(), READS_ASKED_MAX);
    assert_eq!(ahead.0.waiting().reads.len(), READS_ASKED_MAX);
    ahead.close();
    assert_eq!(ahead.0.waiting().reads.len(), 0);
    assert!(ahead.next().is_none());
}

/// A store in which messages are read from disk soon, with a reader for which nobody reads ahead but the test.
struct Fixture {
    engine: Engine<SimDisk>,
    reader: Reader<SimDisk>,
    ahead: Ahead<SimDisk>,
    queue: QueueId,
}

impl Fixture {
    fn new() -> Self {
        let options = Options {
            segment_bytes: 16 << 20,
            ..Options::tiny()
        };
        let (engine, _) = Engine::open(SimDisk::new(1), options, ()).unwrap();
        let queue = engine.next_queue_id();
        let made = engine
            .lock()
            .shard()
            .create_queue(queue, QueueDurability::Durable, b"");
        engine.wait_durable(made.unwrap()).unwrap();
        let ahead = Ahead::new();
        ahead.open();
        let mut reader = engine.reader();
        reader.window = Window::new(ahead.clone());
        Self {
            engine,
            reader,
            ahead,
            queue,
        }
    }

    fn publish(&self, bytes: u64) {
        let body = [7; 3_000];
        for _ in 0..bytes / 3_000 {
            let message = NewMessage {
                queues: &[self.queue],
                properties: &[],
                body: &[&body],
                persistence: Persistence::Persistent,
                priority: Priority::NONE,
                timestamp_ms: 1,
                expires_ms: None,
            };
            let block = self.engine.lock().shard().publish(&message).unwrap();
            self.engine.wait_durable(block).unwrap();
        }
    }

    /// Reads all that can be leased, and returns how many of them came from the disk.
    fn read(&mut self) -> usize {
        let mut cold = 0;
        loop {
            let (mut leases, mut sources) = (Vec::new(), Sources::default());
            let leased = self
                .engine
                .lock()
                .shard()
                .lease(self.queue, 8, u64::MAX, &mut leases, &mut sources);
            match leased.unwrap() {
                LeaseOutcome::Empty => return cold,
                LeaseOutcome::Pending(block) => {
                    self.engine.wait_durable(block).unwrap();
                }
                LeaseOutcome::Some(_) => {}
            }
            for lease in &leases {
                cold += usize::from(self.reader.is_cold(lease));
                let message = self.reader.message(self.queue, lease, &sources).unwrap();
                assert_eq!(message.body, [7; 3_000]);
            }
        }
    }
}

#[test]
fn what_was_read_ahead_before_it_was_written_is_read_again() {
    let mut fixture = Fixture::new();
    fixture.publish(2 * READ_AHEAD_BYTES_MAX);
    assert!(fixture.read() > 0);
    // Behind the end of the log, where nothing stands yet.
    let slot = fixture.ahead.next().unwrap();
    slot.perform();
    fixture.publish(2 * READ_AHEAD_BYTES_MAX);
    assert!(fixture.read() > 0);
}

#[test]
fn what_was_read_ahead_and_nobody_came_for_makes_room_for_others() {
    let ahead = Ahead::new();
    ahead.open();
    let mut idle: Vec<_> = (0..READS_ASKED_MAX).map(|_| ask(&ahead).unwrap()).collect();
    assert!(ask(&ahead).is_none(), "none of them is done");
    serve_one(&ahead);
    serve_one(&ahead);
    let more = ask(&ahead);
    assert!(more.is_some());
    assert_eq!(ahead.0.waiting().asked.len(), READS_ASKED_MAX);
    assert!(idle.remove(0).take().is_none(), "the oldest was given up");
    assert!(idle.remove(0).take().is_some());
    assert!(ask(&ahead).is_some(), "what was taken makes room");
}

#[test]
fn nobody_waits_for_a_read_that_ended_with_a_panic() {
    let ahead = Ahead::<SimDisk>::new();
    ahead.open();
    let asked = ask(&ahead).unwrap();
    let slot = ahead.0.waiting().reads.pop_front().unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        *slot.progress() = Progress::Begun;
        let _begun = Begun {
            slot: &slot,
            done: None,
        };
        panic!("a disk that panics");
    }));
    assert!(panicked.is_err() && asked.take().is_none());
}
