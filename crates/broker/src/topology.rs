//! Exchanges, bindings and queue names of a virtual host, as a snapshot that is replaced whole.
//!
//! Invariants:
//! - Every change raises the version, so a session knows when what it remembers is stale.
//! - Snapshots are replaced only under the administration lock; those that add or remove a queue under the
//!   shard's lock too. So whoever loads one under the shard's lock sees only queues that exist.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use logpond_routing::{Binding, Exchange, ExchangeSpec, Name, QueueRef, Removed, Routes};
use logpond_store::QueueId;
use serde::{Deserialize, Serialize};

use crate::policy::Policies;
use crate::queue::QueueKind;

/// One state of a virtual host's topology.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    version: u64,
    pub routes: Routes,
}

impl Topology {
    /// Raised by every change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The queue of this name.
    pub(crate) fn queue(&self, name: &str) -> Option<QueueId> {
        self.routes.queue(name.as_bytes()).map(queue_id)
    }

    /// The exchange of this name.
    pub(crate) fn exchange(&self, name: &[u8]) -> Option<&Exchange> {
        self.routes.exchange(name)
    }
}

/// How much a virtual host may have at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VhostLimits {
    /// Connections; `None` for any number.
    pub max_connections: Option<u64>,
    /// Queues; `None` for any number.
    pub max_queues: Option<u64>,
}

/// A virtual host.
pub(crate) struct Vhost {
    pub name: Arc<str>,
    topology: ArcSwap<Topology>,
    policies: ArcSwap<Policies>,
    limits: ArcSwap<VhostLimits>,
    default_kind: ArcSwap<QueueKind>,
}

impl Vhost {
    /// A virtual host with the predeclared exchanges. `seed` goes into the tables of names.
    pub(crate) fn new(name: &str, seed: u64) -> Self {
        let topology = Topology {
            version: 1,
            routes: Routes::new(seed),
        };
        Self {
            name: name.into(),
            topology: ArcSwap::from_pointee(topology),
            policies: ArcSwap::default(),
            limits: ArcSwap::default(),
            default_kind: ArcSwap::from_pointee(QueueKind::Classic),
        }
    }

    /// The topology of now.
    pub(crate) fn topology(&self) -> Guard<Arc<Topology>> {
        self.topology.load()
    }

    /// How much it may have.
    pub(crate) fn limits(&self) -> VhostLimits {
        **self.limits.load()
    }

    /// The kind of queues that are declared without one.
    pub(crate) fn default_kind(&self) -> QueueKind {
        **self.default_kind.load()
    }

    /// Sets the kind of queues that are declared without one.
    pub(crate) fn set_default_kind(&self, kind: QueueKind) {
        self.default_kind.store(Arc::new(kind));
    }

    /// Sets how much it may have.
    pub(crate) fn set_limits(&self, limits: VhostLimits) {
        self.limits.store(Arc::new(limits));
    }

    /// The policies of now.
    pub(crate) fn policies(&self) -> Guard<Arc<Policies>> {
        self.policies.load()
    }

    /// Changes the policies. Hold the administration lock, and apply them after.
    pub(crate) fn change_policies(&self, change: impl FnOnce(&mut Policies)) {
        let mut next = Policies::clone(&self.policies.load());
        change(&mut next);
        self.policies.store(Arc::new(next));
    }

    /// Replaces the topology by one that `change` made of a copy.
    pub(crate) fn change<T, E>(&self, change: impl FnOnce(&mut Routes) -> Result<T, E>) -> Result<T, E> {
        let mut next = Topology::clone(&self.topology.load());
        let outcome = change(&mut next.routes)?;
        next.version += 1;
        self.topology.store(Arc::new(next));
        Ok(outcome)
    }
}

/// What routing calls this queue.
pub(crate) fn queue_ref(id: QueueId) -> QueueRef {
    QueueRef::new(id.get())
}

/// The queue that routing means.
pub(crate) fn queue_id(queue: QueueRef) -> QueueId {
    QueueId::new(queue.get())
}

/// Everything that went, for the catalog to follow.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    pub exchanges: Vec<(Name, ExchangeSpec)>,
    pub bindings: Vec<Arc<Binding>>,
}

impl Gone {
    /// Deletes an exchange, and the auto-delete exchanges that lose their last binding by it.
    pub(crate) fn delete_exchange(&mut self, routes: &mut Routes, name: Name) {
        let mut condemned = vec![name];
        while let Some(name) = condemned.pop() {
            let Some(spec) = routes
                .exchange(name.as_bytes())
                .map(|exchange| exchange.spec().clone())
            else {
                continue;
            };
            if let Some(removed) = routes.delete_exchange(name.as_bytes()) {
                self.exchanges.push((name, spec));
                self.bindings.extend(removed.bindings);
                condemned.extend(removed.unused);
            }
        }
    }

    /// Follows up on what a removal left.
    pub(crate) fn follow(&mut self, routes: &mut Routes, removed: Removed) {
        self.bindings.extend(removed.bindings);
        for name in removed.unused {
            self.delete_exchange(routes, name);
        }
    }
}
