//! Judges events: which messages were synced when, and which were confirmed when.
//!
//! Elsewhere: how strace's lines become events (`strace`).

use super::strace::{Call, Event};
use crate::generator::Numbered;
use logpond_amqp::{FrameKind, Method, parse_frame};
use std::collections::{HashMap, HashSet};

/// Judge of one broker with one publisher, whose n-th message is number n-1.
#[derive(Default)]
pub struct Judge {
    position: u64,
    running: HashMap<u32, Running>,
    /// Written and not synced yet, by file: numbers, and where the write returned.
    unsynced: HashMap<String, Vec<(Vec<u64>, u64)>>,
    synced: HashSet<u64>,
    /// By file descriptor of the socket: bytes not yet a frame.
    streams: HashMap<u32, Vec<u8>>,
    confirmed: u64,
    verdict: Verdict,
}

struct Running {
    call: Call,
    began: u64,
    confirms_synced_at_begin: Option<u64>,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages confirmed.
    pub confirmed: u64,
    /// Socket writes that carried confirms.
    pub confirm_writes: u64,
    /// Synced writes that carried messages.
    pub message_syncs: u64,
    /// Other synced writes: marks, acks, headers.
    pub other_syncs: u64,
    /// Messages whose confirm began to leave before their sync had returned.
    pub early: Vec<u64>,
    /// Synced writes that failed.
    pub failed_syncs: u64,
}

impl Judge {
    /// Looks at the next event.
    pub fn see(&mut self, event: Event) {
        self.position += 1;
        match event {
            Event::Began(call) => self.begin(call),
            Event::Returned { thread, result } => {
                if let Some(running) = self.running.remove(&thread) {
                    self.end(running, result);
                }
            }
        }
    }

    /// How many messages were confirmed so far.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// What was seen in all.
    pub fn verdict(self) -> Verdict {
        Verdict {
            confirmed: self.confirmed,
            ..self.verdict
        }
    }

    fn begin(&mut self, call: Call) {
        // What is synced when a socket write begins is all that its confirms may cover.
        let mark = call
            .file
            .starts_with("socket:")
            .then(|| self.judge_confirms(&call));
        let running = Running {
            began: self.position,
            confirms_synced_at_begin: mark,
            call,
        };
        self.running.insert(running.call.thread, running);
    }

    /// Judges the confirms in a socket write, and returns how many messages it confirms.
    fn judge_confirms(&mut self, call: &Call) -> u64 {
        let stream = self.streams.entry(call.fd).or_default();
        stream.extend_from_slice(&call.data);
        let mut used = 0;
        let before = self.confirmed;
        while let Ok(Some((frame, len))) = parse_frame(&stream[used..], 0) {
            used += len;
            if frame.kind != FrameKind::Method {
                continue;
            }
            if let Ok(Method::BasicAck(ack)) = Method::decode(frame.payload) {
                for tag in self.confirmed + 1..=ack.delivery_tag {
                    if !self.synced.contains(&(tag - 1)) {
                        self.verdict.early.push(tag - 1);
                    }
                }
                self.confirmed = self.confirmed.max(ack.delivery_tag);
            }
        }
        stream.drain(..used);
        let newly = self.confirmed - before;
        self.verdict.confirm_writes += u64::from(newly > 0);
        newly
    }

    fn end(&mut self, running: Running, result: i64) {
        let Running {
            call,
            began,
            confirms_synced_at_begin,
        } = running;
        if confirms_synced_at_begin.is_some() {
            return;
        }
        match call.name.as_str() {
            "pwritev2" | "pwrite64" | "pwritev" | "write" | "writev" => self.written(&call, result),
            "fdatasync" | "fsync" => self.flushed(&call, began, result),
            _ => {}
        }
    }

    fn written(&mut self, call: &Call, result: i64) {
        // Only what the kernel took is written; the rest comes in a call of its own.
        let Ok(len) = usize::try_from(result) else {
            self.verdict.failed_syncs += u64::from(call.is_synced);
            return;
        };
        let numbers = numbers_in(&call.data[..len.min(call.data.len())]);
        if call.is_synced {
            self.count_sync(&numbers);
        } else {
            self.unsynced
                .entry(call.file.clone())
                .or_default()
                .push((numbers, self.position));
        }
    }

    /// A flush makes durable what was written to the file before the flush began.
    fn flushed(&mut self, call: &Call, began: u64, result: i64) {
        let writes = self.unsynced.entry(call.file.clone()).or_default();
        let (before, after) = std::mem::take(writes)
            .into_iter()
            .partition(|(_, returned)| *returned < began);
        *writes = after;
        if result != 0 {
            // The kernel marks the pages clean all the same: no later flush writes them.
            self.verdict.failed_syncs += 1;
            return;
        }
        let before: Vec<(Vec<u64>, u64)> = before;
        let numbers: Vec<u64> = before.into_iter().flat_map(|(numbers, _)| numbers).collect();
        self.count_sync(&numbers);
    }

