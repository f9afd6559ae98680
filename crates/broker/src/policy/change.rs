//! Setting and removing policies, and applying them to what exists.
//!
//! Invariants:
//! - What changes in the catalog changes there before it holds.
//! - Names are compared with patterns without the shard's lock: there may be a hundred thousand of them.

use std::sync::Arc;

use logpond_routing::Name;
use logpond_store::Engine;
use logpond_store::catalog::Changes;
use logpond_store::disk::{Disk, Now};

use super::{Applied, Policy, PolicyKind};
use crate::admin::ALTERNATE_EXCHANGE;
use crate::broker::Broker;
use crate::entries::policy_key;
use crate::errors::{Answer, not_found, precondition_failed, storage_failed};
use crate::queue::QueueSpec;
use crate::state::BrokerState;
use crate::topology::Vhost;

impl<D: Disk> Broker<D> {
    /// Sets a policy, in place of one of the same name, and applies it.
    ///
    /// # Errors
    /// 404 without the virtual host, 406 when nothing obeys the definition.
    pub fn put_policy(&self, policy: Policy, now: Now) -> Answer<()> {
        policy.check().map_err(precondition_failed)?;
        let vhost = self.known_vhost(&policy.vhost)?;
        let _administration = self.administer();
        let key = policy_key(&vhost.name, policy.kind, &policy.name);
        self.store.catalog().put(&key, &policy).map_err(storage_failed)?;
        vhost.change_policies(|policies| policies.put(policy));
        apply(&self.store, &vhost, now);
        Ok(())
    }

    /// Removes a policy; a missing one is no error.
    ///
    /// # Errors
    /// 404 without the virtual host.
    pub fn delete_policy(&self, vhost: &str, kind: PolicyKind, name: &str, now: Now) -> Answer<()> {
        let vhost = self.known_vhost(vhost)?;
        let _administration = self.administer();
        let is_it = |policy: &Arc<Policy>| policy.kind == kind && policy.name == name;
        if !vhost.policies().iter().any(is_it) {
            return Ok(());
        }
        let mut changes = Changes::default();
        changes.delete(&policy_key(&vhost.name, kind, name));
        self.commit_definitions(changes)?;
        vhost.change_policies(|policies| policies.remove(kind, name));
        apply(&self.store, &vhost, now);
        Ok(())
    }

    /// The policies of a virtual host, by name.
    ///
    /// # Errors
    /// 404 without the virtual host.
    pub fn policies(&self, vhost: &str) -> Answer<Vec<Policy>> {
        let vhost = self
            .vhost(vhost)
            .ok_or_else(|| not_found(format_args!("vhost '{vhost}'")))?;
        Ok(vhost
            .policies()
            .iter()
            .map(|policy| Policy::clone(policy))
            .collect())
    }
}

/// Applies the virtual host's policies to what it has. Hold the administration lock.
pub(crate) fn apply<D: Disk>(store: &Engine<D, BrokerState>, vhost: &Vhost, now: Now) {
    apply_to_exchanges(vhost);
    let policies = vhost.policies();
    let specs: Vec<Arc<QueueSpec>> = {
        let mut guard = store.lock();
        let (_, state) = guard.parts();
        let queues = state.queues.values().map(|queue| &queue.spec);
        queues
            .filter(|spec| *spec.vhost == *vhost.name)
            .cloned()
            .collect()
    };
    let found: Vec<(Arc<QueueSpec>, Applied)> = specs
        .into_iter()
        .map(|spec| {
            let applied = policies.for_queue(spec.kind, &spec.name);
            (spec, applied)
        })
        .collect();
    let mut guard = store.lock();
    let (_, state) = guard.parts();
    for (spec, applied) in found {
        state.set_policy(&spec, applied, now);
    }
}

fn apply_to_exchanges(vhost: &Vhost) {
    let policies = vhost.policies();
    let topology = vhost.topology();
    let changed: Vec<_> = topology
        .routes
        .exchanges()
        .filter(|exchange| !exchange.is_default())
        .filter_map(|exchange| {
            let applied = policies.for_exchange(exchange.name().as_bytes());
            let alternate = applied.text(&exchange.spec().arguments, ALTERNATE_EXCHANGE, ALTERNATE_EXCHANGE);
            let alternate = alternate.map(Name::from);
            (alternate != exchange.spec().alternate).then(|| (exchange.name().clone(), alternate))
        })
        .collect();
    if changed.is_empty() {
        return;
    }
    let Ok(()) = vhost.change(|routes| {
        for (name, alternate) in changed {
            routes.set_alternate(name.as_bytes(), alternate);
        }
        Ok::<_, std::convert::Infallible>(())
    });
}

impl BrokerState {
    /// Notes which policies hold for a queue, and follows from them.
    pub(crate) fn set_policy(&mut self, spec: &QueueSpec, policy: Applied, now: Now) {
        let expires_ms = policy.limit(&spec.arguments, "expires");
        let Some(queue) = self.queues.get_mut(&spec.id) else {
            return;
        };
        queue.policy = policy;
        if queue.expiry.map(|expiry| expiry.after_ms) != expires_ms {
            self.set_expiry(spec.id, expires_ms, now);
        }
    }
}
