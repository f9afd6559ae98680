//! Looking at all files without opening the store: every damage is named, and nothing else is.

use crate::support::{
    RealEngine, ack, copy_dir, fetch, flip, index_file, no_checkpoints, open, open_with, publish,
    publish_transient_logged, queue, rest, segment_name,
};
use logpond_store::disk::{Disk, RealDisk, WriteMode};
use logpond_store::inspect::{
    Finding, IndexState, Inspector, Part, Progress, RecordKind, RepairPlan, Stage, VerifyReport, plan,
    repair, verify,
};
use logpond_store::{LostEntries, Options, QueueId, Seq, TornRange};
use std::path::Path;

#[test]
fn a_sound_store_is_sound_whether_it_was_stopped_killed_or_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = filled(dir.path());
    assert_sound(&look(dir.path()));
    drop(store);
    assert_sound(&look(dir.path()));
    let (store, _) = open(dir.path());
    assert_sound(&look(dir.path()));
    fetch(&store, orders, 10);
    store.close().unwrap();
    let report = look(dir.path());
    assert_sound(&report);
    assert!(report.clean);
    assert!(
        report.segments > 1 && report.blocks > 10 && report.records > 100,
        "{report:?}"
    );
    assert!(report.index_pages > 0 && report.checkpoints > 0, "{report:?}");
    assert_eq!(report.index_entries, 90);
}

#[test]
fn a_look_says_whether_the_index_was_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), no_checkpoints());
    publish(&store, &[queue(&store)], &[b"one"]);
    let report = look(dir.path());
    assert_sound(&report);
    assert_eq!(report.index, IndexState::NoCheckpoint);
    store.close().unwrap();
    let report = look(dir.path());
    assert!(
        matches!(report.index, IndexState::Compared { .. }) && report.is_judged(),
        "{report:?}"
    );
}

#[test]
fn a_store_at_work_is_sound_at_every_look() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = filled(dir.path());
    store.start().unwrap();
    let mut looks = 0;
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            for round in 0..60 {
                publish(&store, &[orders], &[&[7; 3000], &[8; 200], b"short"]);
                fetch(&store, orders, 3);
                ack(&store, orders, 10 + round * 3, 3);
            }
        });
        while !worker.is_finished() {
            let report = look(dir.path());
            assert_eq!(report.findings, []);
            assert_eq!(report.lost, []);
            looks += 1;
        }
    });
    assert!(looks > 0);
    store.close().unwrap();
    assert_sound(&look(dir.path()));
}

#[test]
fn transient_messages_that_vanished_at_a_start_are_not_missed() {
    let dir = tempfile::tempdir().unwrap();
    let moves_at_once = Options {
        evacuation_slack_bytes: 0,
        ..no_checkpoints()
    };
    let (store, _) = open_with(dir.path(), moves_at_once);
    let (kept, passing) = (queue(&store), queue(&store));
    // The first segment, which names the queues, is well used and stays.
    let filled = fill_segments(&store, passing, 1);
    publish_transient_logged(&store, kept, b"fleeting");
    store.checkpoint();
    let passed = fill_segments(&store, passing, 3) + 1;
    fetch(&store, passing, 1000);
    ack(&store, passing, filled - 1, passed);
    rest(&store);
    assert_eq!(store.counters().copies, 1);
    store.checkpoint();
    drop(store);
    // That checkpoint stays the newest; the copy goes once somebody has looked for the message.
    let (store, _) = open_with(dir.path(), no_checkpoints());
    assert!(fetch(&store, kept, 100).is_empty());
    rest(&store);
    assert_eq!(store.counters().cold_segments, 0);
    drop(store);
    assert_sound(&look(dir.path()));
}

/// Publishes until the log has rolled so often; how many messages. Each fills a block of a page.
fn fill_segments(store: &RealEngine, queue: QueueId, rolls: u64) -> u64 {
    let mut published = 0;
    while store.counters().rolls < rolls {
        publish(store, &[queue], &[&[7; 3700]]);
        published += 1;
    }
    published
}

