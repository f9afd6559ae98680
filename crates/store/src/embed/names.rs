//! The names of queues: in the catalog, and again in the journal as the queue's description.
//!
//! Invariants:
//! - A name is durable in the catalog before its queue is in the journal; a queue is durably out of the journal before
//!   its name leaves the catalog. So an open completes what a crash interrupted, and never guesses.
//! - A queue whose name the catalog has lost is found again by what the journal says of it.
//! - The shard keeps what a queue was made with before anybody can have the queue.

use super::definition::Definition;
use super::{QueueError, QueueOptions};
use crate::catalog::{CATALOG_NAME, Catalog, CatalogError};
use crate::disk::{Disk, Now};
use crate::embed::hub::Hub;
use crate::engine::Engine;
use crate::error::{AppendError, OpenError};
use crate::ids::QueueId;
use crate::limits::QUEUE_NAME_BYTES_MAX;
use crate::queue::QueueDurability;
use crate::report::RecoveryReport;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keys of the catalog, and descriptions in the journal, begin with this; the name follows.
const PREFIX: &[u8] = b"store/queue/";

/// A queue that has a name.
#[derive(Debug)]
pub(super) struct Named {
    pub id: QueueId,
    pub name: String,
    pub options: QueueOptions,
}

/// All queues by name.
#[derive(Default)]
pub(super) struct Names {
    by_name: BTreeMap<String, Arc<Named>>,
}

impl Names {
    /// The names that the catalog holds, with their queues in the journal.
    pub(super) fn open<D: Disk>(
        engine: &Engine<D, Hub>,
        report: &RecoveryReport,
        now: Now,
    ) -> Result<Self, OpenError> {
        let mut names = Self::default();
        let all = defined(&engine.catalog())?;
        // First of all: what follows may wait for a write, and with it for work that lets segments go.
        for named in &all {
            let retention = named.options.retention();
            let is_in_journal = report.queues.iter().any(|queue| queue.id == named.id);
            if retention.is_some() && is_in_journal {
                let told = engine.lock().shard().set_retention(named.id, retention);
                told.map_err(|error| unusable(&named.name, error))?;
            }
        }
        for named in all {
            engine.raise_queue_ids(named.id);
            let in_journal = report.queues.iter().any(|queue| queue.id == named.id);
            if in_journal || names.make_again(engine, &named)? {
                configure(engine, &named, now).map_err(|error| unusable(&named.name, error))?;
                names.insert(named);
            }
        }
        for queue in &report.queues {
            let name = queue
                .meta
                .strip_prefix(PREFIX)
                .and_then(|name| std::str::from_utf8(name).ok());
            let known = names.by_name.values().any(|named| named.id == queue.id);
            let Some(name) = name.filter(|name| !known && !names.by_name.contains_key(*name)) else {
                continue;
            };
            tracing::warn!(name, id = %queue.id, "the catalog had lost a queue; it is back, without its limits");
            let named = Named {
                id: queue.id,
                name: name.to_owned(),
                options: QueueOptions::default(),
            };
            write(&mut engine.catalog(), &named).map_err(unwritable)?;
            names.insert(named);
        }
        Ok(names)
    }

