//! The topology of one virtual host as a snapshot: exchanges, bindings, and the queues by name.
//!
//! Invariants:
//! - A binding stands with its source exchange and, under its destination, in `inbound`, or in neither.
//! - No list in `inbound` is empty. Source and destination exchange of each binding exist; that its queue
//!   does is the caller's word.
//! - The default exchange always exists and has no bindings; its routes are `queues`.
//! - A clone shares all structure; no method changes what another clone sees.
//!
//! Elsewhere: how a message walks through it (`router`), how one exchange chooses (`matcher`).

use std::sync::Arc;

use crate::predeclared::predeclared;
use crate::share_map::{Seed, ShareMap};
use crate::{BindError, Binding, Bound, Destination, Exchange, ExchangeSpec, Name, QueueRef, Removed};

/// An exchange of this name exists. Whether it is equivalent is for the caller to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exchange exists")]
pub struct ExchangeExists;

/// Exchanges, bindings and the default exchange's queues of one virtual host: a value. A clone shares
/// everything with its original, and changing one never changes the other.
#[derive(Clone, Debug)]
pub struct Routes {
    exchanges: ShareMap<Name, Arc<Exchange>>,
    queues: ShareMap<Name, QueueRef>,
    inbound: ShareMap<Destination, ShareMap<Arc<Binding>, ()>>,
    seed: Seed,
}

