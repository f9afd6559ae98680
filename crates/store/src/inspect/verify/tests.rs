//! Looks at a store that goes on between any two of their steps.

mod watched;

use super::*;
use crate::disk::sim::SimDisk;
use crate::engine::stepped::{durable_queue, lease, message_for, publish_all};
use crate::format::record::AckReason;
use crate::ids::Seq;
use crate::index::pages::INDEX_DIR;
use crate::inspect::{IndexState, Inspector};
use crate::{Engine, Options};
use watched::Watched;

/// A store without threads: a queue whose messages pass, and one that keeps some.
struct Busy {
    disk: SimDisk,
    engine: Engine<SimDisk>,
    passing: QueueId,
    kept: QueueId,
}

/// How much is done at once.
#[derive(Clone, Copy)]
enum Work {
    /// A few messages.
    Some,
    /// Checkpoints are replaced, segments filled, recycled and evacuated.
    Much,
}

impl Busy {
    fn new() -> Self {
        let disk = SimDisk::new(7);
        let options = Options {
            evacuation_slack_bytes: 0,
            ..Options::tiny()
        };
        let engine = Engine::open(disk.clone(), options, ()).unwrap().0;
        let (passing, kept) = (durable_queue(&engine), durable_queue(&engine));
        let busy = Self {
            disk,
            engine,
            passing,
            kept,
        };
        (0..3).for_each(|_| busy.work(Work::Much));
        (0..3).for_each(|_| busy.work(Work::Some));
        busy
    }

    fn work(&self, work: Work) {
        let (messages, rounds) = match work {
            Work::Some => (3, 1),
            Work::Much => (20, 8),
        };
        let (passing, kept) = ([self.passing], [self.kept]);
        for _ in 0..messages {
            let block = publish_all(&self.engine, [message_for(&passing, &[&[7; 5000]])]);
            self.engine.wait_durable(block).unwrap();
        }
        publish_all(&self.engine, [message_for(&kept, &[b"kept"])]);
        for seq in lease(&self.engine, self.passing, messages) {
            let (seq, now) = (Seq::new(seq), self.disk.now());
            let mut guard = self.engine.lock();
            let acked = guard
                .shard()
                .acknowledge(self.passing, seq, 1, AckReason::Acked, now);
            acked.unwrap();
        }
        for _ in 0..rounds {
            (0..200).take_while(|_| self.engine.step()).for_each(drop);
            self.disk.advance(1_100);
        }
    }

    /// Flips a bit in the record of the first message that is kept; returns its file and seq.
    fn rot(&self) -> (String, Seq) {
        let inspector = Inspector::new(&self.disk).unwrap();
        let mut pages = inspector.index().unwrap().into_iter();
        let page = pages.find(|page| page.queue == self.kept).unwrap();
        let entries = inspector.index_page(page.slab, page.page).unwrap().entries;
        let entry = entries.iter().find(|entry| !entry.dead).unwrap();
        let file = segment_path(entry.segment.unwrap());
        let last = entry.offset.unwrap() + u64::from(entry.bytes) - 1;
        self.disk.flip_bit(&file, last * 8).unwrap();
        (file, entry.seq)
    }

    /// What a look finds, before each call of which `work` is asked whether something is to be done; and its calls.
    fn look(self, work: impl Fn(u64, &str) -> Option<Work> + Send + 'static) -> (Looked, u64) {
        let disk = self.disk.clone();
        let watched = Watched::new(&disk, move |call, path| {
            if let Some(work) = work(call, path) {
                self.work(work);
            }
        });
        let looked = verify(&watched, &mut ());
        (looked, watched.calls())
    }
}

type Looked = Result<VerifyReport, InspectError>;

#[test]
fn whenever_a_store_goes_on_nothing_of_it_is_damage() {
    let (report, calls) = Busy::new().look(|_, _| None);
    let report = report.unwrap();
    assert!(report.segments > 3 && report.index_entries > 3, "{report:?}");
    for then in 0..calls {
        let (report, _) = Busy::new().look(move |call, _| (call == then).then_some(Work::Much));
        let report = report.unwrap();
        let found = (report.findings, report.lost, report.astray);
        assert_eq!(found, (vec![], vec![], vec![]), "before call {then}");
    }
}

#[test]
fn a_store_that_goes_on_all_the_time_is_not_damaged() {
    for every in [1, 2, 5, 11] {
        for work in [Work::Some, Work::Much] {
            match Busy::new()
                .look(move |call, _| (call % every == 0).then_some(work))
                .0
            {
                Err(InspectError::KeepsChanging { .. }) => {}
                report => {
                    let report = report.unwrap();
                    let found = (report.findings, report.lost);
                    assert_eq!(found, (vec![], vec![]), "every {every} calls");
                }
            }
        }
    }
}

#[test]
fn damage_that_stands_is_found_with_what_it_cost_while_the_store_goes_on() {
    let calls = Busy::new().look(|_, _| None).1;
    for then in 0..calls {
        let busy = Busy::new();
        let (file, first) = busy.rot();
        let queue = busy.kept;
        let (report, _) = busy.look(move |call, _| (call == then).then_some(Work::Much));
        let report = report.unwrap();
        let hit = |finding: &&Finding| (&finding.file, finding.part) == (&file, Part::Record);
        assert_eq!(
            report.findings.iter().filter(hit).count(),
            1,
            "before call {then}: {report:?}"
        );
        let count = 1;
        let lost = LostEntries { queue, first, count };
        assert_eq!(
            (report.findings.len(), report.lost),
            (1, vec![lost]),
            "before call {then}"
        );
    }
}

#[test]
fn an_index_that_could_not_be_compared_is_told_as_not_judged() {
    let busy = Busy::new();
    busy.rot();
    // Whenever it reads the index, two newer checkpoints come.
    let looked = busy.look(|_, path| path.starts_with(INDEX_DIR).then_some(Work::Much));
    let looked = looked.0;
    let mut report = looked.unwrap();
    let why = WhyUnjudged::CheckpointReplaced;
    assert_eq!(report.index, IndexState::NotJudged { why });
    assert!(!report.is_judged(), "{report:?}");
    // What was recycled is not needed any more.
    report
        .unjudged
        .retain(|unjudged| unjudged.why == WhyUnjudged::Recycled);
    assert!(report.is_judged());
}
