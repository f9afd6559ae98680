//! A log that went on behind the unused end of a segment, and in which nothing was written since.

use super::Engine;
use super::stepped::{durable_queue, message_for, publish_all};
use crate::checkpoint;
use crate::disk::sim::SimDisk;
use crate::disk::{AlignedBuf, Disk, DiskFile, FileKind};
use crate::inspect::{VerifyReport, verify};
use crate::shard::CheckpointWish;
use crate::tail::{Next, Take};
use crate::{Options, QueueId, RecoveryReport};

/// The last message of the first segment lies in a block that begins there.
const LAST_BLOCK: u64 = 4096 * 11;

fn open(disk: &SimDisk) -> (Engine<SimDisk>, RecoveryReport) {
    let options = Options {
        checkpoint_ms: u64::MAX,
        checkpoint_bytes: u64::MAX,
        footer_fraction: 0,
        ..Options::tiny()
    };
    Engine::open(disk.clone(), options, ()).unwrap()
}

/// A store that was killed twice. The first segment holds four messages of a queue and has no room for the fifth, which the
/// checkpoint that was taken then places behind its end. It was not written, and so the second process began exactly there.
fn begun_behind_an_unused_end() -> (SimDisk, QueueId) {
    let disk = SimDisk::new(1);
    let (engine, _) = open(&disk);
    let queue = durable_queue(&engine);
    let queues = [queue];
    let large = message_for(&queues, &[&[7; 10_000]]);
    for _ in 0..4 {
        let block = publish_all(&engine, [large]);
        engine.wait_durable(block).unwrap();
    }
    publish_all(&engine, [large]);
    let write = loop {
        let next = engine.lock().shard().next_write(disk.now(), Take::All);
        match next {
            Next::Write(job) => break job,
            Next::NeedsSegment => {
                let now = disk.now();
                let job = engine
                    .lock()
                    .shard()
                    .next_job(now, CheckpointWish::WhenDue)
                    .unwrap();
                let (_, done) = engine.inner.perform(job);
                engine.lock().shard().finish_job(done.unwrap(), now);
            }
            Next::Nothing => panic!("the fifth message waits"),
        }
    };
    engine.checkpoint();
    let disk = disk.after_kill();
    drop((engine, write));
    let (engine, report) = open(&disk);
    assert_eq!((report.queues[0].messages, report.index_rebuilt), (4, false));
    let disk = disk.after_kill();
    drop(engine);
    (disk, queue)
}

/// What a disk does to a store.
type Rot = fn(&SimDisk);

/// The log alone is left.
fn without_checkpoints(disk: &SimDisk) -> SimDisk {
    let disk = disk.fork();
    checkpoint::remove_all(&disk).unwrap();
    disk
}

fn looked_at(disk: &SimDisk) -> VerifyReport {
    verify(disk, &mut ()).unwrap()
}

fn write_page(disk: &SimDisk, offset: u64, fill: impl FnOnce(&mut [u8])) {
    let file = disk
        .open("shard-00/j/0000000000000001.seg", FileKind::Journal)
        .unwrap();
    let mut page = AlignedBuf::zeroed(4096);
    file.read_at(&mut page, offset).unwrap();
    fill(&mut page);
    file.write_synced_at(&page, offset).unwrap();
}

#[test]
fn an_unused_end_is_no_damage_where_the_next_start_went_on_behind_it() {
    let (disk, queue) = begun_behind_an_unused_end();
    for disk in [without_checkpoints(&disk), disk] {
        let look = looked_at(&disk);
        assert_eq!((look.findings, look.torn), (vec![], vec![]));
        let (engine, report) = open(&disk);
        assert_eq!(
            (report.quarantined, report.lost, report.torn),
            (vec![], vec![], None)
        );
        assert_eq!(engine.lock().shard().counts(queue).unwrap().ready, 4);
        // What it writes is found again.
        let block = publish_all(&engine, [message_for(&[queue], &[b"more"])]);
        engine.wait_durable(block).unwrap();
        let disk = without_checkpoints(&disk.after_kill());
        drop(engine);
        assert_eq!(looked_at(&disk).findings, []);
        let (_, report) = open(&disk);
        assert_eq!((report.quarantined, report.queues[0].messages), (vec![], 5));
    }
}

#[test]
fn what_is_left_of_the_last_block_before_such_a_start_is_damage() {
    // Its header is lost, and the record is not.
    let headless = |disk: &SimDisk| write_page(disk, LAST_BLOCK, |page| page[..128].fill(0));
    // The header is damaged and says still what it was; the record is lost.
    let rotten = |disk: &SimDisk| {
        write_page(disk, LAST_BLOCK, |page| page[8] ^= 1);
        write_page(disk, LAST_BLOCK + 4096, |page| page.fill(0));
    };
    let (disk, queue) = begun_behind_an_unused_end();
    let ways: [(Rot, u64); 2] = [(headless, 1), (rotten, 0)];
    for (damage, kept) in ways {
        let disk = without_checkpoints(&disk);
        damage(&disk);
        let look = looked_at(&disk);
        let [finding] = &look.findings[..] else {
            panic!("{:?}", look.findings)
        };
        assert_eq!((finding.offset, finding.records_kept), (LAST_BLOCK, kept));
        let (engine, report) = open(&disk);
        let [quarantined] = &report.quarantined[..] else {
            panic!("{:?}", report.quarantined)
        };
        assert_eq!((quarantined.offset, quarantined.records_kept), (LAST_BLOCK, kept));
        assert_eq!(engine.lock().shard().counts(queue).unwrap().ready, 3 + kept);
    }
}
