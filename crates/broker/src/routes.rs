//! What a session remembers of routing: which queues an exchange and key lead to.
//!
//! Invariants:
//! - A remembered route is used only with the topology and permissions it was found with.
//! - Routes that depend on more of a message than its keys are found anew each time.
//! - At most `ROUTES_MAX` routes are remembered.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use logpond_routing::{Arguments, MessageProperty, MessageSource, NoExchange, QueueRef, Routed, Scratch};
use logpond_store::QueueId;

use crate::delay::delay_ms;
use crate::envelope;
use crate::limits::ROUTES_MAX;
use crate::properties::{self, Properties};
use crate::queue::Queue;
use crate::queue_policy::QueuePolicy;
use crate::table;
use crate::topology::{Topology, queue_id};

/// The place of a route that is not remembered.
const PASSING: usize = usize::MAX;

/// Where messages with one address go.
#[derive(Debug, Default)]
pub(crate) struct Route {
    exchange: Box<[u8]>,
    key: Box<[u8]>,
    /// Exchange and key as they are stored, if the route is remembered.
    pub address: Option<Box<[u8]>>,
    pub queues: Vec<QueueId>,
    /// Where they wait, of exchanges that put the message off.
    pub delays: Vec<QueueId>,
    /// Whether one of the queues survives a restart.
    pub durable: bool,
    /// Whether one of the queues may refuse messages.
    pub may_refuse: bool,
}

/// The routes that a session found lately.
pub(crate) struct RouteCache {
    /// Versions of topology and permissions.
    versions: (u64, u64),
    routes: Vec<Route>,
    by_address: HashTable<usize>,
    hasher: FixedState,
    last: usize,
    /// A route that is not to be remembered.
    passing: Route,
    scratch: Scratch,
    found: Vec<QueueRef>,
    /// How many random numbers were drawn; begins at another place in each session.
    drawn: Cell<u64>,
}

impl Default for RouteCache {
    fn default() -> Self {
        Self::new(0)
    }
}

impl RouteCache {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            versions: (0, 0),
            routes: Vec::new(),
            by_address: HashTable::new(),
            hasher: FixedState::with_seed(seed),
            last: 0,
            passing: Route::default(),
            scratch: Scratch::default(),
            found: Vec::new(),
            drawn: Cell::new(seed << 32),
        }
    }

    /// Forgets everything if it was found with other versions.
    pub(crate) fn refresh(&mut self, versions: (u64, u64)) {
        if self.versions != versions {
            self.versions = versions;
            self.forget();
        }
    }

    /// The remembered route, if there is one.
    pub(crate) fn recall(&mut self, exchange: &[u8], key: &[u8]) -> Option<usize> {
        let is = |route: &Route| is_same(&route.key, key) && is_same(&route.exchange, exchange);
        if self.routes.get(self.last).is_some_and(is) {
            return Some(self.last);
        }
        let hash = self.hash(exchange, key);
        let at = *self.by_address.find(hash, |&at| is(&self.routes[at]))?;
        self.last = at;
        Some(at)
    }

    /// Finds the route of a message with this key and `further` ones, and remembers it if it holds for all messages with this
    /// address.
    pub(crate) fn find(
        &mut self,
        topology: &Topology,
        exchange: &[u8],
        key: &[u8],
        further: &[&[u8]],
        properties: &[u8],
        queues: &HashMap<QueueId, Queue, FixedState>,
    ) -> Result<usize, NoExchange> {
        if self.look_up(topology, exchange, key, further, properties, queues)? {
            Ok(self.remember(exchange, key))
        } else {
            Ok(PASSING)
        }
    }

    /// Finds the route of a message with this key and `further` ones, and remembers nothing. Whether it holds for all messages
    /// with this address.
    pub(crate) fn look_up(
        &mut self,
        topology: &Topology,
        exchange: &[u8],
        key: &[u8],
        further: &[&[u8]],
        properties: &[u8],
        queues: &HashMap<QueueId, Queue, FixedState>,
    ) -> Result<bool, NoExchange> {
        let message = WatchedMessage {
            properties,
            read: Cell::new(false),
            drawn: &self.drawn,
        };
        let all;
        let keys = if further.is_empty() {
            std::slice::from_ref(&key)
        } else {
            all = [&[key], further].concat();
            &all
        };
        let routed = topology
            .routes
            .route(exchange, keys, &message, &mut self.scratch, &mut self.found)?;
        let is_for_all = !message.read.get() && further.is_empty();
        self.passing.queues.clear();
        if routed == Routed::ToQueues {
            self.passing
                .queues
                .extend(self.found.iter().map(|&queue| queue_id(queue)));
        }
        let waiting = self.scratch.waiting().iter();
        self.passing.delays.clear();
        self.passing.delays.extend(waiting.map(|&queue| queue_id(queue)));
        let found = || self.passing.queues.iter().filter_map(|id| queues.get(id));
        let durable = found().any(|queue| queue.spec.is_kept());
        let refuses = |queue: &Queue| queue.policy.as_ref().is_some_and(QueuePolicy::refuses);
        let may_refuse = found().any(refuses);
        (self.passing.durable, self.passing.may_refuse) = (durable, may_refuse);
        Ok(is_for_all)
    }

    /// What `look_up` found last.
    pub(crate) fn passing(&self) -> &Route {
        &self.passing
    }

    /// The route that `recall` or `find` gave last.
    pub(crate) fn route(&self, at: usize) -> &Route {
        if at == PASSING {
            &self.passing
        } else {
            &self.routes[at]
        }
    }

    fn remember(&mut self, exchange: &[u8], key: &[u8]) -> usize {
        if self.routes.len() >= ROUTES_MAX {
            self.forget();
        }
        let at = self.routes.len();
        let found = std::mem::take(&mut self.passing);
        self.routes.push(Route {
            exchange: exchange.into(),
            key: key.into(),
            address: envelope::address(exchange, key),
            ..found
        });
        let hash = self.hash(exchange, key);
        let (routes, hasher) = (&self.routes, &self.hasher);
        self.by_address.insert_unique(hash, at, |&at| {
            address_hash(hasher, &routes[at].exchange, &routes[at].key)
        });
        self.last = at;
        at
    }

    fn forget(&mut self) {
        self.routes.clear();
        self.by_address.clear();
        self.last = 0;
    }

    fn hash(&self, exchange: &[u8], key: &[u8]) -> u64 {
        address_hash(&self.hasher, exchange, key)
    }
}

