//! Rot: bits that flip on a medium at rest. What they hit may be lost, and must be named; all else stays.
//!
//! Invariants:
//! - The index, footers, checkpoints, META and the catalog hold nothing that the journal does not: damage there loses no message.
//! - A message is given out with the bytes that were published at its place, or not at all.

use logpond_store::disk::Disk;
use logpond_store::disk::sim::{Rng, SimDisk};
use logpond_store::{Engine, QueueId, ReadError, RecoveryReport, Seq, Sources};

use super::derived::{self, COLD_DIR, INDEX_DIR, JOURNAL_DIR, SHARD_DIR};
use super::message::Content;
use super::model::Model;
use super::settings::Settings;
use super::trace;
use super::watcher::Watcher;

const PAGE_BITS: u64 = 4096 * 8;
/// Most headers and small records lie within the first bytes of a page.
const HEADER_BITS: u64 = 256 * 8;

/// What rot did to a store.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Damage {
    pub(super) images: u64,
    pub(super) lost: u64,
}

/// Flips bits in one file of a store that was written out and stopped, opens it, and compares what is there with what was.
pub(super) fn check(
    disk: &SimDisk,
    settings: &Settings,
    model: &Model,
    rng: &mut Rng,
) -> Result<Damage, String> {
    let from_log_alone = rng.chance(32768);
    if from_log_alone {
        derived::remove(disk)?;
    }
    let Some(path) = pick_file(disk, from_log_alone, rng)? else {
        return Ok(Damage::default());
    };
    flip(disk, &path, rng)?;
    let is_journal = path.ends_with(".seg");
    let mut judge = Judge {
        model,
        is_journal,
        damage: Damage { images: 1, lost: 0 },
    };
    let judged = judge.run(disk, settings);
    judged
        .map_err(|reason| format!("after bits flipped in {path} (log alone: {from_log_alone}): {reason}"))?;
    Ok(judge.damage)
}

/// A file to damage; not the end of the log, where damage cannot be told from an interrupted write.
fn pick_file(disk: &SimDisk, from_log_alone: bool, rng: &mut Rng) -> Result<Option<String>, String> {
    let mut journal: Vec<String> = derived::list(disk, JOURNAL_DIR)?
        .into_iter()
        .filter(|name| name.ends_with(".seg"))
        .collect();
    // The newest two: one that is in use, one that is prepared.
    journal.truncate(journal.len().saturating_sub(2));
    let mut files: Vec<String> = journal
        .iter()
        .map(|name| format!("{JOURNAL_DIR}/{name}"))
        .collect();
    let cold = derived::list(disk, COLD_DIR)?.into_iter();
    let cold = cold.filter(|name| name.ends_with(".seg"));
    files.extend(cold.map(|name| format!("{COLD_DIR}/{name}")));
    if from_log_alone && rng.chance(16384) {
        files = derived::footers(disk)?;
    }
    if !from_log_alone && rng.chance(32768) {
        files = derived::list(disk, INDEX_DIR)?
            .iter()
            .map(|name| format!("{INDEX_DIR}/{name}"))
            .collect();
        if rng.chance(32768) {
            let checkpoints = derived::list(disk, SHARD_DIR)?
                .into_iter()
                .filter(|name| name.starts_with("ckpt-"));
            files.extend(checkpoints.map(|name| format!("{SHARD_DIR}/{name}")));
            files.extend(["META".to_owned(), "catalog.log".to_owned()]);
        }
    }
    Ok((!files.is_empty()).then(|| files.swap_remove(rng.index(files.len()))))
}

