//! An exchange: what was declared, and (privately) how it matches.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::matcher::Matcher;
use crate::share_map::{Seed, ShareMap};
use crate::spread::HashOn;
use crate::{Arguments, BindError, Binding, ExchangeArgumentError, Name, QueueRef, delay};

/// How an exchange chooses. Further kinds are added here together with their matcher; a kind that is not
/// here cannot be declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExchangeKind {
    /// The routing key equals the binding key.
    Direct,
    /// Always.
    Fanout,
    /// The binding key is a pattern of words.
    Topic,
    /// The binding's arguments are matched with the message's headers.
    Headers,
    /// One destination, by a hash of key, header or property; binding keys are weights.
    ConsistentHash,
    /// One destination, by a hash of the routing keys modulo their number.
    ModulusHash,
    /// One destination, at random.
    Random,
    /// The same, but of classic queues only, bound without a key: RabbitMQ's that are on the node of the client.
    LocalRandom,
    /// As the kind that its arguments name, when the time of a message has come.
    Delayed,
}

impl ExchangeKind {
    /// The kind of this name; `None` is for the caller to refuse.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"direct" => Self::Direct,
            b"fanout" => Self::Fanout,
            b"topic" => Self::Topic,
            b"headers" => Self::Headers,
            b"x-consistent-hash" => Self::ConsistentHash,
            b"x-modulus-hash" => Self::ModulusHash,
            b"x-random" => Self::Random,
            b"x-local-random" => Self::LocalRandom,
            b"x-delayed-message" => Self::Delayed,
            _ => return None,
        })
    }

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::ConsistentHash => "x-consistent-hash",
            Self::ModulusHash => "x-modulus-hash",
            Self::Random => "x-random",
            Self::LocalRandom => "x-local-random",
            Self::Delayed => "x-delayed-message",
        }
    }
}

/// What a client declares about an exchange, apart from its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeSpec {
    /// How it chooses.
    pub kind: ExchangeKind,
    /// Survives a restart.
    pub durable: bool,
    /// Is deleted when its last binding as a source goes.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// As declared.
    pub arguments: Arguments,
    /// Takes what this exchange routes nowhere. The caller reads it from `alternate-exchange` or a policy.
    pub alternate: Option<Name>,
}

impl ExchangeSpec {
    /// Checks the arguments that belong to the kind.
    ///
    /// # Errors
    /// When they contradict themselves.
    pub fn check(&self) -> Result<(), ExchangeArgumentError> {
        let kind = match self.kind {
            ExchangeKind::Delayed => delay::kind(&self.arguments)?,
            kind => kind,
        };
        match kind {
            ExchangeKind::ConsistentHash => Ok(HashOn::of(&self.arguments).map(drop)?),
            _ => Ok(()),
        }
    }

    /// How it chooses where a message goes. What a damaged definition does not say counts as direct.
    #[must_use]
    pub fn chooses(&self) -> ExchangeKind {
        match self.kind {
            ExchangeKind::Delayed => delay::kind(&self.arguments).unwrap_or(ExchangeKind::Direct),
            kind => kind,
        }
    }

    /// A durable exchange of this kind without anything special.
    #[must_use]
    pub const fn durable(kind: ExchangeKind) -> Self {
        Self {
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: Arguments::new(),
            alternate: None,
        }
    }
}

/// An exchange of a snapshot.
///
/// Invariant: `bindings` and `matcher` hold the same bindings.
#[derive(Clone, Debug)]
pub struct Exchange {
    name: Name,
    spec: Arc<ExchangeSpec>,
    bindings: ShareMap<Arc<Binding>, ()>,
    matcher: Matcher,
    /// Where messages wait that it puts off.
    waiting: Option<QueueRef>,
}

impl Exchange {
    pub(crate) fn new(name: Name, spec: ExchangeSpec, seed: Seed) -> Self {
        let matcher = Matcher::new(&spec, seed);
        Self {
            name,
            spec: Arc::new(spec),
            bindings: ShareMap::new(seed),
            matcher,
            waiting: None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// What was declared.
    #[must_use]
    pub fn spec(&self) -> &ExchangeSpec {
        &self.spec
    }

    /// Whether it is the default exchange, which has no bindings: its keys are queue names.
    #[must_use]
    #[inline]
    pub fn is_default(&self) -> bool {
        self.name.is_empty()
    }

    /// How many bindings lead away from it.
    #[must_use]
    pub const fn binding_count(&self) -> usize {
        self.bindings.len()
    }

    /// The bindings from it, in no order.
    pub fn bindings(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.bindings.keys()
    }

    pub(crate) fn has(&self, binding: &Binding) -> bool {
        self.bindings.contains(binding)
    }

    pub(crate) const fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// Where messages wait that it puts off.
    #[inline]
    pub(crate) const fn waiting(&self) -> Option<QueueRef> {
        self.waiting
    }

    pub(crate) const fn set_waiting(&mut self, queue: QueueRef) {
        self.waiting = Some(queue);
    }

    pub(crate) fn set_alternate(&mut self, alternate: Option<Name>) {
        Arc::make_mut(&mut self.spec).alternate = alternate;
    }

    /// Adds a binding that is not there yet.
    pub(crate) fn add(&mut self, binding: &Arc<Binding>, seed: Seed) -> Result<(), BindError> {
        debug_assert!(!self.has(binding), "the caller looks first");
        self.matcher.add(binding, seed)?;
        self.bindings.insert(Arc::clone(binding), ());
        Ok(())
    }

    /// Takes a binding away that is there.
    pub(crate) fn remove(&mut self, binding: &Binding) {
        self.bindings
            .remove(binding)
            .expect("only bindings that exist are removed");
        self.matcher.remove(binding);
    }

    /// Whether it is to be deleted, now that a binding went.
    pub(crate) fn is_unused(&self) -> bool {
        self.spec.auto_delete && self.bindings.is_empty()
    }
}
