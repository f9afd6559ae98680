//! `exchange.declare` and `exchange.delete`.

use std::sync::Arc;

use logpond_routing::{ExchangeKind, ExchangeSpec, Name, Routes};
use logpond_store::catalog::Changes;
use logpond_store::disk::Disk;

use crate::broker::Broker;
use crate::command::ExchangeDeclare;
use crate::delay::{DelayEntry, DelayQueue};
use crate::entries::{ExchangeEntry, delay_key, exchange_key};
use crate::equivalence::{same_argument, same_field};
use crate::errors::{AmqpError, Answer, access_refused, not_found, precondition_failed, storage_failed};
use crate::resource::{Resource, without_line_breaks};
use crate::topology::{Gone, Vhost};

/// The one argument that exchanges have.
pub(crate) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

impl<D: Disk> Broker<D> {
    /// Declares an exchange, or checks that the existing one is the same.
    pub(crate) fn declare_exchange(&self, vhost: &Vhost, request: &ExchangeDeclare<'_>) -> Answer<()> {
        let name = without_line_breaks(request.name);
        if name.is_empty() {
            return Err(default_exchange());
        }
        let resource = Resource::exchange(name.as_bytes(), &vhost.name);
        if request.passive {
            let topology = vhost.topology();
            return topology
                .exchange(name.as_bytes())
                .map(|_| ())
                .ok_or_else(|| not_found(resource));
        }
        let spec = spec(request, &resource)?;
        let _administration = self.administer();
        if let Some(existing) = vhost.topology().exchange(name.as_bytes()) {
            return same(&resource, &spec, existing.spec());
        }
        if name.starts_with("amq.") {
            return Err(access_refused(format_args!(
                "exchange name '{name}' contains reserved prefix 'amq.*'"
            )));
        }
        let delay = (spec.kind == ExchangeKind::Delayed).then(|| DelayQueue {
            id: self.store.next_queue_id(),
            vhost: Arc::clone(&vhost.name),
            exchange: name.as_bytes().into(),
            durable: spec.durable,
        });
        if spec.durable {
            let entry = ExchangeEntry {
                vhost: vhost.name.as_ref().to_owned(),
                name: name.as_ref().to_owned(),
                spec: spec.clone(),
            };
            let mut changes = Changes::default();
            changes
                .put(&exchange_key(&vhost.name, name.as_bytes()), &entry)
                .map_err(storage_failed)?;
            if let Some(delay) = &delay {
                let entry = DelayEntry {
                    vhost: entry.vhost,
                    exchange: entry.name,
                    queue: delay.id.get(),
                };
                let key = delay_key(&vhost.name, name.as_bytes());
                changes.put(&key, &entry).map_err(storage_failed)?;
            }
            self.commit_definitions(changes)?;
        }
        // The catalog has what was declared; what a policy adds is found again at each start.
        let policy = vhost.policies().for_exchange(name.as_bytes());
        let alternate = policy.text(&spec.arguments, ALTERNATE_EXCHANGE, ALTERNATE_EXCHANGE);
        let alternate = alternate.map(Name::from);
        let spec = ExchangeSpec { alternate, ..spec };
        let declare = |routes: &mut Routes| {
            let declared = routes.declare_exchange(Name::from(name.as_ref()), spec);
            declared.map_err(storage_failed)
        };
        match delay {
            Some(delay) => self.create_delaying(vhost, delay, declare),
            None => vhost.change(declare),
        }
    }

    /// Deletes an exchange; a missing one is no error.
    pub(crate) fn delete_exchange(&self, vhost: &Vhost, name: &str, if_unused: bool) -> Answer<()> {
        let name = without_line_breaks(name);
        if name.is_empty() {
            return Err(default_exchange());
        }
        let resource = Resource::exchange(name.as_bytes(), &vhost.name);
        if name.starts_with("amq.") {
            return Err(access_refused(format_args!(
                "deletion of system {resource} not allowed"
            )));
        }
        let _administration = self.administer();
        let topology = vhost.topology();
        if topology.exchange(name.as_bytes()).is_none() {
            return Ok(());
        }
        if if_unused && topology.routes.bindings_from(name.as_bytes()).next().is_some() {
            return Err(precondition_failed(format_args!("{resource} in use")));
        }
        let mut gone = Gone::default();
        let Ok(()) = vhost.change(|routes| {
            gone.delete_exchange(routes, Name::from(name.as_ref()));
            Ok::<_, std::convert::Infallible>(())
        });
        let mut changes = Changes::default();
        self.forget(vhost, &gone, &mut changes)?;
        self.commit_definitions(changes)
    }
}

/// What nobody may do with the default exchange.
pub(super) fn default_exchange() -> AmqpError {
    access_refused("operation not permitted on the default exchange")
}

fn spec(request: &ExchangeDeclare<'_>, resource: &Resource<'_>) -> Answer<ExchangeSpec> {
    let kind = ExchangeKind::parse(request.kind.as_bytes())
        .ok_or_else(|| precondition_failed(format_args!("unknown exchange type '{}'", request.kind)))?;
    let alternate = match request.arguments.get(ALTERNATE_EXCHANGE) {
        None => None,
        Some(value) => Some(value.as_str_bytes().map(Name::from).ok_or_else(|| {
            let kind = value.type_name();
            precondition_failed(format_args!(
                "invalid type '{kind}' for arg '{ALTERNATE_EXCHANGE}' in {resource}"
            ))
        })?),
    };
    let spec = ExchangeSpec {
        kind,
        durable: request.durable,
        auto_delete: request.auto_delete,
        internal: request.internal,
        arguments: request.arguments.clone(),
        alternate,
    };
    spec.check().map_err(precondition_failed)?;
    Ok(spec)
}

fn same(resource: &Resource<'_>, received: &ExchangeSpec, current: &ExchangeSpec) -> Answer<()> {
    same_field("type", resource, &received.kind.as_str(), &current.kind.as_str())?;
    same_field("durable", resource, &received.durable, &current.durable)?;
    same_field(
        "auto_delete",
        resource,
        &received.auto_delete,
        &current.auto_delete,
    )?;
    same_field("internal", resource, &received.internal, &current.internal)?;
    same_argument(
        ALTERNATE_EXCHANGE,
        resource,
        &received.arguments,
        &current.arguments,
    )
}
