//! The catalog's entries: keys, and the types of their values.
//!
//! Invariant: the first byte of a key says of what kind the entry is; the rest identifies it.

use logpond_routing::{Arguments, Binding, ExchangeSpec};
use serde::{Deserialize, Serialize};

use crate::policy::PolicyKind;
use crate::queue::{QueueKind, QueueSpec};
use crate::topology::VhostLimits;

/// First byte of a virtual host's key.
pub(crate) const VHOST: u8 = b'v';
/// First byte of an exchange's key.
pub(crate) const EXCHANGE: u8 = b'x';
/// First byte of a queue's key.
pub(crate) const QUEUE: u8 = b'q';
/// First byte of a binding's key.
pub(crate) const BINDING: u8 = b'b';

/// First byte of the key of a virtual host's limits.
pub(crate) const VHOST_LIMITS: u8 = b'l';
/// First byte of the key of a virtual host's default kind of queue.
pub(crate) const VHOST_QUEUE_KIND: u8 = b'k';
/// First byte of a policy's key.
pub(crate) const POLICY: u8 = b'y';
/// First byte of the key of a queue of delayed messages.
pub(crate) const DELAY: u8 = b'd';

/// A virtual host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VhostEntry {
    pub name: String,
}

/// How much a virtual host may have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VhostLimitsEntry {
    pub vhost: String,
    pub limits: VhostLimits,
}

/// The kind of queues that are declared without one in a virtual host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VhostQueueKindEntry {
    pub vhost: String,
    pub kind: QueueKind,
}

/// A durable exchange.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExchangeEntry {
    pub vhost: String,
    pub name: String,
    pub spec: ExchangeSpec,
}

/// A durable queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct QueueEntry {
    pub id: u64,
    pub vhost: String,
    pub name: String,
    pub kind: QueueKind,
    pub auto_delete: bool,
    pub arguments: Arguments,
}

impl From<&QueueSpec> for QueueEntry {
    fn from(spec: &QueueSpec) -> Self {
        Self {
            id: spec.id.get(),
            vhost: spec.vhost.as_ref().to_owned(),
            name: spec.name.as_ref().to_owned(),
            kind: spec.kind,
            auto_delete: spec.auto_delete,
            arguments: spec.arguments.clone(),
        }
    }
}

/// A binding between durable ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BindingEntry {
    pub vhost: String,
    pub binding: Binding,
}

/// Key of a virtual host.
pub(crate) fn vhost_key(name: &str) -> Vec<u8> {
    key(VHOST, &[name.as_bytes()])
}

/// Key of a virtual host's limits.
pub(crate) fn vhost_limits_key(name: &str) -> Vec<u8> {
    key(VHOST_LIMITS, &[name.as_bytes()])
}

/// Key of a virtual host's default kind of queue.
pub(crate) fn vhost_queue_kind_key(name: &str) -> Vec<u8> {
    key(VHOST_QUEUE_KIND, &[name.as_bytes()])
}

/// Key of an exchange.
pub(crate) fn exchange_key(vhost: &str, name: &[u8]) -> Vec<u8> {
    key(EXCHANGE, &[vhost.as_bytes(), name])
}

/// Key of the queue of delayed messages of an exchange.
pub(crate) fn delay_key(vhost: &str, exchange: &[u8]) -> Vec<u8> {
    key(DELAY, &[vhost.as_bytes(), exchange])
}

/// Key of a queue.
pub(crate) fn queue_key(vhost: &str, name: &str) -> Vec<u8> {
    key(QUEUE, &[vhost.as_bytes(), name.as_bytes()])
}

/// Key of a policy.
pub(crate) fn policy_key(vhost: &str, kind: PolicyKind, name: &str) -> Vec<u8> {
    let kind: &[u8] = match kind {
        PolicyKind::User => b"user",
        PolicyKind::Operator => b"operator",
    };
    key(POLICY, &[vhost.as_bytes(), kind, name.as_bytes()])
}

/// Key of a binding: its four parts.
pub(crate) fn binding_key(vhost: &str, binding: &Binding) -> Vec<u8> {
    let identity = serde_json::to_vec(&(&binding.destination, &binding.arguments))
        .expect("a binding is made of strings, numbers and lists");
    key(
        BINDING,
        &[
            vhost.as_bytes(),
            binding.source.as_bytes(),
            binding.key.as_bytes(),
            &identity,
        ],
    )
}

/// Each part carries its length, so that no two lists of parts give the same key.
fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    for part in parts {
        key.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        key.extend_from_slice(part);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::{exchange_key, queue_key};

    #[test]
    fn names_that_run_into_each_other_have_different_keys() {
        assert_ne!(queue_key("a", "bc"), queue_key("ab", "c"));
        assert_ne!(queue_key("a", "b"), exchange_key("a", b"b"));
    }
}
