//! Opening and closing.

use super::stall_watch::StallWatch;
use super::write_clock::WriteClock;
use super::{Did, Engine, Inner, Locked, Owners};
use crate::batch_memory;
use crate::catalog::{Catalog, CatalogOptions};
use crate::checksum::Salt;
use crate::disk::Disk;
use crate::error::{OpenError, PoisonCause};
use crate::follower::Follower;
use crate::ids::Epoch;
use crate::index::pages::INDEX_DIR;
use crate::meta::{META_NAME, Meta, MetaError, MetaFile, Shutdown};
use crate::options::{DamagePolicy, Options};
use crate::reader::Ahead;
use crate::recovery::{self, Identity};
use crate::report::RecoveryReport;
use crate::segments::{COLD_DIR, JOURNAL_DIR};
use crate::shard::{CheckpointWish, SPILL_DIR, empty_spill};
use crate::{catalog, checkpoint, snapshot};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

impl<D: Disk, F: Follower<D>> Engine<D, F> {
    /// Opens the store in a data directory, and makes one if there is none. Recovers what a crash left; the
    /// report says what was found. No thread runs before [`Engine::start`].
    ///
    /// # Errors
    /// When another process holds the directory, it was written by another version, or the disk refuses.
    pub fn open(disk: D, mut options: Options, follower: F) -> Result<(Self, RecoveryReport), OpenError> {
        options.check().map_err(OpenError::Options)?;
        options.prewrite_segments &= disk.rewrites_in_place();
        let lock = disk.lock()?;
        let now = disk.now();
        let mut report = RecoveryReport::default();
        snapshot::check_finished(&disk)?;
        make_directories(&disk)?;
        empty_spill(&disk).map_err(OpenError::io("emptying", SPILL_DIR))?;
        let mut meta = open_meta(&disk, &mut report)?;
        let had_catalog = catalog::is_expected(&meta.meta());
        if options.damage == DamagePolicy::Refuse {
            refuse_damaged_catalog(&disk, &meta.meta())?;
        }
        let last = Epoch::new(meta.meta().epoch);
        let identity = Identity {
            store: meta.meta().store,
            epoch: last.next(),
            begun: Epoch::new(meta.meta().begun),
            // A start that found no room may have raised the epoch since.
            closed: (meta.meta().shutdown == Shutdown::Clean).then_some(Epoch::new(meta.meta().begun)),
        };
        let raised = Meta {
            store: identity.store,
            epoch: identity.epoch.get(),
            begun: identity.begun.get(),
            shutdown: Shutdown::Unclean,
        };
        meta.write(raised).map_err(OpenError::io("writing", META_NAME))?;
        let (catalog, found) =
            Catalog::open(disk.clone(), identity.store, CatalogOptions::default()).map_err(catalog_error)?;
        report.catalog = found;
        report.catalog.missing = report.catalog.created && had_catalog;
        report.epoch = identity.epoch.get();
        let opened =
            recovery::open_shard(&disk, &options, identity, now, &mut report).inspect_err(|error| {
                let has_written_nothing = matches!(error, OpenError::DiskFull { .. } | OpenError::Damaged(_));
                if has_written_nothing && identity.closed.is_some() {
                    leave_clean(&mut meta, raised);
                }
            })?;
        // From now on a segment of this epoch without a sound header is damaged, and no remains of this start.
        let begun = Meta {
            begun: identity.epoch.get(),
            ..raised
        };
        meta.write(begun).map_err(OpenError::io("writing", META_NAME))?;
        report.elapsed_ms = disk.now().mono_ms.saturating_sub(now.mono_ms);
        let files = opened.shard.state.segments.files();
        let units = opened.shard.state.units.clone();
        let locked = Locked {
            shard: opened.shard,
            follower,
            journal_sleeps_until: None,
            housekeeper_sleeps: false,
            spiller_sleeps: false,
            waiters: 0,
            callers_chores: 0,
            closing: false,
            journal_ended: false,
        };
        let inner = Arc::new(Inner {
            disk,
            locked: Mutex::new(locked),
            work: Condvar::new(),
            chores: Condvar::new(),
            spills: Condvar::new(),
            applied: Condvar::new(),
            catalog: Mutex::new(catalog),
            meta: Mutex::new(meta),
            files,
            units,
            ahead: Ahead::new(),
            salt: Salt::of(identity.store),
            next_queue_id: AtomicU64::new(opened.next_queue_id),
            write_clock: WriteClock::new(),
            prepare_clock: WriteClock::new(),
            segment_wait: WriteClock::new(),
            stall_watch: StallWatch::default(),
            started: AtomicBool::new(false),
            threads: Mutex::new(Vec::new()),
            lock: Mutex::new(Some(lock)),
        });
        let owners = Arc::new(Owners {
            inner: Arc::clone(&inner),
        });
        Ok((Self { inner, owners }, report))
    }

