//! One flipped bit, and what it may cost: the record that it hit.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use logpond_store::disk::Disk;
use logpond_store::disk::sim::SimDisk;
use logpond_store::inspect::verify;
use logpond_store::{Engine, LostEntries, QueueId, ReadError, Seq, Sources};

use super::subject::{Ending, Held, Subject, place};

/// What a store gives out.
#[derive(Default)]
pub(super) struct Found {
    pub messages: Held,
    /// Entries whose message is damaged, and that say so.
    pub damaged: BTreeSet<(u64, u64)>,
}

/// Flips one bit of a copy of `subject` and looks at everything. `Err` says which promise was broken.
pub(super) fn check(subject: &Subject, file: &str, offset: u64, bit: u64) -> Result<(), String> {
    let disk = subject.disk.fork();
    disk.flip_bit(file, offset * 8 + bit)
        .map_err(|error| error.to_string())?;
    let judged = catch_unwind(AssertUnwindSafe(|| judge(subject, &disk, file, offset)));
    judged.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

fn judge(subject: &Subject, disk: &SimDisk, file: &str, offset: u64) -> Result<(), String> {
    let report = verify(disk, &mut ()).map_err(|error| format!("verify: {error}"))?;
    let is_reported = report.findings.iter().any(|finding| {
        finding.file == file && (finding.offset..finding.offset + finding.bytes).contains(&offset)
    });
    if !is_reported {
        return Err(format!("verify does not report it: {:?}", report.findings));
    }
    let lost = entries(&report.lost);
    let astray = entries(&report.astray);
    let hit: BTreeSet<(u64, u64)> = subject
        .places
        .iter()
        .filter(|(name, range, _)| name == file && range.contains(&offset))
        .map(|(.., place)| *place)
        .collect();
    if let Some(place) = lost.union(&astray).find(|place| !hit.contains(*place)) {
        return Err(format!(
            "verify calls {place:?} lost or unreadable, which was not hit"
        ));
    }
    let is_journal = file.ends_with(".seg");
    if file.ends_with(".footer") {
        // Nobody reads it but a rebuild.
        remove_index(disk)?;
    }
    let found = open_and_read(subject, disk)?;
    for (place, body) in &subject.held {
        match found.messages.get(place) {
            Some(read) if read == body => {}
            Some(_) => return Err(format!("{place:?} has bytes that nobody published")),
            None if !hit.contains(place) => return Err(format!("{place:?} is gone and was not hit")),
            None if lost.contains(place) || astray.contains(place) => {}
            None if subject.ending == Ending::Killed && is_end(&found, *place) => {}
            None => return Err(format!("{place:?} is gone and verify does not say so")),
        }
    }
    let risen = found
        .messages
        .keys()
        .find(|place| !subject.held.contains_key(place));
    match risen {
        Some(place) if !is_journal => Err(format!("{place:?} rose from the dead")),
        _ => Ok(()),
    }
}

fn remove_index(disk: &SimDisk) -> Result<(), String> {
    for (dir, prefix) in [("shard-00", "ckpt-"), ("shard-00/x", "")] {
        let names = disk.list(dir).map_err(|error| error.to_string())?;
        for name in names.iter().filter(|name| name.starts_with(prefix)) {
            disk.remove(&format!("{dir}/{name}"))
                .map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn entries(ranges: &[LostEntries]) -> BTreeSet<(u64, u64)> {
    let all = ranges.iter().flat_map(|lost| {
        (lost.first.get()..lost.first.get() + lost.count).map(|seq| (lost.queue.get(), seq))
    });
    all.collect()
}

/// Whether nothing of the same queue stands behind this place.
fn is_end(found: &Found, (queue, seq): (u64, u64)) -> bool {
    found
        .messages
        .range((queue, seq)..=(queue, u64::MAX))
        .next()
        .is_none()
}

/// What a start gives out; a damaged index stops it once, and is rebuilt by the next start.
fn open_and_read(subject: &Subject, disk: &SimDisk) -> Result<Found, String> {
    let mut disk = disk.clone();
    let mut refused = String::new();
    for _ in 0..2 {
        let opened = Engine::open(disk.clone(), subject.options.clone(), ());
        let (store, _) = opened.map_err(|error| format!("opening: {error}"))?;
        match read(&store) {
            Ok(found) => return Ok(found),
            Err(error) => refused = error,
        }
        store.step();
        drop(store);
        disk = disk.after_kill();
    }
    Err(format!("a second start did not help: {refused}"))
}

/// Reads every message of every queue, without taking any.
pub(super) fn read<D: Disk>(store: &Engine<D>) -> Result<Found, String> {
    let mut found = Found::default();
    let queues: Vec<QueueId> = store.lock().shard().queues().map(|(id, ..)| id).collect();
    let (mut reader, sources) = (store.reader(), Sources::default());
    for queue in queues {
        let mut leases = Vec::new();
        let peeked = store
            .lock()
            .shard()
            .peek(queue, Seq::new(0), u32::MAX, &mut leases);
        peeked.map_err(|error| error.to_string())?;
        for lease in &leases {
            let place = place(queue, lease.seq);
            match reader.message(queue, lease, &sources) {
                Ok(message) => {
                    let content = [message.properties, message.body].concat();
                    found.messages.insert(place, content);
                }
                Err(ReadError::Damaged { .. }) => {
                    found.damaged.insert(place);
                }
                Err(error) => return Err(format!("{place:?}: {error}")),
            }
        }
    }
    Ok(found)
}