impl Routes {
    /// The [predeclared](crate::predeclared()) exchanges and nothing else.
    /// `seed` keeps clients from constructing colliding names; take it from the system's randomness.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let seed = Seed(seed);
        let mut routes = Self {
            exchanges: ShareMap::new(seed),
            queues: ShareMap::new(seed),
            inbound: ShareMap::new(seed),
            seed,
        };
        for (name, spec) in predeclared() {
            routes
                .declare_exchange(name, spec)
                .expect("predeclared names differ");
        }
        routes
    }

    /// Adds an exchange.
    ///
    /// # Errors
    /// If one of this name exists; nothing changes.
    pub fn declare_exchange(&mut self, name: Name, spec: ExchangeSpec) -> Result<(), ExchangeExists> {
        if self.exchanges.contains(&name) {
            return Err(ExchangeExists);
        }
        let exchange = Exchange::new(name.clone(), spec, self.seed);
        self.exchanges.insert(name, Arc::new(exchange));
        Ok(())
    }

    /// Removes an exchange and all bindings from and to it. `None` if there is none of this name, or it is
    /// the default exchange. That `amq.*` may not be deleted is the caller's rule.
    pub fn delete_exchange(&mut self, name: &[u8]) -> Option<Removed> {
        if name.is_empty() {
            return None;
        }
        let exchange = self.exchanges.remove(name)?;
        let mut removed = Removed::default();
        for binding in exchange.bindings() {
            self.forget_inbound(binding);
            removed.bindings.push(Arc::clone(binding));
        }
        self.remove_all_to(&Destination::Exchange(exchange.name().clone()), &mut removed);
        Some(removed)
    }

    /// Changes the alternate exchange (a policy may); false if there is no exchange of this name.
    pub fn set_alternate(&mut self, name: &[u8], alternate: Option<Name>) -> bool {
        let found = self.exchanges.get_mut(name);
        found
            .map(|exchange| Arc::make_mut(exchange).set_alternate(alternate))
            .is_some()
    }

    /// Says where messages wait that an exchange puts off; until then it puts none off. False if there is no exchange of this
    /// name.
    pub fn set_waiting(&mut self, name: &[u8], queue: QueueRef) -> bool {
        let found = self.exchanges.get_mut(name);
        found
            .map(|exchange| Arc::make_mut(exchange).set_waiting(queue))
            .is_some()
    }

    /// Adds a binding.
    ///
    /// # Errors
    /// See [`BindError`]; nothing changes then.
    pub fn bind(&mut self, binding: Binding) -> Result<Bound, BindError> {
        self.can_bind(&binding)?;
        if self.is_bound(&binding) {
            return Ok(Bound::Existed);
        }
        let binding = Arc::new(binding);
        let source = self.exchanges.get_mut(&binding.source);
        let source = source.ok_or_else(|| BindError::NoSource(binding.source.clone()))?;
        Arc::make_mut(source).add(&binding, self.seed)?;
        let seed = self.seed;
        let inbound = self
            .inbound
            .get_or_insert_with(&binding.destination, || ShareMap::new(seed));
        inbound.insert(binding, ());
        Ok(Bound::New)
    }

    /// Whether [`bind`](Self::bind) would succeed: for a caller that must write it down first.
    ///
    /// # Errors
    /// What `bind` would refuse with.
    pub fn can_bind(&self, binding: &Binding) -> Result<(), BindError> {
        if binding.source.is_empty() || binding.destination == Destination::Exchange(Name::default()) {
            return Err(BindError::DefaultExchange);
        }
        let source = self.exchanges.get(&binding.source);
        let source = source.ok_or_else(|| BindError::NoSource(binding.source.clone()))?;
        match &binding.destination {
            Destination::Exchange(name) if !self.exchanges.contains(name) => {
                Err(BindError::NoDestination(name.clone()))
            }
            _ => source.matcher().accepts(binding),
        }
    }

    /// Removes a binding. One that does not exist is no error: nothing is removed then.
    pub fn unbind(&mut self, binding: &Binding) -> Removed {
        let mut removed = Removed::default();
        let found = self
            .inbound
            .get(&binding.destination)
            .and_then(|bindings| bindings.get_key(binding));
        if let Some(binding) = found.cloned() {
            self.forget_inbound(&binding);
            self.remove_from_source(binding, &mut removed);
        }
        removed
    }

    /// Makes `queue` reachable through the default exchange under `name`.
    /// A queue that had this name is replaced and given back (its bindings stay: remove it first).
    pub fn add_queue(&mut self, name: Name, queue: QueueRef) -> Option<QueueRef> {
        self.queues.insert(name, queue)
    }

    /// Removes the queue from the default exchange and all bindings to it.
    pub fn remove_queue(&mut self, name: &[u8], queue: QueueRef) -> Removed {
        // Another queue may have taken the name meanwhile.
        if self.queue(name) == Some(queue) {
            self.queues.remove(name);
        }
        let mut removed = Removed::default();
        self.remove_all_to(&Destination::Queue(queue), &mut removed);
        removed
    }

    /// The exchange of this name.
    #[must_use]
    #[inline]
    pub fn exchange(&self, name: &[u8]) -> Option<&Exchange> {
        self.exchanges.get(name).map(|exchange| &**exchange)
    }

    /// The queue of this name.
    #[must_use]
    #[inline]
    pub fn queue(&self, name: &[u8]) -> Option<QueueRef> {
        self.queues.get(name).copied()
    }

    /// All exchanges, in no order.
    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().map(|(_, exchange)| &**exchange)
    }

    /// All queues with their names (the default exchange's bindings), in no order.
    pub fn queues(&self) -> impl Iterator<Item = (&Name, QueueRef)> {
        self.queues.iter().map(|(name, queue)| (name, *queue))
    }

    /// How many queues there are.
    #[must_use]
    pub const fn queue_count(&self) -> usize {
        self.queues.len()
    }

    /// All bindings that were made, in no order.
    pub fn bindings(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.exchanges().flat_map(Exchange::bindings)
    }

    /// The bindings from this exchange, in no order.
    pub fn bindings_from(&self, source: &[u8]) -> impl Iterator<Item = &Arc<Binding>> {
        self.exchange(source).into_iter().flat_map(Exchange::bindings)
    }

    /// The bindings to this destination, in no order.
    pub fn bindings_to(&self, destination: &Destination) -> impl Iterator<Item = &Arc<Binding>> {
        self.inbound.get(destination).into_iter().flat_map(ShareMap::keys)
    }

    /// Whether this binding exists.
    #[must_use]
    pub fn is_bound(&self, binding: &Binding) -> bool {
        self.exchange(binding.source.as_bytes())
            .is_some_and(|source| source.has(binding))
    }

    fn remove_all_to(&mut self, destination: &Destination, removed: &mut Removed) {
        let Some(bindings) = self.inbound.remove(destination) else {
            return;
        };
        for binding in bindings.keys() {
            self.remove_from_source(Arc::clone(binding), removed);
        }
    }

    /// The other half of a removal, after the binding left `inbound`.
    fn remove_from_source(&mut self, binding: Arc<Binding>, removed: &mut Removed) {
        let source = self
            .exchanges
            .get_mut(&binding.source)
            .expect("the source of a binding exists");
        let source = Arc::make_mut(source);
        source.remove(&binding);
        if source.is_unused() {
            removed.unused.push(source.name().clone());
        }
        removed.bindings.push(binding);
    }

    fn forget_inbound(&mut self, binding: &Binding) {
        let bindings = self
            .inbound
            .get_mut(&binding.destination)
            .expect("each binding is inbound somewhere");
        bindings
            .remove(binding)
            .expect("each binding is inbound at its destination");
        if bindings.is_empty() {
            self.inbound.remove(&binding.destination);
        }
    }
}

#[cfg(test)]
mod tests;