#[test]
fn a_rotten_message_is_named_with_file_offset_queue_and_seq() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = filled(dir.path());
    publish(&store, &[orders], &[b"this one rots"]);
    publish(&store, &[orders], &[b"this one does not"]);
    store.close().unwrap();
    let (segment, rot) = place_of(dir.path(), b"this one rots");
    flip(&dir.path().join(&segment), rot);
    let report = look(dir.path());
    let [finding] = &report.findings[..] else {
        panic!("{:?}", report.findings);
    };
    assert_eq!((&finding.file, finding.part), (&segment, Part::Record));
    assert!(
        finding.offset <= rot && rot < finding.offset + finding.bytes,
        "{finding:?}"
    );
    assert!(finding.bytes < 200, "only the record, not its page: {finding:?}");
    let lost = [lost(orders, 100, 1)];
    assert_eq!((&finding.lost[..], &report.lost[..]), (&lost[..], &lost[..]));
    assert_eq!(
        report.index_entries, 91,
        "the one behind it is where the index says"
    );
    assert!(!report.is_sound());
}

#[test]
fn a_damaged_index_page_costs_nothing_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).0.close().unwrap();
    flip(&index_file(dir.path()), 70);
    let report = look(dir.path());
    assert_eq!(
        parts(&report),
        [("shard-00/x/0000.idx".to_owned(), 0, Part::IndexPage)]
    );
    assert_eq!(report.lost, []);
}

#[test]
fn an_index_entry_that_leads_astray_is_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).0.close().unwrap();
    let disk = RealDisk::open_read_only(dir.path()).unwrap();
    let inspector = Inspector::new(&disk).unwrap();
    let page = inspector.index().unwrap().remove(0);
    let entries = inspector.index_page(page.slab, page.page).unwrap().entries;
    let entry = entries.iter().find(|entry| !entry.dead).unwrap();
    let segment = inspector.segment(entry.segment.unwrap()).unwrap().segment.file;
    // The bytes of another message take the place of this one: the log itself is no longer what it was.
    let path = dir.path().join(&segment);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(entry.offset.unwrap()).unwrap()..][..16].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let report = look(dir.path());
    let file = (report.findings[0].file.clone(), report.findings[0].offset);
    assert_eq!(file, (segment, entry.offset.unwrap()));
    assert_eq!(report.lost, [lost(page.queue, entry.seq.get(), 1)]);
}

#[test]
fn rot_in_meta_catalog_and_checkpoints_is_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).0.close().unwrap();
    let checkpoint = checkpoints(dir.path()).pop().unwrap();
    flip(&dir.path().join("META"), 4096 + 100);
    flip(&dir.path().join("META"), 3000);
    flip(&dir.path().join("catalog.log"), 60_000);
    flip(&dir.path().join(&checkpoint), 50);
    let report = look(dir.path());
    let expected = [
        ("META".to_owned(), 0, Part::MetaSlot),
        ("META".to_owned(), 4096, Part::MetaSlot),
        (checkpoint, 0, Part::Checkpoint),
    ];
    let found = parts(&report);
    for expected in expected {
        assert!(found.contains(&expected), "{expected:?} in {found:?}");
    }
    let catalog = |(file, _, part): &(String, u64, Part)| file == "catalog.log" && *part == Part::CatalogEnd;
    assert!(found.iter().any(catalog), "{found:?}");
    assert_eq!(found.len(), 4);
    assert_eq!(report.lost, []);
}

#[test]
fn a_segment_that_is_missing_is_named_with_what_it_held() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).0.close().unwrap();
    let first = segments(dir.path()).remove(0);
    std::fs::remove_file(dir.path().join(&first)).unwrap();
    let report = look(dir.path());
    let finding = &report.findings[0];
    assert_eq!((&finding.file, finding.part), (&first, Part::MissingSegment));
    assert_eq!(finding.lost, report.lost);
    let lost: u64 = report.lost.iter().map(|lost| lost.count).sum();
    assert_eq!(lost + report.index_entries, 90);
}

#[test]
fn a_torn_tail_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = filled(dir.path());
    publish(&store, &[orders], &[b"the very last"]);
    let image = tempfile::tempdir().unwrap();
    copy_dir(dir.path(), image.path());
    let (segment, at) = place_of(image.path(), b"the very last");
    flip(&image.path().join(&segment), at);
    let report = look(image.path());
    assert_eq!(report.findings, []);
    let offset = at / 4096 * 4096;
    assert_eq!(
        report.torn,
        [TornRange {
            file: segment,
            offset
        }]
    );
}