    /// An orderly stop: writes what waits, stops the threads, takes a last checkpoint, marks the store clean
    /// and lets go of the directory. Whoever still holds a handle finds a store that takes nothing.
    ///
    /// # Errors
    /// When the store was poisoned: it was stopped all the same, and the next open recovers.
    pub fn close(&self) -> Result<(), PoisonCause> {
        let inner = &self.inner;
        inner.stop_threads();
        // What cannot be written (the disk is full) was not confirmed, and ends here.
        while !inner.lock().shard.tail.is_idle() && inner.lock().shard.poisoned().is_none() {
            if !inner.step(CheckpointWish::WhenDue) {
                break;
            }
        }
        inner.lock().shard.give_back_leases();
        inner.wait_for_callers();
        inner.chore_until_clean();
        let result = inner.mark_closed();
        self.catalog().close();
        // From here on nobody begins another.
        inner.wait_for_callers();
        inner.lock.lock().expect("no holder of this lock panics").take();
        result
    }
}

impl<D: Disk, F: Follower<D>> Inner<D, F> {
    /// Lets the threads write what waits, and end. From here on nothing is taken: those who go on would keep the log busy for ever.
    pub(super) fn stop_threads(&self) {
        let mut locked = self.lock();
        locked.closing = true;
        locked.shard.stopping = true;
        locked.shard.evacuator.is_stopped = true;
        drop(locked);
        self.work.notify_all();
        self.chores.notify_all();
        self.spills.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().expect("no holder of this lock panics"));
        // Not before: somebody may just have been starting them.
        self.ahead.close();
        for thread in threads {
            // A waker can drop the last handle on a thread of ours, which cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread of the store had panicked");
            }
        }
        self.started.store(false, Ordering::SeqCst);
        // Nobody of this store looks any more whether it is used.
        batch_memory::free_all();
    }

    /// Waits until no other thread has a chore under way: it writes in the directory, which may be another's soon.
    fn wait_for_callers(&self) {
        let mut locked = self.lock();
        while locked.callers_chores > 0 {
            locked = self.chores.wait(locked).expect("no holder of this lock panics");
        }
    }

    /// Does what is due, then takes the checkpoint that says that the store was stopped in order.
    pub(super) fn chore_until_clean(&self) {
        let before = self.lock().shard.chores.clean_checkpoints;
        while self.lock().shard.poisoned().is_none() && self.lock().shard.chores.clean_checkpoints == before {
            match self.chore(CheckpointWish::Clean) {
                Did::Done => {}
                // The reserve is there for this, too.
                Did::Failed if self.lock().shard.is_to_release() => {}
                Did::Failed | Did::Nothing => return,
            }
        }
    }

    pub(super) fn mark_closed(&self) -> Result<(), PoisonCause> {
        let mut locked = self.lock();
        if let Some(cause) = locked.shard.poisoned() {
            return Err(cause.clone());
        }
        let is_clean = locked.shard.chores.clean_checkpoints > 0;
        // Somebody may have gone on while the checkpoint was written, and a start takes any clean one of ours for the last.
        let is_end = locked.shard.checkpoint_is_end() && locked.shard.chores.clean_checkpoints == 1;
        locked.shard.poisoned = Some(crate::shard::stopped());
        locked.shard.poison_reported = true;
        drop(locked);
        if !is_clean {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(PoisonCause::new(
                "writing the last checkpoint",
                checkpoint::SHARD_DIR,
                full,
            ));
        }
        if !is_end {
            // The next start has to look for what came behind it.
            return Ok(());
        }
        let mut meta = self.meta.lock().expect("no holder of this lock panics");
        let clean = Meta {
            shutdown: Shutdown::Clean,
            ..meta.meta()
        };
        meta.write(clean)
            .map_err(|error| PoisonCause::new("marking the store clean", META_NAME, error))
    }
}

