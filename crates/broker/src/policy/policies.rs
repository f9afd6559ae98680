//! The policies of one virtual host, and which of them holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Applied, Policy, PolicyKind};
use crate::queue::QueueKind;

/// All policies of a virtual host: a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    by_name: BTreeMap<(PolicyKind, String), Arc<Policy>>,
}

impl Policies {
    /// Sets a policy, in place of one of the same name.
    pub(crate) fn put(&mut self, policy: Policy) {
        self.by_name
            .insert((policy.kind, policy.name.clone()), Arc::new(policy));
    }

    /// Removes a policy.
    pub(crate) fn remove(&mut self, kind: PolicyKind, name: &str) {
        self.by_name.remove(&(kind, name.to_owned()));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.by_name.values()
    }

    /// What holds for a queue.
    pub(crate) fn for_queue(&self, kind: QueueKind, name: &str) -> Applied {
        self.applied(|policy| policy.fits_queue(kind, name))
    }

    /// What holds for an exchange.
    pub(crate) fn for_exchange(&self, name: &[u8]) -> Applied {
        self.applied(|policy| policy.fits_exchange(name))
    }

    fn applied(&self, fits: impl Fn(&Policy) -> bool) -> Applied {
        let best = |kind| {
            let of_kind = self
                .by_name
                .values()
                .filter(|policy| policy.kind == kind && fits(policy));
            // Of equal ones the first by name.
            let best = of_kind.reduce(|best, other| {
                if other.priority > best.priority {
                    other
                } else {
                    best
                }
            });
            best.cloned()
        };
        Applied::new(best(PolicyKind::User), best(PolicyKind::Operator))
    }
}