#[test]
fn what_stands_in_a_segment_can_be_looked_at_down_to_the_record() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = filled(dir.path());
    store.close().unwrap();
    let disk = RealDisk::open_read_only(dir.path()).unwrap();
    let inspector = Inspector::new(&disk).unwrap();
    let segment = inspector.segments().unwrap().remove(0);
    let detail = inspector.segment(segment.number).unwrap();
    let block = &detail.blocks[1];
    let (same, records) = inspector.block(segment.number, block.offset).unwrap();
    assert_eq!(&same, block);
    let RecordKind::Message {
        body_bytes,
        references,
        ..
    } = &records[0].kind
    else {
        panic!("{records:?}");
    };
    assert_eq!((*body_bytes, references[0].queue), (1000, orders));
    let (record, bytes) = inspector.record(segment.number, records[0].offset).unwrap();
    assert_eq!(record, records[0]);
    assert!(bytes.ends_with(&[1; 1000]));
    let anywhere = [0, 1, 4096 + 8, 5000, u64::MAX, u64::MAX - 4095, segment.bytes];
    for offset in anywhere {
        assert!(inspector.record(segment.number, offset).is_err(), "{offset}");
        assert!(inspector.bytes(&segment.file, offset, 64).is_ok(), "{offset}");
    }
    for offset in [1, 0, u64::MAX, u64::MAX - 4095, segment.bytes] {
        assert!(inspector.block(segment.number, offset).is_err(), "{offset}");
    }
    let queues = inspector.queues().unwrap();
    assert_eq!((queues[0].id, queues[0].messages), (orders, 90));
    assert_eq!(inspector.meta().unwrap().slots.len(), 2);
    assert!(inspector.checkpoints().unwrap()[0].clean);
}

/// A store with one queue of a hundred messages in several segments, the first ten of them acknowledged.
fn filled(dir: &Path) -> (RealEngine, QueueId) {
    let (store, _) = open(dir);
    let orders = queue(&store);
    for _ in 0..50 {
        publish(&store, &[orders], &[&[1; 1000], &[2; 2000]]);
    }
    fetch(&store, orders, 10);
    ack(&store, orders, 0, 10);
    store.checkpoint();
    (store, orders)
}

fn look(dir: &Path) -> VerifyReport {
    let disk = RealDisk::open_read_only(dir).unwrap();
    verify(&disk, &mut ()).unwrap()
}

fn assert_sound(report: &VerifyReport) {
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((&report.findings[..], &report.lost[..]), (&[][..], &[][..]));
    assert_eq!(report.torn, []);
    assert_eq!(report.unjudged, []);
}

fn parts(report: &VerifyReport) -> Vec<(String, u64, Part)> {
    let part = |finding: &Finding| (finding.file.clone(), finding.offset, finding.part);
    report.findings.iter().map(part).collect()
}

fn lost(queue: QueueId, first: u64, count: u64) -> LostEntries {
    LostEntries {
        queue,
        first: Seq::new(first),
        count,
    }
}

/// The segments, oldest first.
fn segments(dir: &Path) -> Vec<String> {
    let numbers = (1..100).map(segment_name);
    numbers.filter(|name| dir.join(name).exists()).collect()
}

/// The segment in which `needle` stands, and where.
fn place_of(dir: &Path, needle: &[u8]) -> (String, u64) {
    let found = segments(dir).into_iter().find_map(|segment| {
        let bytes = std::fs::read(dir.join(&segment)).unwrap();
        let at = bytes.windows(needle.len()).position(|window| window == needle)?;
        Some((segment, u64::try_from(at).unwrap()))
    });
    found.unwrap()
}