fn flip(disk: &SimDisk, path: &str, rng: &mut Rng) -> Result<(), String> {
    use logpond_store::disk::{DiskFile, FileKind};
    let size = disk.open(path, FileKind::Plain).and_then(|file| file.len());
    let bits = size.map_err(|error| format!("{path}: {error}"))? * 8;
    // All of the index can go without a loss, and most of a page says nothing.
    let most = if path.starts_with(INDEX_DIR) { 32 } else { 3 };
    for _ in 0..rng.between(1, most) {
        // Slabs are filled from their beginning, and most of a small store's pages were never used.
        let reach = if path.starts_with(INDEX_DIR) {
            (bits >> rng.below(6)).max(PAGE_BITS)
        } else {
            bits.max(1)
        };
        let anywhere = rng.below(reach);
        let near_header = anywhere / PAGE_BITS * PAGE_BITS + rng.below(HEADER_BITS);
        // Both slots of META at once would be a loss of two sectors.
        let bit = if path == "META" {
            rng.below(PAGE_BITS)
        } else if rng.chance(32768) {
            near_header
        } else {
            anywhere
        };
        trace::note(|| format!("flip {path} byte {} bit {}", bit / 8, bit % 8));
        disk.flip_bit(path, bit)
            .map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

struct Judge<'a> {
    model: &'a Model,
    is_journal: bool,
    damage: Damage,
}

/// The entries of a queue that can be read, (seq, message), and those that cannot.
#[derive(Default)]
struct Found {
    messages: Vec<(u64, u64)>,
    damaged: Vec<u64>,
}

/// An index that turned out to be damaged while it was used: the next start rebuilds it.
struct DamagedIndex;

impl Judge<'_> {
    fn run(&mut self, disk: &SimDisk, settings: &Settings) -> Result<(), String> {
        let mut disk = disk.clone();
        for _ in 0..2 {
            let opened = Engine::open(disk.clone(), settings.options.clone(), Watcher::default());
            let (store, report) = opened.map_err(|error| format!("opening: {error}"))?;
            trace::note(|| format!("recovered: {report:?}"));
            if self.compare(&store, &report)?.is_ok() {
                return Ok(());
            }
            store.step();
            drop(store);
            disk = disk.after_kill();
        }
        Err("the index is still damaged after a start".to_owned())
    }

    fn compare(
        &mut self,
        store: &Engine<SimDisk, Watcher>,
        report: &RecoveryReport,
    ) -> Result<Result<(), DamagedIndex>, String> {
        self.damage.lost = 0;
        let there: Vec<u64> = store.lock().shard().queues().map(|(id, ..)| id.get()).collect();
        for (id, queue) in self.model.durable.iter().filter(|(_, queue)| queue.durable) {
            let persistent = queue.entries.iter().filter(|(_, entry)| entry.persistent);
            let expected: Vec<(u64, u64)> = persistent.map(|(seq, entry)| (*seq, entry.message)).collect();
            let found = if there.contains(id) {
                self.found(store, *id)?
            } else {
                Ok(Found::default())
            };
            let Ok(found) = found else {
                return Ok(Err(DamagedIndex));
            };
            self.check_known(*id, &found, &expected, report)?;
            self.check_lost(*id, &found, &expected, report)?;
        }
        Ok(Ok(()))
    }

    fn found(
        &self,
        store: &Engine<SimDisk, Watcher>,
        id: u64,
    ) -> Result<Result<Found, DamagedIndex>, String> {
        let mut leases = Vec::new();
        let queue = QueueId::new(id);
        if store
            .lock()
            .shard()
            .peek(queue, Seq::new(0), u32::MAX, &mut leases)
            .is_err()
        {
            return Ok(Err(DamagedIndex));
        }
        let (mut reader, sources) = (store.reader(), Sources::default());
        let mut found = Found::default();
        for lease in &leases {
            let seq = lease.seq.get();
            match reader.message(queue, lease, &sources) {
                Ok(stored) => {
                    let number = Content::number(stored.properties, stored.body);
                    let number = number
                        .ok_or_else(|| format!("queue {id} entry {seq} has bytes that nobody published"))?;
                    found.messages.push((seq, number));
                }
                Err(ReadError::Damaged { .. }) if self.is_journal => found.damaged.push(seq),
                Err(error) => return Err(format!("queue {id} entry {seq}: {error}")),
            }
        }
        Ok(Ok(found))
    }

    /// What is there was expected, or an acknowledgement was lost with the damaged bytes.
    fn check_known(
        &self,
        id: u64,
        found: &Found,
        expected: &[(u64, u64)],
        report: &RecoveryReport,
    ) -> Result<(), String> {
        for place @ (seq, message) in found.messages.iter().filter(|place| !expected.contains(place)) {
            if report.quarantined.is_empty() {
                return Err(format!(
                    "queue {id} entry {seq} (message {message}) should not be there"
                ));
            }
            if !self.model.was_published(id, place.0, place.1) {
                return Err(format!(
                    "queue {id} entry {seq} is message {message}, which was never published there"
                ));
            }
        }
        Ok(())
    }

    /// What is missing was hit, in the journal, and is named: when it is read, or in the report. Only the end of a queue, behind
    /// which nothing tells how far it went, is covered by the damaged range alone.
    fn check_lost(
        &mut self,
        id: u64,
        found: &Found,
        expected: &[(u64, u64)],
        report: &RecoveryReport,
    ) -> Result<(), String> {
        let end = found
            .messages
            .iter()
            .map(|(seq, _)| *seq)
            .chain(found.damaged.iter().copied())
            .max();
        for (seq, message) in expected.iter().filter(|place| !found.messages.contains(place)) {
            self.damage.lost += 1;
            let in_report = report.lost.iter().any(|lost| {
                let range = lost.first.get()..lost.first.get() + lost.count;
                lost.queue.get() == id && range.contains(seq)
            });
            let at_end = end.is_none_or(|end| *seq > end) && !report.quarantined.is_empty();
            let named = found.damaged.contains(seq) || in_report || at_end;
            if !self.is_journal || !named {
                return Err(format!(
                    "queue {id} entry {seq} (message {message}) is lost and not named"
                ));
            }
        }
        Ok(())
    }
}
