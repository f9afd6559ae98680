//! The open store, as its embedder holds it.

use super::fetched::SharedBytes;
use super::hub::Hub;
use super::names::{Named, Names};
use super::register::Register;
use super::{CommitError, Queue, QueueError, QueueOptions};
use crate::attempts::Return;
use crate::disk::{Disk, Now, RealDisk, WriteMode};
use crate::engine::{Counters, Engine};
use crate::error::{OpenError, PoisonCause};
use crate::ids::{QueueId, Seq};
use crate::inspect::{InspectError, VerifyReport, verify};
use crate::limits::READERS_KEPT_MAX;
use crate::options::Options;
use crate::reader::Reader;
use crate::report::RecoveryReport;
use crate::snapshot::{Leftovers, SnapshotError, SnapshotManifest};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// An open store: cheap to clone, to be shared by threads.
///
/// End with [`Store::close`]. When instead the last handle is dropped (queues and deliveries are handles, too), what was
/// accepted is still written and the directory is free, but the next open recovers as after a crash.
pub struct Store<D: Disk = RealDisk> {
    shared: Arc<Shared<D>>,
}

struct Shared<D: Disk> {
    engine: Engine<D, Hub>,
    disk: D,
    register: Register,
    readers: Mutex<Vec<Reader<D>>>,
    shared_bytes: SharedBytes,
    segment_bytes: u64,
}

/// What a store has and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Queues that have a name.
    pub queues: usize,
    /// Bytes that the files of the journal take on disk, those included that wait to be used.
    pub journal_bytes: u64,
    /// What was done since the store was opened.
    pub counters: Counters,
}

impl Store<RealDisk> {
    /// Opens the store in a directory, and makes one if there is none. Recovers what a crash left; the report says what
    /// was found. The directory belongs to this process until the store is closed.
    ///
    /// # Errors
    /// When another process holds the directory, it was written by another version, or the disk refuses.
    pub fn open(dir: impl AsRef<Path>, options: Options) -> Result<(Self, RecoveryReport), OpenError> {
        let shown = dir.as_ref().display().to_string();
        let disk = RealDisk::open(dir.as_ref(), WriteMode::default())
            .map_err(OpenError::io("creating", shown.clone()))?;
        let (store, report) = Self::open_on(disk, options)?;
        let started = store.engine().start();
        started.map_err(OpenError::io("starting the threads of", shown))?;
        Ok((store, report))
    }
}

impl Store<RealDisk> {
    /// Takes a snapshot into the directory `dir`, which is made, or empty: a data directory of its own, with everything that
    /// is durable now. Durable on return. Meanwhile the store goes on, and what is accepted then is not in it.
    ///
    /// On the store's own file system sealed segments get a second name there, and cost no room while the store needs them,
    /// too; elsewhere all is copied. The first open rebuilds the index from the journal.
    ///
    /// # Errors
    /// When the directory is not empty, there is no room, the disk refuses, or the store takes nothing any more. The store goes
    /// on as if nothing had been asked for, and the error says what is left of the attempt.
    pub fn snapshot(&self, dir: impl AsRef<Path>) -> Result<SnapshotManifest, SnapshotError> {
        let shown = dir.as_ref().display().to_string();
        let target = self.shared.disk.beside(dir.as_ref());
        self.snapshot_on(&target.map_err(SnapshotError::io("creating", shown, Leftovers::None))?)
    }
}

impl<D: Disk> Store<D> {
    /// As [`Store::snapshot`], on a disk of any kind.
    ///
    /// # Errors
    /// As [`Store::snapshot`].
    pub fn snapshot_on(&self, target: &D) -> Result<SnapshotManifest, SnapshotError> {
        self.engine().snapshot(target)
    }

