//! What happens when a broker opens its data directory: the catalog and the journal are put together.
//!
//! Invariants:
//! - Nothing that is found is deleted because it fits nothing: it is kept and reported.
//! - A queue of the catalog that the journal does not know was being created (or deleted) when the broker
//!   ended; nobody was told, and it is created, empty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use logpond_routing::{ExchangeSpec, Name};
use logpond_store::catalog::Catalog;
use logpond_store::disk::{Disk, Now};
use logpond_store::{AppendError, Engine, QueueDurability, QueueId, RecoveryReport};
use serde::de::DeserializeOwned;

use crate::auth::{Accounts, FirstUser};
use crate::delay::{DelayEntry, DelayQueue};
use crate::entries::{
    BINDING, BindingEntry, DELAY, EXCHANGE, ExchangeEntry, POLICY, QUEUE, QueueEntry, VHOST, VHOST_LIMITS,
    VHOST_QUEUE_KIND, VhostEntry, VhostLimitsEntry, VhostQueueKindEntry, delay_key, vhost_key,
};
use crate::options::{BrokerOptions, FirstContent};
use crate::policy::{self, Policy};
use crate::queue::{Queue, QueueSpec};
use crate::state::BrokerState;
use crate::topology::{Vhost, queue_ref};

/// What was found at the start.
#[derive(Debug)]
#[non_exhaustive]
pub struct StartReport {
    /// What the store found.
    pub recovery: RecoveryReport,
    /// Entries of the catalog or queues of the journal that fit nothing, in words.
    pub warnings: Vec<String>,
}

/// Why a broker could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] logpond_store::OpenError),
    /// The first definitions could not be written.
    #[error("writing the first definitions: {0}")]
    Definitions(String),
    /// The store could not be closed.
    #[error("closing the store: {0}")]
    Close(String),
}

/// An opened broker's parts.
pub(crate) struct Started<D: Disk> {
    pub store: Engine<D, BrokerState>,
    pub accounts: Accounts,
    pub vhosts: BTreeMap<Arc<str>, Arc<Vhost>>,
    pub report: StartReport,
}

/// Opens the store and restores what catalog and journal define.
pub(crate) fn start<D: Disk>(disk: &D, options: &BrokerOptions) -> Result<Started<D>, OpenError> {
    let (store, recovery) = Engine::open(disk.clone(), options.store.clone(), BrokerState::default())?;
    let mut restored = Restored {
        seed: seed(disk),
        vhosts: BTreeMap::new(),
        warnings: Vec::new(),
    };
    let entries = Entries::read(&store.catalog(), &mut restored.warnings);
    // Without a virtual host it is new, and it stays new until definitions bring one.
    let is_filled = entries.vhosts.is_empty() && options.first_content == FirstContent::Defaults;
    let first = FirstUser {
        name: &options.default_user,
        password: options.default_password.as_bytes(),
        vhost: &options.default_vhost,
        salt: salt(disk),
    };
    // Before the virtual host, whose absence says that the directory is new.
    let accounts = Accounts::open(
        &mut store.catalog(),
        is_filled.then_some(&first),
        &mut restored.warnings,
    )
    .map_err(|cause| OpenError::Definitions(cause.to_string()))?;
    if is_filled {
        let name = options.default_vhost.clone();
        store
            .catalog()
            .put(&vhost_key(&name), &VhostEntry { name: name.clone() })
            .map_err(|cause| OpenError::Definitions(cause.to_string()))?;
        restored.add_vhost(&name);
    }
    for entry in &entries.vhosts {
        restored.add_vhost(&entry.name);
    }
    for entry in entries.exchanges {
        restored.add_exchange(entry);
    }
    let in_journal: BTreeSet<QueueId> = recovery.queues.iter().map(|queue| queue.id).collect();
    let mut kept = BTreeSet::new();
    for entry in entries.queues {
        kept.extend(restored.add_queue(&store, entry, &in_journal));
    }
    for entry in &entries.delays {
        store.raise_queue_ids(QueueId::new(entry.queue));
    }
    for entry in entries.delays {
        kept.extend(restored.add_delay_queue(&store, entry, &in_journal, disk.now())?);
    }
    for entry in entries.bindings {
        restored.add_binding(entry, &kept);
    }
    for entry in entries.limits {
        restored.vhost(&entry.vhost).set_limits(entry.limits);
    }
    for entry in entries.queue_kinds {
        restored.vhost(&entry.vhost).set_default_kind(entry.kind);
    }
    for policy in entries.policies {
        restored
            .vhost(&policy.vhost)
            .change_policies(|policies| policies.put(policy));
    }
    for vhost in restored.vhosts.values() {
        if let Err(cause) = policy::apply(&store, vhost, disk.now()) {
            // A poisoned store refuses everything from here on, and says why.
            let text = format!("queues of virtual host '{}' have no limits: {cause}", vhost.name);
            restored.warnings.push(text);
        }
    }
    for queue in recovery.queues.iter().filter(|queue| !kept.contains(&queue.id)) {
        restored.warnings.push(format!(
            "queue {} of the journal ({}) is not in the catalog: it is kept, but nobody can reach it",
            queue.id,
            String::from_utf8_lossy(&queue.meta)
        ));
    }
    let report = StartReport {
        recovery,
        warnings: restored.warnings,
    };
    Ok(Started {
        store,
        accounts,
        vhosts: restored.vhosts,
        report,
    })
}

