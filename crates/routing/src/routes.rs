//! The topology of one virtual host as a snapshot.
#![allow(unused_variables, clippy::todo, clippy::needless_pass_by_value)]

use std::sync::Arc;

use crate::{
    Arguments, BindError, Binding, Bound, Destination, Exchange, ExchangeSpec, Name, QueueRef, Removed,
};

/// The headers of a message, parsed only if a headers exchange is reached, and then once.
pub trait HeaderSource {
    /// The headers; what cannot be parsed is left out.
    fn headers(&self) -> Arguments;
}

/// Of a message without headers.
#[derive(Clone, Copy, Debug)]
pub struct NoHeaders;

impl HeaderSource for NoHeaders {
    fn headers(&self) -> Arguments {
        Arguments::new()
    }
}

impl<F: Fn() -> Arguments> HeaderSource for F {
    fn headers(&self) -> Arguments {
        self()
    }
}

/// Whether a message reached a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// At least one queue was found.
    ToQueues,
    /// None was, not by alternate exchanges either.
    Nowhere,
}

/// The exchange that was named does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such exchange")]
pub struct NoExchange;

/// An exchange of this name exists. Whether it is equivalent is for the caller to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exchange exists")]
pub struct DeclareError;

/// Memory that [`Routes::route`] uses again from call to call. Keep one per session.
#[derive(Debug, Default)]
pub struct Scratch {}

/// Exchanges, bindings and the default exchange's queues of one virtual host: a value. A clone shares
/// everything with its original, and changing one never changes the other.
#[derive(Clone, Debug)]
pub struct Routes {}

impl Routes {
    /// The predeclared exchanges and nothing else: the default exchange (""), `amq.direct`, `amq.fanout`,
    /// `amq.topic`, `amq.headers`, `amq.match`, `amq.rabbitmq.trace` (internal).
    /// `seed` keeps clients from constructing colliding names; take it from the system's randomness.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        todo!()
    }

    /// Adds an exchange.
    ///
    /// # Errors
    /// If one of this name exists; nothing changes.
    pub fn declare_exchange(&mut self, name: Name, spec: ExchangeSpec) -> Result<(), DeclareError> {
        todo!()
    }

    /// Removes an exchange and all bindings from and to it. `None` if there is none of this name, or it is
    /// the default exchange. That `amq.*` may not be deleted is the caller's rule.
    pub fn delete_exchange(&mut self, name: &[u8]) -> Option<Removed> {
        todo!()
    }

    /// Changes the alternate exchange (a policy may); false if there is no exchange of this name.
    pub fn set_alternate(&mut self, name: &[u8], alternate: Option<Name>) -> bool {
        todo!()
    }

    /// Adds a binding.
    ///
    /// # Errors
    /// See [`BindError`]; nothing changes then.
    pub fn bind(&mut self, binding: Binding) -> Result<Bound, BindError> {
        todo!()
    }

    /// Removes a binding. One that does not exist is no error: nothing is removed then.
    pub fn unbind(&mut self, binding: &Binding) -> Removed {
        todo!()
    }

    /// Makes `queue` reachable through the default exchange under `name`.
    /// A queue that had this name is replaced and given back (its bindings stay: remove it first).
    pub fn add_queue(&mut self, name: Name, queue: QueueRef) -> Option<QueueRef> {
        todo!()
    }

    /// Removes the queue from the default exchange and all bindings to it.
    pub fn remove_queue(&mut self, name: &[u8], queue: QueueRef) -> Removed {
        todo!()
    }

    /// The exchange of this name.
    #[must_use]
    pub fn exchange(&self, name: &[u8]) -> Option<&Exchange> {
        todo!()
    }

    /// The queue of this name.
    #[must_use]
    pub fn queue(&self, name: &[u8]) -> Option<QueueRef> {
        todo!()
    }

    /// All exchanges, in no order.
    pub fn exchanges(&self) -> Box<dyn Iterator<Item = &Exchange> + '_> {
        todo!()
    }

    /// All queues with their names (the default exchange's bindings), in no order.
    pub fn queues(&self) -> Box<dyn Iterator<Item = (&Name, QueueRef)> + '_> {
        todo!()
    }

    /// All bindings that were made, in no order.
    pub fn bindings(&self) -> Box<dyn Iterator<Item = &Arc<Binding>> + '_> {
        todo!()
    }

    /// The bindings from this exchange, in no order.
    pub fn bindings_from(&self, source: &[u8]) -> Box<dyn Iterator<Item = &Arc<Binding>> + '_> {
        todo!()
    }

    /// The bindings to this destination, in no order.
    pub fn bindings_to(&self, destination: &Destination) -> Box<dyn Iterator<Item = &Arc<Binding>> + '_> {
        todo!()
    }

    /// Whether this binding exists.
    #[must_use]
    pub fn is_bound(&self, binding: &Binding) -> bool {
        todo!()
    }

    /// Finds the queues of a message that is published to `exchange` with these routing keys (usually
    /// one; CC and BCC add to it). Replaces the content of `out`; each queue stands in it once.
    /// Alternate exchanges are followed where an exchange matched nothing, bindings between exchanges are
    /// followed with cycles cut.
    ///
    /// # Errors
    /// If `exchange` does not exist.
    pub fn route(
        &self,
        exchange: &[u8],
        keys: &[&[u8]],
        headers: &dyn HeaderSource,
        scratch: &mut Scratch,
        out: &mut Vec<QueueRef>,
    ) -> Result<Routed, NoExchange> {
        let exchange = self.exchange(exchange).ok_or(NoExchange)?;
        Ok(self.route_from(exchange, keys, headers, scratch, out))
    }

    /// The same from an exchange that was looked up before (to see whether it is internal, or once for
    /// many messages). `exchange` must come from this snapshot.
    pub fn route_from(
        &self,
        exchange: &Exchange,
        keys: &[&[u8]],
        headers: &dyn HeaderSource,
        scratch: &mut Scratch,
        out: &mut Vec<QueueRef>,
    ) -> Routed {
        todo!()
    }
}