    /// Opens the store on a disk of any kind, without threads: whoever waits for something does the work. For tests on a
    /// simulated disk.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_on(disk: D, options: Options) -> Result<(Self, RecoveryReport), OpenError> {
        let segment_bytes = options.segment_bytes;
        let (engine, report) = Engine::open(disk.clone(), options, Hub::default())?;
        let names = Names::open(&engine, &report, disk.now())?;
        let shared = Shared {
            engine,
            disk,
            register: Register::new(names),
            readers: Mutex::new(Vec::new()),
            shared_bytes: SharedBytes::default(),
            segment_bytes,
        };
        let store = Self {
            shared: Arc::new(shared),
        };
        Ok((store, report))
    }

    /// The queue of this name; makes it if there is none. Durable on return. Who looks meanwhile does not see it yet.
    ///
    /// # Errors
    /// When it exists with other options, the name is empty or too long, or it could not be written.
    pub fn queue(&self, name: &str, options: QueueOptions) -> Result<Queue<D>, QueueError> {
        let claim = self.shared.register.claim(name);
        let known = self.names().get(name).map(Arc::clone);
        let named = match known {
            Some(named) if named.options != options => {
                return Err(QueueError::OptionsConflict {
                    name: name.to_owned(),
                    existing: Box::new(named.options),
                    asked: Box::new(options),
                });
            }
            Some(named) => named,
            None => {
                let made = Names::make(self.engine(), name, options, self.now())?;
                self.names().insert(made)
            }
        };
        drop(claim);
        Ok(Queue::new(self, &named))
    }

    /// The queue of this name, if there is one, whatever its options.
    #[must_use]
    pub fn find_queue(&self, name: &str) -> Option<Queue<D>> {
        let names = self.names();
        names.get(name).map(|named| Queue::new(self, named))
    }

    /// All queues, by name.
    #[must_use]
    pub fn queues(&self) -> Vec<Queue<D>> {
        self.names().iter().map(|named| Queue::new(self, named)).collect()
    }

    pub(super) fn delete_queue(&self, named: &Arc<Named>) -> Result<(), QueueError> {
        let claim = self.shared.register.claim(&named.name);
        let is_known = self
            .names()
            .get(&named.name)
            .is_some_and(|known| known.id == named.id);
        if !is_known {
            return Err(QueueError::unknown(named));
        }
        Names::delete(self.engine(), named)?;
        self.names().remove(&named.name);
        let undefined = Names::undefine(self.engine(), named);
        drop(claim);
        undefined
    }

    /// What the store has and has done.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let counters = self.engine().counters();
        StoreStats {
            queues: self.names().iter().count(),
            journal_bytes: counters.segment_bytes + counters.segments_spare * self.shared.segment_bytes,
            counters,
        }
    }

    /// Looks at every byte that the store relies on, as it stands on disk, while the store runs on. What changes meanwhile is
    /// looked at again; what was recycled before it could be judged is listed. For a store that is not open there is
    /// [`inspect::verify`](crate::inspect::verify).
    ///
    /// # Errors
    /// When the disk refuses. Damage is no error, but in the report.
    pub fn verify(&self) -> Result<VerifyReport, InspectError> {
        verify(&self.shared.disk, &mut ())
    }

    /// An orderly stop: writes what waits and lets go of the directory, so that the next open has nothing to recover.
    /// Whoever still holds a handle finds a store that takes nothing; deliveries that are still open come back.
    ///
    /// # Errors
    /// When the store was poisoned or could not be written: it was stopped all the same, and the next open recovers.
    pub fn close(&self) -> Result<(), PoisonCause> {
        let closed = self.engine().close();
        let mut guard = self.engine().lock();
        let hub = guard.parts().1;
        hub.notify_all();
        let due = hub.take_due();
        drop(guard);
        for waker in due {
            waker.wake();
        }
        closed
    }

    pub(super) fn requeue(
        &self,
        queue: QueueId,
        first: Seq,
        count: u64,
        how: Return,
    ) -> Result<(), CommitError> {
        let now = self.now();
        let mut guard = self.engine().lock();
        let (shard, hub) = guard.parts();
        shard.requeue(queue, first, count, how, now)?;
        hub.notify(queue);
        let due = hub.take_due();
        drop(guard);
        for waker in due {
            waker.wake();
        }
        self.engine().commit(0);
        Ok(())
    }

    /// The error with the name of the queue that it speaks of. Not to be called under the lock of the engine.
    pub(super) fn with_name(&self, mut error: CommitError) -> CommitError {
        if let Some(queue) = error.queue_mut() {
            queue.name = self.names().name_of(queue.id).map(str::to_owned);
        }
        error
    }

    pub(super) fn engine(&self) -> &Engine<D, Hub> {
        &self.shared.engine
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    pub(super) fn now(&self) -> Now {
        self.shared.disk.now()
    }

    pub(super) fn shared_bytes(&self) -> &SharedBytes {
        &self.shared.shared_bytes
    }

    /// A reader, kept from an earlier fetch if there is one: its buffer costs more than a warm read.
    pub(super) fn take_reader(&self) -> Reader<D> {
        let kept = self
            .shared
            .readers
            .lock()
            .expect("no holder of this lock panics")
            .pop();
        kept.unwrap_or_else(|| self.engine().reader())
    }

    pub(super) fn give_reader(&self, reader: Reader<D>) {
        let mut readers = self.shared.readers.lock().expect("no holder of this lock panics");
        if readers.len() < READERS_KEPT_MAX {
            readers.push(reader);
        }
    }

    fn names(&self) -> std::sync::MutexGuard<'_, Names> {
        self.shared.register.names()
    }
}

impl<D: Disk> Clone for Store<D> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<D: Disk> std::fmt::Debug for Store<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