/// Whether two names are the same. They are short: a call of the library's `memcmp` takes longer than to compare them word by word.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let (mut ones, mut others) = (one.chunks_exact(8), other.chunks_exact(8));
    let words = |bytes: &[u8]| bytes.try_into().map(u64::from_ne_bytes).ok();
    while let (Some(one), Some(other)) = (ones.next(), others.next()) {
        if words(one) != words(other) {
            return false;
        }
    }
    let (ones, others) = (ones.remainder(), others.remainder());
    ones.iter().zip(others).all(|(one, other)| one == other)
}

fn address_hash(hasher: &FixedState, exchange: &[u8], key: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(exchange);
    state.write_usize(exchange.len());
    state.write(key);
    state.finish()
}

/// A message that tells whether routing looked at more than its keys.
struct WatchedMessage<'a> {
    /// Property flags and list.
    properties: &'a [u8],
    read: Cell<bool>,
    drawn: &'a Cell<u64>,
}

impl MessageSource for WatchedMessage<'_> {
    fn headers(&self) -> Arguments {
        self.read.set(true);
        let properties = Properties::parse(self.properties).unwrap_or_default();
        properties.headers.map(table::arguments).unwrap_or_default()
    }

    fn property(&self, property: MessageProperty) -> Option<Vec<u8>> {
        self.read.set(true);
        properties::hashed(self.properties, property)
    }

    fn is_delayed(&self) -> bool {
        self.read.set(true);
        let properties = Properties::parse(self.properties).unwrap_or_default();
        delay_ms(&properties).is_some()
    }

    fn draw(&self) -> u64 {
        self.read.set(true);
        let drawn = self.drawn.get().wrapping_add(1);
        self.drawn.set(drawn);
        // A counter, hashed: as even as randomness, and the same in each run of a simulation.
        let mut state = FixedState::with_seed(0).build_hasher();
        state.write_u64(drawn);
        state.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn names_differ_when_any_of_their_bytes_does() {
        let name: Vec<u8> = (0..40).collect();
        for len in 0..name.len() {
            let name = &name[..len];
            let mut other = name.to_vec();
            assert!(is_same(name, &other));
            for at in 0..len {
                other[at] ^= 0x80;
                assert!(!is_same(name, &other));
                other[at] ^= 0x80;
                assert!(!is_same(name, &name[..at]));
            }
        }
    }
}