/// A start that found no room, or refuses damage, has written nothing of the log: it ends as it was stopped.
fn leave_clean<D: Disk>(meta: &mut MetaFile<D>, raised: Meta) {
    let clean = Meta {
        shutdown: Shutdown::Clean,
        ..raised
    };
    if let Err(error) = meta.write(clean) {
        tracing::warn!(%error, "the next start takes the store for one that was not stopped in order");
    }
}

fn make_directories<D: Disk>(disk: &D) -> Result<(), OpenError> {
    for (dir, parent) in [
        ("", ""),
        (checkpoint::SHARD_DIR, ""),
        (JOURNAL_DIR, checkpoint::SHARD_DIR),
        (COLD_DIR, checkpoint::SHARD_DIR),
        (INDEX_DIR, checkpoint::SHARD_DIR),
        (SPILL_DIR, checkpoint::SHARD_DIR),
    ] {
        if !dir.is_empty() {
            disk.create_dir(dir).map_err(OpenError::io("creating", dir))?;
            let named = if parent.is_empty() { "." } else { parent };
            disk.sync_dir(parent).map_err(OpenError::io("syncing", named))?;
        }
    }
    Ok(())
}

fn open_meta<D: Disk>(disk: &D, report: &mut RecoveryReport) -> Result<MetaFile<D>, OpenError> {
    let problem = match MetaFile::open(disk) {
        Ok(meta) => {
            report.meta_slot_damaged = meta.damaged_slot();
            return Ok(meta);
        }
        Err(MetaError::Io(source)) => {
            return Err(OpenError::Io {
                what: "reading",
                file: META_NAME.to_owned(),
                source,
            });
        }
        Err(problem @ MetaError::OtherVersion { .. }) => {
            return Err(OpenError::Format {
                file: META_NAME.to_owned(),
                problem: problem.to_string(),
            });
        }
        Err(problem) => problem,
    };
    // META can be lost, for a name that was not synced is; everything in it stands elsewhere too.
    let known = recovery::identity(disk)?;
    let catalog_store = catalog::store_of(disk).map_err(OpenError::io("reading", catalog::CATALOG_NAME))?;
    let meta = match (known, catalog_store) {
        (Some((store, epoch)), _) => Meta {
            store,
            epoch: epoch.get(),
            begun: epoch.get(),
            shutdown: Shutdown::Unclean,
        },
        (None, Some(store)) => Meta {
            store,
            epoch: 0,
            begun: 0,
            shutdown: Shutdown::Unclean,
        },
        (None, None) if matches!(problem, MetaError::Missing) => {
            report.created = true;
            Meta {
                store: disk.random(),
                epoch: 0,
                begun: 0,
                shutdown: Shutdown::Clean,
            }
        }
        (None, None) => {
            let problem = format!(
                "{problem}, and no segment tells what it said; if the directory holds no data, remove it"
            );
            return Err(OpenError::Format {
                file: META_NAME.to_owned(),
                problem,
            });
        }
    };
    MetaFile::create(disk, meta).map_err(OpenError::io("writing", META_NAME))
}

/// Damage of the catalog ends a start that shall refuse it, before anything was written.
fn refuse_damaged_catalog<D: Disk>(disk: &D, meta: &Meta) -> Result<(), OpenError> {
    let reading = OpenError::io("reading", catalog::CATALOG_NAME);
    let name = catalog::CATALOG_NAME;
    let Some((_, bytes)) = catalog::read_file(disk).map_err(reading)? else {
        if !catalog::is_expected(meta) {
            return Ok(());
        }
        return Err(OpenError::Damaged(format!(
            "{name} is missing, and with it all definitions: put the file back, or open without `Refuse` to go on with an empty one"
        )));
    };
    let (_, found) = catalog::examine(&bytes, meta.store).map_err(catalog_error)?;
    match &found.damaged[..] {
        [] => Ok(()),
        [first, ..] => Err(OpenError::Damaged(format!(
            "{} damaged ranges in {name}, the first at byte {}; open without `Refuse` to go on with what is intact",
            found.damaged.len(),
            first.offset,
        ))),
    }
}

fn catalog_error(error: catalog::CatalogOpenError) -> OpenError {
    match error {
        catalog::CatalogOpenError::Io { path, source } => OpenError::io("opening", path)(source),
        refused => OpenError::Format {
            file: catalog::CATALOG_NAME.to_owned(),
            problem: refused.to_string(),
        },
    }
}
