//! Which exchanges and queues of a document will not be here: streams, which this broker does not have, and those whose
//! names only a server gives.
//!
//! Invariant: a binding that leads to one of them, or from it, has nowhere to lead, and is left out with it.

use std::collections::HashSet;

use logpond_routing::{Name, Value, predeclared};

use super::content::{BindingDefinition, DestinationName, QueueDefinition};
use crate::resource::Resource;

/// The streams that were met. Names that a server gave are known by themselves.
#[derive(Default)]
pub(super) struct Absent {
    /// Virtual host and name.
    streams: HashSet<(String, String)>,
}

impl Absent {
    /// Why an exchange is left out, if it is. Those that every virtual host has are not asked about.
    pub(super) fn exchange(name: &str, vhost: &str) -> Option<String> {
        is_reserved(name).then(|| only_given(&Resource::exchange(name.as_bytes(), vhost)))
    }

    /// Why a queue is left out, if it is.
    pub(super) fn queue(&mut self, queue: &QueueDefinition) -> Option<String> {
        let named = Resource::queue(&queue.name, &queue.vhost);
        if is_reserved(&queue.name) {
            return Some(only_given(&named));
        }
        let kind = queue.arguments.get("x-queue-type");
        if kind.and_then(Value::as_str_bytes) != Some(b"stream") {
            return None;
        }
        self.streams.insert((queue.vhost.clone(), queue.name.clone()));
        Some(format!("{named} is a stream, not supported, left out"))
    }

    /// Why a binding is left out, if it is.
    pub(super) fn binding(&self, binding: &BindingDefinition) -> Option<String> {
        let end = self.missing_end(binding)?;
        let source = Resource::exchange(binding.source.as_bytes(), &binding.vhost);
        let key = &binding.routing_key;
        Some(format!(
            "the binding from {source} with the key '{key}' {end}, left out with it"
        ))
    }

    fn missing_end(&self, binding: &BindingDefinition) -> Option<String> {
        if is_missing_exchange(&binding.source) {
            return Some("leads from there".to_owned());
        }
        match &binding.destination {
            DestinationName::Exchange(name) => {
                is_missing_exchange(name).then(|| format!("leads to the exchange '{name}'"))
            }
            DestinationName::Queue(name) if is_reserved(name) => Some(format!("leads to the queue '{name}'")),
            DestinationName::Queue(name) => {
                let is_stream = self.streams.contains(&(binding.vhost.clone(), name.clone()));
                is_stream.then(|| format!("leads to the stream '{name}'"))
            }
        }
    }
}

/// Whether this exchange stands in every virtual host.
pub(super) fn is_predeclared(name: &str) -> bool {
    predeclared().any(|(known, _)| known == Name::from(name))
}

fn is_missing_exchange(name: &str) -> bool {
    is_reserved(name) && !is_predeclared(name)
}

fn is_reserved(name: &str) -> bool {
    name.starts_with("amq.")
}

fn only_given(named: &Resource<'_>) -> String {
    format!("{named} has a name that only a server gives, left out")
}