fn checkpoints(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir.join("shard-00")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = names
        .filter(|name| name.starts_with("ckpt-"))
        .map(|name| format!("shard-00/{name}"))
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn a_repair_brings_back_what_only_the_index_had_lost_and_sets_the_rest_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = filled(dir.path());
    publish(&store, &[orders], &[b"this one rots"]);
    publish(&store, &[orders], &[b"this one does not"]);
    store.close().unwrap();
    let (segment, rot) = place_of(dir.path(), b"this one rots");
    flip(&dir.path().join(&segment), rot);
    let looked_at = RealDisk::open_read_only(dir.path()).unwrap();
    let page = Inspector::new(&looked_at).unwrap().index().unwrap().remove(0);
    flip(&dir.path().join(&page.file), page.offset + 70);
    let damaged = std::fs::read(dir.path().join(&segment)).unwrap();

    let planned = plan(&looked_at, &mut ()).unwrap();
    assert!(!dir.path().join("quarantine").exists(), "a plan changes nothing");
    let disk = RealDisk::open(dir.path(), WriteMode::BufferedFdatasync).unwrap();
    let lock = disk.lock().unwrap();
    let done = repair(&disk, &lock, &mut ()).unwrap();
    drop(lock);
    assert_eq!(done, planned);
    assert_eq!(
        std::fs::read(dir.path().join(&segment)).unwrap(),
        damaged,
        "the journal stays"
    );
    assert!(dir.path().join("quarantine/0001/shard-00-x-0000.idx").exists());
    let listed = std::fs::read_to_string(dir.path().join("quarantine/0001/damage.json")).unwrap();
    let lost_one = format!("{{\"queue\": {orders}, \"first\": 100, \"count\": 1}}");
    assert!(listed.contains(&lost_one), "{listed}");

    // Known damage is told, and is no alarm any more.
    let report = look(dir.path());
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.lost, [lost(orders, 100, 1)]);
    assert_eq!(plan(&disk, &mut ()).unwrap().steps, []);

    let (store, report) = open(dir.path());
    assert!(report.index_rebuilt);
    assert_eq!(report.lost, [lost(orders, 100, 1)]);
    let found = fetch(&store, orders, 200);
    assert_eq!(found.len(), 91);
    assert_eq!(found[90].body, b"this one does not");
    store.close().unwrap();
    assert!(look(dir.path()).is_sound());
}

#[test]
fn a_repair_takes_only_a_damaged_checkpoint_away_when_the_other_one_is_sound() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = filled(dir.path());
    publish(&store, &[orders], &[b"between two checkpoints"]);
    store.close().unwrap();
    let newest = checkpoints(dir.path()).pop().unwrap();
    flip(&dir.path().join(&newest), 50);
    let disk = RealDisk::open(dir.path(), WriteMode::BufferedFdatasync).unwrap();
    let lock = disk.lock().unwrap();
    repair(&disk, &lock, &mut ()).unwrap();
    drop(lock);
    assert!(!dir.path().join(&newest).exists());
    assert!(index_file(dir.path()).exists());
    assert_sound(&look(dir.path()));
    let (_store, report) = open(dir.path());
    assert!(!report.index_rebuilt);
}

/// Does something when the look at the log has come so far.
struct When<F: FnOnce()> {
    offset: u64,
    then: Option<F>,
}

impl<F: FnOnce()> Progress for When<F> {
    fn reached(&mut self, stage: Stage, done: u64, _total: u64) {
        if stage == Stage::Journal
            && done >= self.offset
            && let Some(then) = self.then.take()
        {
            then();
        }
    }
}

#[test]
fn what_is_written_behind_the_look_is_no_damage_for_what_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_with(dir.path(), no_checkpoints());
    let orders = queue(&store);
    publish(&store, &[orders], &[&[7; 3000]]);
    rest(&store);
    // The first segment has been looked at when it is filled, and the next one is begun.
    let mut progress = When {
        offset: Options::tiny().segment_bytes,
        then: Some(|| (0..20).for_each(|_| publish(&store, &[orders], &[&[8; 5000]]))),
    };
    let disk = RealDisk::open(dir.path(), WriteMode::DirectDsync).unwrap();
    let report = verify(&disk, &mut progress).unwrap();
    assert!(progress.then.is_none(), "it was written while it was looked at");
    assert_eq!((report.findings, report.lost), (vec![], vec![]));
    assert!(report.blocks > 10, "{}", report.blocks);
}

