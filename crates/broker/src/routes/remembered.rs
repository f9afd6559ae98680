//! The routes that a session remembers, packed: to find one and to read it takes few cache lines, however many there are.
//!
//! Invariants:
//! - Addresses and queues of all routes lie one behind the other; nothing of them goes before all of them go.
//! - A place is good until the next route is added.
//!
//! Elsewhere: what is to be remembered, and for how long (`routes`).

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use logpond_store::QueueId;

use super::{Found, Route};
use crate::envelope;
use crate::limits::ROUTES_MAX;

/// Where a route stands among those that are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(usize);

/// See the module.
pub(super) struct RememberedRoutes {
    routes: HashTable<Packed>,
    hasher: FixedState,
    /// Exchanges and keys, as they are stored.
    addresses: Vec<u8>,
    /// Queues of each route, and behind them those where its messages wait.
    queues: Vec<QueueId>,
}

/// One route.
struct Packed {
    address: Stretch,
    queues: Stretch,
    delays: Stretch,
    durable: bool,
    is_limited: bool,
    may_refuse: bool,
}

impl RememberedRoutes {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self {
            routes: HashTable::new(),
            hasher,
            addresses: Vec::new(),
            queues: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.routes.len()
    }

    /// How many queues all routes lead to, each counted as often as a route leads to it.
    pub(super) fn queue_count(&self) -> usize {
        self.queues.len()
    }

    /// Where the route of messages with this address stands.
    #[inline]
    pub(super) fn find(&self, exchange: &[u8], key: &[u8]) -> Option<Place> {
        let is = |packed: &Packed| envelope::is_address(packed.address.of(&self.addresses), exchange, key);
        let hash = hash(&self.hasher, exchange, key);
        self.routes.find_bucket_index(hash, is).map(Place)
    }

    /// Whether it is the route of messages with this address that stands there.
    #[inline]
    pub(super) fn is_at(&self, place: Place, exchange: &[u8], key: &[u8]) -> bool {
        let packed = self.routes.get_bucket(place.0);
        packed.is_some_and(|packed| envelope::is_address(packed.address.of(&self.addresses), exchange, key))
    }

    /// The route that stands there.
    #[inline]
    pub(super) fn get(&self, place: Place) -> Option<Route<'_>> {
        let packed = self.routes.get_bucket(place.0)?;
        Some(Route {
            address: Some(packed.address.of(&self.addresses)),
            queues: packed.queues.of(&self.queues),
            delays: packed.delays.of(&self.queues),
            durable: packed.durable,
            is_limited: packed.is_limited,
            may_refuse: packed.may_refuse,
        })
    }

    /// Adds a route that is not among them; `None` if it cannot be packed.
    pub(super) fn add(&mut self, exchange: &[u8], key: &[u8], found: &Found) -> Option<Place> {
        let address = envelope::address(exchange, key)?;
        let packed = Packed {
            address: Stretch::append(&mut self.addresses, &address)?,
            queues: Stretch::append(&mut self.queues, &found.queues)?,
            delays: Stretch::append(&mut self.queues, &found.delays)?,
            durable: found.durable,
            is_limited: found.is_limited,
            may_refuse: found.may_refuse,
        };
        let (addresses, hasher) = (&self.addresses, &self.hasher);
        let hash_of = |packed: &Packed| {
            let parts = envelope::parts(packed.address.of(addresses));
            let (exchange, key) = parts.expect("it was packed as an address");
            hash(hasher, exchange, key)
        };
        let added = self
            .routes
            .insert_unique(hash(hasher, exchange, key), packed, hash_of);
        Some(Place(added.bucket_index()))
    }

    pub(super) fn clear(&mut self) {
        self.routes.clear();
        self.addresses.clear();
        self.queues.clear();
        // Routes to many queues take much, and need not come again.
        self.queues.shrink_to(ROUTES_MAX);
    }
}

#[inline]
fn hash(hasher: &FixedState, exchange: &[u8], key: &[u8]) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(exchange);
    state.write_usize(exchange.len());
    state.write(key);
    state.finish()
}

/// Part of a memory that many share.
#[derive(Clone, Copy)]
struct Stretch {
    start: u32,
    end: u32,
}

impl Stretch {
    /// Where `more` stands, at the end of the memory; `None` if the memory is full.
    fn append<T: Copy>(memory: &mut Vec<T>, more: &[T]) -> Option<Self> {
        let stretch = Self {
            start: u32::try_from(memory.len()).ok()?,
            end: u32::try_from(memory.len() + more.len()).ok()?,
        };
        memory.extend_from_slice(more);
        Some(stretch)
    }

    #[inline]
    fn of<T>(self, memory: &[T]) -> &[T] {
        let [start, end] = [self.start, self.end]
            .map(|at| usize::try_from(at).expect("memory is addressed with at least 32 bits"));
        &memory[start..end]
    }
}

#[cfg(test)]
mod tests;
