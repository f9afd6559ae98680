//! Which queues of a document are streams, which this broker does not have.
//!
//! Invariant: a binding that leads to one of them has nowhere to lead, and is left out with it.

use std::collections::HashSet;

use logpond_routing::Value;

use super::content::{BindingDefinition, DestinationName, QueueDefinition};
use crate::resource::Resource;

/// The streams that were met.
#[derive(Default)]
pub(super) struct Streams {
    /// Virtual host and name.
    names: HashSet<(String, String)>,
}

impl Streams {
    /// Why a queue is left out; `None` for one that is no stream.
    pub(super) fn left_out(&mut self, queue: &QueueDefinition) -> Option<String> {
        let kind = queue.arguments.get("x-queue-type");
        if kind.and_then(Value::as_str_bytes) != Some(b"stream") {
            return None;
        }
        self.names.insert((queue.vhost.clone(), queue.name.clone()));
        let named = Resource::queue(&queue.name, &queue.vhost);
        Some(format!("{named} is a stream, not supported, left out"))
    }

    /// Why a binding is left out; `None` when it does not lead to a stream.
    pub(super) fn left_out_with(&self, binding: &BindingDefinition) -> Option<String> {
        let DestinationName::Queue(name) = &binding.destination else {
            return None;
        };
        if !self.names.contains(&(binding.vhost.clone(), name.clone())) {
            return None;
        }
        let source = Resource::exchange(binding.source.as_bytes(), &binding.vhost);
        let key = &binding.routing_key;
        Some(format!(
            "the binding from {source} with the key '{key}' leads to the stream '{name}', left out with it"
        ))
    }
}
