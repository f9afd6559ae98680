//! `queue.bind`, `queue.unbind`, `exchange.bind`, `exchange.unbind`.

use std::sync::Arc;

use logpond_routing::{Arguments, BindError, Binding, Bound, Destination, ExchangeKind, Name};
use logpond_store::catalog::Changes;
use logpond_store::disk::Disk;

use super::exchanges::default_exchange;
use crate::broker::Broker;
use crate::entries::{BindingEntry, binding_key};
use crate::errors::{Answer, not_found, precondition_failed, storage_failed};
use crate::limits::PATTERN_HASHES_MAX;
use crate::queue::{QueueKind, QueueSpec};
use crate::resource::Resource;
use crate::topology::{Gone, Topology, Vhost, queue_ref};

/// A binding whose destination was looked up.
pub(crate) struct BindingRequest<'a> {
    pub source: &'a str,
    pub destination: Endpoint<'a>,
    pub routing_key: &'a [u8],
    pub arguments: &'a Arguments,
}

/// Where a binding is to lead.
pub(crate) enum Endpoint<'a> {
    Queue(Arc<QueueSpec>),
    Exchange(&'a str),
}

impl BindingRequest<'_> {
    fn binding(&self) -> Binding {
        Binding {
            source: Name::from(self.source),
            destination: match &self.destination {
                Endpoint::Queue(spec) => Destination::Queue(queue_ref(spec.id)),
                Endpoint::Exchange(name) => Destination::Exchange(Name::from(*name)),
            },
            key: Name::from(self.routing_key),
            arguments: self.arguments.clone(),
        }
    }

    /// What else a kind of exchange asks of a binding. A new binding only: what exists stays as it is, at a start as well.
    fn check_kind(&self, topology: &Topology) -> Answer<()> {
        let kind = topology
            .exchange(self.source.as_bytes())
            .map(|exchange| exchange.spec().chooses());
        match (kind, &self.destination) {
            // It chooses among the queues of its node, and has no replicated ones.
            (Some(ExchangeKind::LocalRandom), Endpoint::Queue(spec)) if spec.kind == QueueKind::Quorum => {
                Err(precondition_failed(
                    "Queue type rabbit_quorum_queue not valid for this exchange type",
                ))
            }
            (Some(ExchangeKind::Topic), _) => check_pattern(self.routing_key),
            _ => Ok(()),
        }
    }

    /// A binding is kept when both its ends are.
    fn is_kept(&self, topology: &Topology) -> bool {
        let durable = |name: &str| {
            topology
                .exchange(name.as_bytes())
                .is_some_and(|exchange| exchange.spec().durable)
        };
        durable(self.source)
            && match &self.destination {
                Endpoint::Queue(spec) => spec.is_kept(),
                Endpoint::Exchange(name) => durable(name),
            }
    }
}

/// As in RabbitMQ, where each `#` multiplies what a routing key costs.
fn check_pattern(pattern: &[u8]) -> Answer<()> {
    let hashes = pattern
        .split(|byte| *byte == b'.')
        .filter(|word| word == b"#")
        .count();
    if hashes <= PATTERN_HASHES_MAX {
        return Ok(());
    }
    let pattern = String::from_utf8_lossy(pattern);
    Err(precondition_failed(format_args!(
        "Topic binding key '{pattern}' uses {hashes} '#' wildcards, at most {PATTERN_HASHES_MAX} are allowed"
    )))
}

impl<D: Disk> Broker<D> {
    /// Adds a binding; one that exists is no error.
    pub(crate) fn bind(&self, vhost: &Vhost, request: &BindingRequest<'_>) -> Answer<()> {
        let _administration = self.administer();
        request.check_kind(&vhost.topology())?;
        let binding = request.binding();
        let mut next = vhost.topology().routes.clone();
        match next.bind(binding.clone()) {
            Ok(Bound::Existed) => return Ok(()),
            Ok(Bound::New) => {}
            Err(BindError::NoSource(name) | BindError::NoDestination(name)) => {
                return Err(not_found(Resource::exchange(name.as_bytes(), &vhost.name)));
            }
            Err(BindError::DefaultExchange) => return Err(default_exchange()),
            Err(other) => return Err(precondition_failed(other)),
        }
        if let Endpoint::Queue(spec) = &request.destination
            && vhost.topology().queue(&spec.name) != Some(spec.id)
        {
            return Err(not_found(spec));
        }
        if request.is_kept(&vhost.topology()) {
            let key = binding_key(&vhost.name, &binding);
            let entry = BindingEntry {
                vhost: vhost.name.as_ref().to_owned(),
                binding,
            };
            self.store.catalog().put(&key, &entry).map_err(storage_failed)?;
        }
        let Ok(()) = vhost.change(|routes| {
            *routes = next;
            Ok::<_, std::convert::Infallible>(())
        });
        Ok(())
    }

    /// Removes a binding; a missing one is no error.
    pub(crate) fn unbind(&self, vhost: &Vhost, request: &BindingRequest<'_>) -> Answer<()> {
        let _administration = self.administer();
        let mut gone = Gone::default();
        let Ok(()) = vhost.change(|routes| {
            let removed = routes.unbind(&request.binding());
            gone.follow(routes, removed);
            Ok::<_, std::convert::Infallible>(())
        });
        let mut changes = Changes::default();
        self.forget(vhost, &gone, &mut changes)?;
        self.commit_definitions(changes)
    }
}
