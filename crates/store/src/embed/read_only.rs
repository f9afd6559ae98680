//! A store that is looked at by a process that does not hold it, running or stopped.
//!
//! What a start would recover at this moment is recovered, but every change that this makes stays in memory
//! (`disk::Overlay`): so a look shows what an open would find had the store been killed then.
//!
//! Invariants:
//! - Nothing in the directory changes, and `LOCK` is neither taken nor asked for.
//! - A look is taken of files that still belonged together when it was complete: the checkpoint that it begins with was
//!   retained then, or the whole log was there.
//! - A message that is shown has passed its checksums at its place. Where the running store has used the room again
//!   since, the entry is [`ViewError::Overtaken`].

use super::{Browse, Entry, FetchError, From, History, Queue, QueueIdentity, QueueOptions, Store};
use crate::disk::{Disk, FileKind, Overlay, RealDisk};
use crate::error::OpenError;
use crate::ids::{QueueId, SegmentNumber, Seq};
use crate::inspect::{InspectError, Moment};
use crate::limits::VIEW_TRIES_MAX;
use crate::options::Options;
use crate::report::{Quarantined, RecoveryReport};
use crate::segments::segment_path;
use std::io;
use std::path::Path;

/// A store as it stood at one moment, only to be read; made by [`Store::open_read_only`].
pub struct ReadOnlyStore<D: Disk = RealDisk> {
    disk: D,
    store: Store<Overlay<D>>,
    report: RecoveryReport,
}

/// A queue of a [`ReadOnlyStore`].
pub struct ReadOnlyQueue<D: Disk = RealDisk> {
    disk: D,
    queue: Queue<Overlay<D>>,
}

/// An iterator over the messages of a [`ReadOnlyQueue`].
#[must_use = "an iterator does nothing unless it is asked"]
pub struct ReadOnlyBrowse<D: Disk = RealDisk> {
    disk: D,
    browse: Browse<Overlay<D>>,
}

/// An iterator over all messages of a [`ReadOnlyQueue`] that its segments still hold.
#[must_use = "an iterator does nothing unless it is asked"]
pub struct ReadOnlyHistory<D: Disk = RealDisk> {
    disk: D,
    history: History<Overlay<D>>,
}

/// Why a message of a [`ReadOnlyQueue`] is not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The running store has acknowledged or moved it since, and has used its room again. Look anew from this seq.
    #[error(
        "queue {queue}, message {seq}: the running store has used its room again; open the store again to look on"
    )]
    Overtaken {
        /// The queue.
        queue: QueueIdentity,
        /// The message.
        seq: Seq,
    },
    /// It cannot be read.
    #[error(transparent)]
    Unread(#[from] FetchError),
}

impl Store<RealDisk> {
    /// Looks at the store in a directory without opening it: no lock, no write, whether another process runs it or not.
    /// What is shown is what an open would recover had that process been killed at this moment. So the newest messages may
    /// still be on their way to the disk, and messages that consumers hold count as ready, some marked as redelivered.
    ///
    /// Takes about 24 bytes of memory for each message in the store, and reads the log behind the newest checkpoint.
    ///
    /// # Errors
    /// When there is no store, it is of another version, the disk refuses, or a running store changed its files faster
    /// than they could be read, several times.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<ReadOnlyStore, InspectError> {
        let shown = dir.as_ref().display().to_string();
        let disk = RealDisk::open_read_only(dir.as_ref()).map_err(InspectError::io("opening", shown))?;
        ReadOnlyStore::open_on(&disk)
    }
}

impl<D: Disk> ReadOnlyStore<D> {
    /// The same on a disk of any kind.
    ///
    /// # Errors
    /// As [`Store::open_read_only`].
    pub fn open_on(disk: &D) -> Result<Self, InspectError> {
        let mut damage: Option<Vec<Quarantined>> = None;
        for _ in 0..VIEW_TRIES_MAX {
            let moment = Moment::of(disk)?;
            let options = Options {
                slab_bytes: moment.slab_bytes(),
                ..Options::default()
            };
            let opened = Store::open_on(Overlay::new(disk.clone()), options);
            let rebuilt = opened.as_ref().map_or(true, |(_, report)| report.index_rebuilt);
            if !moment.holds(disk, rebuilt)? {
                continue;
            }
            match opened {
                // A running store writes in order, and a look may meet what came later first: damage is met twice.
                Ok((_, report))
                    if !report.quarantined.is_empty() && damage.as_ref() != Some(&report.quarantined) =>
                {
                    damage = Some(report.quarantined);
                }
                Ok((store, report)) => {
                    let disk = disk.clone();
                    return Ok(Self { disk, store, report });
                }
                Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(InspectError::KeepsChanging {
            tries: VIEW_TRIES_MAX,
        })
    }

    /// What was recovered to look at it; nothing of it was done to the directory.
    #[must_use]
    pub const fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// The queue of this name, if there was one.
    #[must_use]
    pub fn find_queue(&self, name: &str) -> Option<ReadOnlyQueue<D>> {
        self.store.find_queue(name).map(|queue| self.view(queue))
    }

    /// All queues, by name.
    #[must_use]
    pub fn queues(&self) -> Vec<ReadOnlyQueue<D>> {
        let queues = self.store.queues().into_iter();
        queues.map(|queue| self.view(queue)).collect()
    }

    fn view(&self, queue: Queue<Overlay<D>>) -> ReadOnlyQueue<D> {
        let disk = self.disk.clone();
        ReadOnlyQueue { disk, queue }
    }
}

impl<D: Disk> ReadOnlyQueue<D> {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> QueueId {
        self.queue.id()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.queue.name()
    }

    /// What it was made with.
    #[must_use]
    pub fn options(&self) -> QueueOptions {
        self.queue.options()
    }

    /// Messages that were in it: ready, and in consumers' hands.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.queue.len()
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// All messages that were not acknowledged, from the first one.
    pub fn browse(&self) -> ReadOnlyBrowse<D> {
        self.replay(From::Start)
    }

    /// All messages that were not acknowledged, from `from` on. One that cannot be read is one error.
    pub fn replay(&self, from: From) -> ReadOnlyBrowse<D> {
        let (disk, browse) = (self.disk.clone(), self.queue.replay(from));
        ReadOnlyBrowse { disk, browse }
    }

    /// All messages from `from` on, acknowledged ones included as far as their segments are there: see [`Queue::history`].
    pub fn history(&self, from: From) -> ReadOnlyHistory<D> {
        let (disk, history) = (self.disk.clone(), self.queue.history(from));
        ReadOnlyHistory { disk, history }
    }
}

/// A segment that was recycled has lost its name before its room was used again, and no name is used twice.
fn is_gone<D: Disk>(disk: &D, segment: SegmentNumber) -> bool {
    let opened = disk.open(&segment_path(segment), FileKind::Journal);
    opened.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn view_error<D: Disk>(disk: &D, error: FetchError) -> ViewError {
    match error {
        FetchError::Damaged {
            queue, seq, segment, ..
        } if is_gone(disk, segment) => ViewError::Overtaken { queue, seq },
        error => error.into(),
    }
}

impl<D: Disk> Iterator for ReadOnlyBrowse<D> {
    type Item = Result<Entry, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.browse.next()?;
        Some(read.map_err(|error| view_error(&self.disk, error)))
    }
}

impl<D: Disk> Iterator for ReadOnlyHistory<D> {
    type Item = Result<Entry, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.history.next()?;
        Some(read.map_err(|error| view_error(&self.disk, error)))
    }
}

impl<D: Disk> std::fmt::Debug for ReadOnlyStore<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadOnlyStore").finish_non_exhaustive()
    }
}