    fn count_sync(&mut self, numbers: &[u64]) {
        if numbers.is_empty() {
            self.verdict.other_syncs += 1;
        } else {
            self.verdict.message_syncs += 1;
            self.synced.extend(numbers);
        }
    }
}

/// The numbered bodies in written bytes. 16 bytes that agree by chance do not occur.
fn numbers_in(data: &[u8]) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut at = 0;
    while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
        match Numbered::of(rest) {
            Some(Numbered(number)) => {
                numbers.push(number);
                at += crate::generator::NUMBERED_BYTES_MIN;
            }
            None => at += 1,
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use logpond_amqp::{ChannelId, encode_ack};

    struct Scene {
        judge: Judge,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                judge: Judge::default(),
            }
        }

        fn begin(&mut self, thread: u32, name: &str, file: &str, data: Vec<u8>, is_synced: bool) {
            let call = Call {
                thread,
                name: name.into(),
                fd: 5,
                file: file.into(),
                data,
                is_synced,
            };
            self.judge.see(Event::Began(call));
        }

        fn end(&mut self, thread: u32, result: usize) {
            self.judge.see(Event::Returned {
                thread,
                result: i64::try_from(result).unwrap(),
            });
        }

        fn fail(&mut self, thread: u32) {
            self.judge.see(Event::Returned { thread, result: -1 });
        }

        fn write(&mut self, messages: &[u64], is_synced: bool) {
            let data = block(messages);
            let len = data.len();
            self.begin(1, "pwritev2", "/seg", data, is_synced);
            self.end(1, len);
        }

        fn confirm(&mut self, tag: u64) {
            let mut frame = Vec::new();
            encode_ack(&mut frame, ChannelId::new(1), tag, true);
            let len = frame.len();
            self.begin(2, "sendto", "socket:[1]", frame, false);
            self.end(2, len);
        }
    }

    fn block(messages: &[u64]) -> Vec<u8> {
        let mut data = vec![7; 13];
        messages
            .iter()
            .for_each(|&n| data.extend_from_slice(&Numbered(n).bytes()));
        data
    }

    #[test]
    fn a_confirm_after_its_synced_write_is_in_order() {
        let mut scene = Scene::new();
        scene.write(&[0, 1], true);
        scene.confirm(2);
        let verdict = scene.judge.verdict();
        assert_eq!(
            (verdict.confirmed, verdict.message_syncs, verdict.early.len()),
            (2, 1, 0)
        );
    }

    #[test]
    fn a_confirm_of_a_message_that_was_never_synced_is_early() {
        let mut scene = Scene::new();
        scene.write(&[0], true);
        scene.write(&[1], false);
        scene.confirm(2);
        assert_eq!(scene.judge.verdict().early, [1]);
    }

    #[test]
    fn a_confirm_while_its_sync_runs_is_early() {
        let mut scene = Scene::new();
        let data = block(&[0]);
        let len = data.len();
        scene.begin(1, "pwritev2", "/seg", data, true);
        scene.confirm(1);
        scene.end(1, len);
        assert_eq!(scene.judge.verdict().early, [0]);
    }

    #[test]
    fn a_flush_covers_what_was_written_before_it_began() {
        let mut scene = Scene::new();
        scene.write(&[0], false);
        scene.begin(3, "fdatasync", "/seg", vec![], false);
        scene.write(&[1], false);
        scene.end(3, 0);
        scene.confirm(2);
        assert_eq!(scene.judge.verdict().early, [1]);
    }

    #[test]
    fn what_a_failed_flush_covered_is_synced_by_no_later_one() {
        let mut scene = Scene::new();
        scene.write(&[0], false);
        scene.begin(3, "fdatasync", "/seg", vec![], false);
        scene.fail(3);
        scene.begin(3, "fdatasync", "/seg", vec![], false);
        scene.end(3, 0);
        scene.confirm(1);
        assert_eq!(scene.judge.verdict().early, [0]);
    }

    #[test]
    fn a_flush_of_another_file_covers_nothing() {
        let mut scene = Scene::new();
        scene.write(&[0], false);
        scene.begin(3, "fdatasync", "/other", vec![], false);
        scene.end(3, 0);
        scene.confirm(1);
        assert_eq!(scene.judge.verdict().early, [0]);
    }

    #[test]
    fn what_a_short_write_left_out_is_not_synced() {
        let mut scene = Scene::new();
        let data = block(&[0, 1]);
        scene.begin(1, "pwritev2", "/seg", data, true);
        scene.end(1, 13 + 16);
        scene.confirm(2);
        assert_eq!(scene.judge.verdict().early, [1]);
    }
}