#[test]
fn a_store_whose_segments_pass_fast_is_sound_at_every_look() {
    let dir = tempfile::tempdir().unwrap();
    let (store, orders) = filled(dir.path());
    store.start().unwrap();
    let looks = std::thread::scope(|scope| {
        let looker = scope.spawn(|| (0..20).map(|_| look(dir.path())).collect::<Vec<_>>());
        let mut first = 10;
        while !looker.is_finished() {
            publish(&store, &[orders], &[&[7_u8; 3000][..]; 20]);
            fetch(&store, orders, 20);
            ack(&store, orders, first, 20);
            first += 20;
        }
        looker.join().unwrap()
    });
    for report in looks {
        assert_eq!((report.findings, report.lost), (vec![], vec![]));
    }
    assert!(store.counters().segments_recycled > 0);
    store.close().unwrap();
    assert_sound(&look(dir.path()));
}

/// Repairs, as nobody else has the directory.
fn repaired(dir: &Path) -> RepairPlan {
    let disk = RealDisk::open(dir, WriteMode::BufferedFdatasync).unwrap();
    let lock = disk.lock().unwrap();
    repair(&disk, &lock, &mut ()).unwrap()
}

#[test]
fn of_a_meta_that_is_missing_or_empty_there_is_nothing_to_set_aside() {
    let remove: fn(&Path) = |meta| std::fs::remove_file(meta).unwrap();
    let empty: fn(&Path) = |meta| std::fs::write(meta, b"").unwrap();
    for lose in [remove, empty] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path()).0.close().unwrap();
        lose(&dir.path().join("META"));
        for _ in 0..2 {
            let report = look(dir.path());
            assert!(!report.is_sound());
            assert!(
                report
                    .findings
                    .iter()
                    .all(|finding| finding.part == Part::MetaSlot)
            );
            assert_eq!(repaired(dir.path()).steps, []);
            assert!(!dir.path().join("quarantine").exists());
        }
        // The next start writes it anew.
        let (store, _) = open(dir.path());
        store.close().unwrap();
        assert_sound(&look(dir.path()));
    }
}

#[test]
fn a_meta_that_ends_in_a_slot_is_named_and_what_is_left_of_the_slot_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).0.close().unwrap();
    let meta = dir.path().join("META");
    let bytes = std::fs::read(&meta).unwrap();
    std::fs::write(&meta, &bytes[..4096 + 40]).unwrap();
    let found = [("META".to_owned(), 4096, Part::MetaSlot)];
    assert_eq!(parts(&look(dir.path())), found);
    std::fs::write(&meta, &bytes[..4096]).unwrap();
    assert_eq!(parts(&look(dir.path())), found);
    assert_eq!(repaired(dir.path()).steps, []);
    std::fs::write(&meta, &bytes[..4096 + 40]).unwrap();
    repaired(dir.path());
    let copy = std::fs::read(dir.path().join("quarantine/0001/META.1000+1000")).unwrap();
    assert_eq!(copy, &bytes[4096..4096 + 40]);
    let report = look(dir.path());
    assert!(report.is_sound() && report.findings[0].set_aside, "{report:?}");
}

#[test]
fn a_plan_says_that_the_other_slot_counts_only_when_it_does() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).0.close().unwrap();
    let disk = RealDisk::open_read_only(dir.path()).unwrap();
    let says_so = || {
        let steps = plan(&disk, &mut ()).unwrap().steps;
        steps
            .iter()
            .filter(|step| step.why.contains("the other slot counts"))
            .count()
    };
    flip(&dir.path().join("META"), 20);
    assert_eq!(says_so(), 1);
    flip(&dir.path().join("META"), 4096 + 20);
    assert_eq!(says_so(), 0);
}

#[test]
fn what_an_interrupted_repair_has_copied_is_not_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).0.close().unwrap();
    flip(&dir.path().join("META"), 20);
    repaired(dir.path());
    assert!(look(dir.path()).is_sound());
    // The list comes after all copies: without it the repair was interrupted.
    std::fs::remove_file(dir.path().join("quarantine/0001/damage.json")).unwrap();
    assert!(!look(dir.path()).is_sound());
    assert_eq!(repaired(dir.path()).folder, "quarantine/0002");
    assert!(look(dir.path()).is_sound());
}