    /// A name without a queue: either it was about to be made, or it was deleted. Whether it is there now.
    fn make_again<D: Disk>(&self, engine: &Engine<D, Hub>, named: &Named) -> Result<bool, OpenError> {
        let made = create(engine, named);
        match made {
            Ok(()) => Ok(true),
            Err(AppendError::QueueExists(_)) => {
                let removed = engine.catalog().delete(&key(&named.name));
                removed.map_err(unwritable)?;
                Ok(false)
            }
            Err(error) => Err(unusable(&named.name, error)),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Named>> {
        self.by_name.get(name)
    }

    /// The name of the queue with this id.
    pub(super) fn name_of(&self, id: QueueId) -> Option<&str> {
        let named = self.by_name.values().find(|named| named.id == id)?;
        Some(&named.name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Named>> {
        self.by_name.values()
    }

    /// Makes a queue; durable on return. Whoever calls this has claimed its name.
    pub(super) fn make<D: Disk>(
        engine: &Engine<D, Hub>,
        name: &str,
        options: QueueOptions,
        now: Now,
    ) -> Result<Named, QueueError> {
        if name.is_empty() || name.len() > QUEUE_NAME_BYTES_MAX {
            let (len, limit) = (name.len(), QUEUE_NAME_BYTES_MAX);
            return Err(QueueError::Name { len, limit });
        }
        let named = Named {
            id: engine.next_queue_id(),
            name: name.to_owned(),
            options,
        };
        // Of a store that takes nothing the definition would be all that there is.
        let alive = engine.lock().shard().check_alive();
        alive.map_err(|error| QueueError::refused(&named, error))?;
        write(&mut engine.catalog(), &named)?;
        let made = create(engine, &named).and_then(|()| configure(engine, &named, now));
        made.map_err(|error| QueueError::refused(&named, error))?;
        Ok(named)
    }

    /// Deletes a queue from the journal; durable on return. Its name goes next, and its definition last.
    pub(super) fn delete<D: Disk>(engine: &Engine<D, Hub>, named: &Named) -> Result<(), QueueError> {
        let deleted = engine.lock().shard().delete_queue(named.id);
        let block = deleted.map_err(|error| QueueError::refused(named, error))?;
        engine.wait_durable(block).map_err(QueueError::Poisoned)?;
        Ok(())
    }

    /// Deletes the definition of a queue that is gone; durable on return.
    pub(super) fn undefine<D: Disk>(engine: &Engine<D, Hub>, named: &Named) -> Result<(), QueueError> {
        let mut guard = engine.lock();
        let hub = guard.parts().1;
        hub.notify(named.id);
        let due = hub.take_due();
        drop(guard);
        for waker in due {
            waker.wake();
        }
        engine.catalog().delete(&key(&named.name))?;
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    pub(super) fn insert(&mut self, named: Named) -> Arc<Named> {
        let named = Arc::new(named);
        self.by_name.insert(named.name.clone(), Arc::clone(&named));
        named
    }
}

fn create<D: Disk>(engine: &Engine<D, Hub>, named: &Named) -> Result<(), AppendError> {
    let description = key(&named.name);
    let durable = QueueDurability::Durable;
    let block = engine
        .lock()
        .shard()
        .create_queue(named.id, durable, &description)?;
    engine.wait_durable(block).map_err(AppendError::Poisoned)?;
    Ok(())
}

/// Tells the shard what the log does not say of a queue.
fn configure<D: Disk>(engine: &Engine<D, Hub>, named: &Named, now: Now) -> Result<(), AppendError> {
    let (id, options) = (named.id, named.options);
    let mut guard = engine.lock();
    let shard = guard.shard();
    // Levels first: a limit that drops begins with the head.
    if options.priority_max > 0 {
        shard.set_priorities(id, options.priority_max)?;
    }
    shard.set_time_to_live(id, options.time_to_live_ms)?;
    if let Some(retention) = options.retention() {
        shard.set_retention(id, Some(retention))?;
    }
    shard.set_limits(id, options.limits(), now)
}

/// A queue that the catalog names cannot be had.
fn unusable(name: &str, error: AppendError) -> OpenError {
    match error {
        AppendError::Poisoned(cause) => {
            let file = cause.file.clone();
            OpenError::io(cause.what, file)(std::io::Error::other(cause))
        }
        AppendError::TooLarge { .. }
        | AppendError::QueueFull(_)
        | AppendError::QueueExists(_)
        | AppendError::UnknownQueue(_) => OpenError::Format {
            file: CATALOG_NAME.to_owned(),
            problem: format!("queue '{name}' could not be made: {error}"),
        },
    }
}

fn key(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes()].concat()
}

fn write<D: Disk>(catalog: &mut Catalog<D>, named: &Named) -> Result<(), CatalogError> {
    catalog.put(
        &key(&named.name),
        &Definition::new(named.id.get(), &named.options),
    )
}

/// What the catalog defines. An entry is intact when it comes here, so one that cannot be read is another version's.
fn defined<D: Disk>(catalog: &Catalog<D>) -> Result<Vec<Named>, OpenError> {
    let entries = catalog.with_prefix(PREFIX).map(|(key, value)| {
        let name = String::from_utf8_lossy(&key[PREFIX.len()..]).into_owned();
        match Catalog::<D>::decode::<Definition>(value) {
            Ok(definition) => {
                let (id, options) = definition.into_parts();
                let id = QueueId::new(id);
                Ok(Named { id, name, options })
            }
            Err(error) => Err(OpenError::Format {
                file: CATALOG_NAME.to_owned(),
                problem: format!(
                    "queue '{name}' was defined by another version ({error}): open it with that one"
                ),
            }),
        }
    });
    entries.collect()
}

fn unwritable(error: CatalogError) -> OpenError {
    match error {
        CatalogError::DiskFull { source, .. } | CatalogError::Io { source, .. } => {
            OpenError::io("writing", CATALOG_NAME)(source)
        }
        CatalogError::Encode(_) | CatalogError::Poisoned | CatalogError::Closed => OpenError::Format {
            file: CATALOG_NAME.to_owned(),
            problem: error.to_string(),
        },
    }
}
