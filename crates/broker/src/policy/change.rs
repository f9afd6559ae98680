//! Setting and removing policies, and applying them to what exists.
//!
//! Invariants:
//! - What changes in the catalog changes there before it holds.
//! - Names are compared with patterns without the shard's lock: there may be a hundred thousand of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::Waker;

use logpond_routing::Name;
use logpond_store::catalog::Changes;
use logpond_store::disk::{Disk, Now};
use logpond_store::{AppendError, Engine, QueueId, Shard};

use super::{Policy, PolicyKind};
use crate::admin::ALTERNATE_EXCHANGE;
use crate::broker::Broker;
use crate::entries::policy_key;
use crate::errors::{Answer, not_found, precondition_failed, storage_failed};
use crate::queue::QueueSpec;
use crate::queue_policy::QueuePolicy;
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
        apply(&self.store, &vhost, now).map_err(storage_failed)
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
        apply(&self.store, &vhost, now).map_err(storage_failed)
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
pub(crate) fn apply<D: Disk>(
    store: &Engine<D, BrokerState>,
    vhost: &Vhost,
    now: Now,
) -> Result<(), AppendError> {
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
    let found: Vec<(QueueId, QueuePolicy)> = specs
        .iter()
        .map(|spec| {
            let applied = policies.for_queue(spec.kind, &spec.name);
            (spec.id, QueuePolicy::of(spec, &applied))
        })
        .collect();
    let mut guard = store.lock();
    let (shard, state) = guard.parts();
    let applied = found
        .into_iter()
        .try_for_each(|(id, policy)| state.set_policy(shard, id, policy, now));
    // Routes that sessions remember say which queues may refuse: under the lock, so that nobody uses one between.
    let Ok(()) = vhost.change(|_| Ok::<_, Infallible>(()));
    let wakers = std::mem::take(&mut guard.parts().1.wakers);
    drop(guard);
    // A queue may expire earlier now.
    wakers.into_iter().for_each(Waker::wake);
    // What limits dropped, or who no longer wants dead letters, has brought records.
    store.commit(1);
    applied
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
    /// Follows from what holds for a queue.
    pub(crate) fn set_policy<D: Disk>(
        &mut self,
        shard: &mut Shard<D>,
        id: QueueId,
        policy: QueuePolicy,
        now: Now,
    ) -> Result<(), AppendError> {
        let Some(queue) = self.queues.get_mut(&id) else {
            return Ok(());
        };
        if queue.policy.as_ref() == Some(&policy) {
            return Ok(());
        }
        policy.apply(queue.policy.as_ref(), shard, id, now)?;
        let expires_ms = policy.expires_ms();
        queue.policy = Some(policy);
        if queue.expiry.map(|expiry| expiry.after_ms) != expires_ms {
            self.set_expiry(id, expires_ms, now);
        }
        Ok(())
    }
}
