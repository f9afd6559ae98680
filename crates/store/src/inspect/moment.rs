//! What has to hold from the beginning of a look to its end, so that all that was read belongs together.
//!
//! A running store keeps what the newer two of its checkpoints need: index pages, and segments from the older one on. So
//! what is read with a checkpoint belongs together if that one, or an older one, was among the newest two afterwards.

use super::checkpoints::{self, Checkpoints};
use super::error::InspectError;
use super::site::Site;
use crate::disk::Disk;
use crate::ids::{Lsn, SegmentNumber};
use crate::limits::SLAB_BYTES;
use crate::segments::{COLD_DIR, JOURNAL_DIR, JournalName};

pub(crate) struct Moment {
    epoch: u64,
    /// The newest checkpoint that is sound, and the size of the slabs that it speaks of.
    checkpoint: Option<(Lsn, u64)>,
    journal: Vec<SegmentNumber>,
    cold: Vec<SegmentNumber>,
}

impl Moment {
    /// What stands there now.
    pub(crate) fn of<D: Disk>(disk: &D) -> Result<Self, InspectError> {
        let checkpoint = {
            let site = Site::read(disk)?;
            let read = Checkpoints::read(disk, site.meta.store)?;
            let newest = read.sound.first();
            (
                site.meta.epoch,
                newest.map(|newest| (Lsn::new(newest.lsn), newest.slab_bytes)),
            )
        };
        Ok(Self {
            epoch: checkpoint.0,
            checkpoint: checkpoint.1,
            journal: segments(disk, JOURNAL_DIR)?,
            cold: segments(disk, COLD_DIR)?,
        })
    }

    /// Size of the files of the index.
    pub(crate) fn slab_bytes(&self) -> u64 {
        self.checkpoint.map_or(SLAB_BYTES, |(_, bytes)| bytes)
    }

    /// Whether what was read since belongs together; all of the log was read if the index was rebuilt.
    pub(crate) fn holds<D: Disk>(&self, disk: &D, rebuilt: bool) -> Result<bool, InspectError> {
        if Site::read(disk)?.meta.epoch != self.epoch {
            return Ok(false);
        }
        if let Some((lsn, _)) = self.checkpoint
            && !checkpoints::is_retained(disk, lsn)?
        {
            return Ok(false);
        }
        let (journal, cold) = (segments(disk, JOURNAL_DIR)?, segments(disk, COLD_DIR)?);
        let is_all_there = self.journal.iter().all(|number| journal.contains(number))
            && self.cold.iter().all(|number| cold.contains(number));
        Ok(is_all_there || !(rebuilt || self.checkpoint.is_none()))
    }
}

/// The numbers of the segments in a directory; none without one.
fn segments<D: Disk>(disk: &D, dir: &str) -> Result<Vec<SegmentNumber>, InspectError> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(InspectError::io("listing", dir))?,
    };
    let number = |name: &String| match JournalName::parse(name) {
        Some(JournalName::Segment(number)) => Some(number),
        _ => None,
    };
    Ok(names.iter().filter_map(number).collect())
}

#[cfg(test)]
#[cfg(feature = "sim")]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::{Engine, Options, QueueDurability};

    type SimEngine = Engine<SimDisk>;

    fn open(disk: &SimDisk) -> SimEngine {
        Engine::open(disk.clone(), Options::tiny(), ()).unwrap().0
    }

    /// The log goes on, and a checkpoint follows it.
    fn checkpoint(engine: &SimEngine) {
        let id = engine.next_queue_id();
        let made = engine
            .lock()
            .shard()
            .create_queue(id, QueueDurability::Durable, b"");
        engine.wait_durable(made.unwrap()).unwrap();
        let before = engine.counters().checkpoints;
        engine.checkpoint();
        assert_eq!(engine.counters().checkpoints, before + 1);
    }

    #[test]
    fn a_look_holds_until_the_second_checkpoint_after_the_one_that_it_began_with() {
        let disk = SimDisk::new(1);
        let engine = open(&disk);
        checkpoint(&engine);
        checkpoint(&engine);
        let moment = Moment::of(&disk).unwrap();
        assert_eq!(moment.slab_bytes(), Options::tiny().slab_bytes);
        assert!(moment.holds(&disk, false).unwrap());
        checkpoint(&engine);
        assert!(moment.holds(&disk, false).unwrap());
        checkpoint(&engine);
        assert!(!moment.holds(&disk, false).unwrap());
    }

    #[test]
    fn a_look_that_read_the_whole_log_holds_while_each_segment_has_its_name() {
        let disk = SimDisk::new(1);
        let engine = open(&disk);
        checkpoint(&engine);
        let moment = Moment::of(&disk).unwrap();
        assert!(moment.holds(&disk, true).unwrap());
        let (segment, spare) = (
            "shard-00/j/0000000000000001.seg",
            "shard-00/j/spare-0000000000000001",
        );
        disk.rename(segment, spare).unwrap();
        assert!(!moment.holds(&disk, true).unwrap());
    }

    #[test]
    fn a_look_does_not_hold_over_a_start() {
        let disk = SimDisk::new(1);
        let engine = open(&disk);
        checkpoint(&engine);
        let moment = Moment::of(&disk).unwrap();
        drop(engine);
        let _next = open(&disk);
        assert!(!moment.holds(&disk, false).unwrap());
    }
}