/// The tables of names are seeded, so that clients cannot construct collisions.
pub(crate) fn seed<D: Disk>(disk: &D) -> u64 {
    let bytes = disk.random().to_le_bytes();
    u64::from_le_bytes([
        bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
    ])
}

/// What a new password is hashed with.
pub(crate) fn salt<D: Disk>(disk: &D) -> [u8; 4] {
    let bytes = disk.random().to_le_bytes();
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

/// The catalog's entries by kind.
#[derive(Default)]
struct Entries {
    vhosts: Vec<VhostEntry>,
    exchanges: Vec<ExchangeEntry>,
    queues: Vec<QueueEntry>,
    delays: Vec<DelayEntry>,
    bindings: Vec<BindingEntry>,
    policies: Vec<Policy>,
    limits: Vec<VhostLimitsEntry>,
    queue_kinds: Vec<VhostQueueKindEntry>,
}

impl Entries {
    fn read<D: Disk>(catalog: &Catalog<D>, warnings: &mut Vec<String>) -> Self {
        let mut entries = Self::default();
        for (key, value) in catalog.iter() {
            match key.first() {
                Some(&VHOST) => entries.vhosts.extend(decode::<D, _>(key, value, warnings)),
                Some(&EXCHANGE) => entries.exchanges.extend(decode::<D, _>(key, value, warnings)),
                Some(&QUEUE) => entries.queues.extend(decode::<D, _>(key, value, warnings)),
                Some(&DELAY) => entries.delays.extend(decode::<D, _>(key, value, warnings)),
                Some(&VHOST_LIMITS) => entries.limits.extend(decode::<D, _>(key, value, warnings)),
                Some(&VHOST_QUEUE_KIND) => entries.queue_kinds.extend(decode::<D, _>(key, value, warnings)),
                Some(&POLICY) => entries.policies.extend(decode::<D, _>(key, value, warnings)),
                Some(&BINDING) => entries.bindings.extend(decode::<D, _>(key, value, warnings)),
                // Users, permissions and what later versions add have readers of their own.
                _ => {}
            }
        }
        entries
    }
}

fn decode<D: Disk, T: DeserializeOwned>(key: &[u8], value: &[u8], warnings: &mut Vec<String>) -> Option<T> {
    match Catalog::<D>::decode(value) {
        Ok(entry) => Some(entry),
        Err(cause) => {
            let key = String::from_utf8_lossy(key).into_owned();
            warnings.push(format!(
                "catalog entry {key:?} cannot be read and is left alone: {cause}"
            ));
            None
        }
    }
}

struct Restored {
    seed: u64,
    vhosts: BTreeMap<Arc<str>, Arc<Vhost>>,
    warnings: Vec<String>,
}

impl Restored {
    fn add_vhost(&mut self, name: &str) -> Arc<Vhost> {
        let vhost = Arc::new(Vhost::new(name, self.seed));
        self.vhosts.insert(Arc::clone(&vhost.name), Arc::clone(&vhost));
        vhost
    }

    /// The virtual host of an entry. A lost one is made again, rather than losing what it held.
    fn vhost(&mut self, name: &str) -> Arc<Vhost> {
        if !self.vhosts.contains_key(name) {
            self.warnings.push(format!(
                "virtual host '{name}' is missing in the catalog, but has entries"
            ));
            return self.add_vhost(name);
        }
        Arc::clone(&self.vhosts[name])
    }

    fn add_exchange(&mut self, entry: ExchangeEntry) {
        let vhost = self.vhost(&entry.vhost);
        let spec: ExchangeSpec = entry.spec;
        if vhost
            .change(|routes| routes.declare_exchange(Name::from(entry.name.as_str()), spec))
            .is_err()
        {
            self.warnings
                .push(format!("exchange '{}' stands twice in the catalog", entry.name));
        }
    }

    /// The queue's id, if it is there now.
    fn add_queue<D: Disk>(
        &mut self,
        store: &Engine<D, BrokerState>,
        entry: QueueEntry,
        in_journal: &BTreeSet<QueueId>,
    ) -> Option<QueueId> {
        let vhost = self.vhost(&entry.vhost);
        let spec = QueueSpec {
            id: QueueId::new(entry.id),
            vhost: Arc::clone(&vhost.name),
            name: entry.name.as_str().into(),
            kind: entry.kind,
            durable: true,
            auto_delete: entry.auto_delete,
            exclusive: false,
            arguments: entry.arguments,
        };
        store.raise_queue_ids(spec.id);
        let mut guard = store.lock();
        let (shard, state) = guard.parts();
        if !in_journal.contains(&spec.id)
            && let Err(cause) = shard.create_queue(spec.id, QueueDurability::Durable, &spec.meta())
        {
            // The journal remembers that it was deleted: only the catalog had not followed yet.
            self.warnings.push(format!(
                "{spec} is not in the journal, and is not created again: {cause}"
            ));
            return None;
        }
        let id = spec.id;
        let name = Name::from(spec.name.as_ref());
        state.queues.insert(id, Queue::new(Arc::new(spec), None));
        let added: Result<_, std::convert::Infallible> =
            vhost.change(|routes| Ok(routes.add_queue(name, queue_ref(id))));
        if let Ok(Some(other)) = added {
            self.warnings.push(format!(
                "queue '{}' stands twice in the catalog: {}",
                entry.name,
                other.get()
            ));
        }
        Some(id)
    }

    /// The id of the queue, if it is there now.
    fn add_delay_queue<D: Disk>(
        &mut self,
        store: &Engine<D, BrokerState>,
        entry: DelayEntry,
        in_journal: &BTreeSet<QueueId>,
        now: Now,
    ) -> Result<Option<QueueId>, OpenError> {
        let vhost = self.vhost(&entry.vhost);
        let mut queue = DelayQueue {
            id: QueueId::new(entry.queue),
            vhost: Arc::clone(&vhost.name),
            exchange: entry.exchange.as_bytes().into(),
            durable: true,
        };
        if vhost.topology().exchange(&queue.exchange).is_none() {
            self.warnings.push(format!(
                "{queue} are kept, but the exchange is not in the catalog"
            ));
            return Ok(None);
        }
        if !in_journal.contains(&queue.id) {
            let created =
                store
                    .lock()
                    .shard()
                    .create_queue(queue.id, QueueDurability::Durable, &queue.meta());
            if matches!(created, Err(AppendError::QueueExists(_))) {
                // The exchange was being deleted: the queue had gone, the exchange had not.
                queue.id = store.next_queue_id();
                let key = delay_key(&entry.vhost, &queue.exchange);
                let entry = DelayEntry {
                    queue: queue.id.get(),
                    ..entry
                };
                let written = store.catalog().put(&key, &entry);
                written.map_err(|cause| OpenError::Definitions(cause.to_string()))?;
                store
                    .lock()
                    .shard()
                    .create_queue(queue.id, QueueDurability::Durable, &queue.meta())
            } else {
                created
            }
            .map_err(|cause| OpenError::Definitions(cause.to_string()))?;
        }
        let (id, exchange) = (queue.id, queue.exchange.clone());
        let mut guard = store.lock();
        let (shard, state) = guard.parts();
        queue
            .arrange(shard, now)
            .map_err(|cause| OpenError::Definitions(cause.to_string()))?;
        state.delays.insert(id, Arc::new(queue));
        drop(guard);
        let Ok(_) = vhost
            .change(|routes| Ok::<_, std::convert::Infallible>(routes.set_waiting(&exchange, queue_ref(id))));
        Ok(Some(id))
    }

    fn add_binding(&mut self, entry: BindingEntry, kept: &BTreeSet<QueueId>) {
        let vhost = self.vhost(&entry.vhost);
        if let logpond_routing::Destination::Queue(queue) = &entry.binding.destination
            && !kept.contains(&QueueId::new(queue.get()))
        {
            self.warnings.push(format!(
                "a binding leads to queue {}, which does not exist",
                queue.get()
            ));
            return;
        }
        if let Err(cause) = vhost.change(|routes| routes.bind(entry.binding)) {
            self.warnings.push(format!(
                "a binding in virtual host '{}' is left out: {cause}",
                vhost.name
            ));
        }
    }
}
