//! What a session remembers of routing: which queues an exchange and key lead to.
//!
//! Invariants:
//! - A remembered route is used only with the topology and permissions it was found with.
//! - Routes that depend on more of a message than its keys are found anew each time.
//! - At most `ROUTES_MAX` routes are remembered, which lead to at most `ROUTE_QUEUES_MAX` queues.

mod remembered;

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use logpond_routing::{Arguments, MessageProperty, MessageSource, NoExchange, QueueRef, Routed, Scratch};
use logpond_store::QueueId;

use crate::delay::delay_ms;
use crate::limits::{ROUTE_QUEUES_MAX, ROUTES_MAX};
use crate::properties::{self, Properties};
use crate::queue::Queue;
use crate::queue_policy::QueuePolicy;
use crate::table;
use crate::topology::{Topology, queue_id};
use remembered::{Place, RememberedRoutes};

/// Where messages with one address go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route<'a> {
    /// Exchange and key as they are stored, if the route is remembered.
    pub address: Option<&'a [u8]>,
    pub queues: &'a [QueueId],
    /// Where they wait, of exchanges that put the message off.
    pub delays: &'a [QueueId],
    /// Whether one of the queues survives a restart.
    pub durable: bool,
    /// Whether one of the queues has limits.
    pub is_limited: bool,
    /// Whether one of the queues may refuse messages.
    pub may_refuse: bool,
}

/// What was found for one message: see [`Route`].
#[derive(Debug, Default)]
struct Found {
    queues: Vec<QueueId>,
    delays: Vec<QueueId>,
    durable: bool,
    is_limited: bool,
    may_refuse: bool,
}

/// The route that a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// One that is remembered.
    Remembered(Place),
    /// The one that was found last, which is not.
    Passing,
}

/// The routes that a session found lately.
pub(crate) struct RouteCache {
    /// Versions of topology and permissions.
    versions: (u64, u64),
    routes: RememberedRoutes,
    last: Option<Place>,
    /// What was found last.
    passing: Found,
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
            routes: RememberedRoutes::new(FixedState::with_seed(seed)),
            last: None,
            passing: Found::default(),
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
    #[inline]
    pub(crate) fn recall(&mut self, exchange: &[u8], key: &[u8]) -> Option<Chosen> {
        let last = self.last.filter(|&last| self.routes.is_at(last, exchange, key));
        let place = last.or_else(|| self.routes.find(exchange, key))?;
        self.last = Some(place);
        Some(Chosen::Remembered(place))
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
    ) -> Result<Chosen, NoExchange> {
        let is_for_all = self.look_up(topology, exchange, key, further, properties, queues)?;
        let remembered = is_for_all.then(|| self.remember(exchange, key)).flatten();
        Ok(remembered.map_or(Chosen::Passing, Chosen::Remembered))
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
        let any = |is: fn(&QueuePolicy) -> bool| found().any(|queue| queue.policy.as_ref().is_some_and(is));
        let (is_limited, may_refuse) = (any(QueuePolicy::is_limited), any(QueuePolicy::refuses));
        self.passing.durable = durable;
        (self.passing.is_limited, self.passing.may_refuse) = (is_limited, may_refuse);
        Ok(is_for_all)
    }

    /// What `look_up` found last.
    pub(crate) fn passing(&self) -> Route<'_> {
        Route {
            address: None,
            queues: &self.passing.queues,
            delays: &self.passing.delays,
            durable: self.passing.durable,
            is_limited: self.passing.is_limited,
            may_refuse: self.passing.may_refuse,
        }
    }

    /// The route that `recall` or `find` gave last.
    #[inline]
    pub(crate) fn route(&self, chosen: Chosen) -> Route<'_> {
        match chosen {
            Chosen::Remembered(place) => self.routes.get(place).expect("it was found or added last"),
            Chosen::Passing => self.passing(),
        }
    }

    /// Remembers what was found last, if it can be.
    fn remember(&mut self, exchange: &[u8], key: &[u8]) -> Option<Place> {
        let queues = self.passing.queues.len() + self.passing.delays.len();
        if queues > ROUTE_QUEUES_MAX {
            return None;
        }
        if self.routes.len() >= ROUTES_MAX || self.routes.queue_count() + queues > ROUTE_QUEUES_MAX {
            self.forget();
        }
        // Places change when one is added.
        self.last = self.routes.add(exchange, key, &self.passing);
        self.last
    }

    fn forget(&mut self) {
        self.routes.clear();
        self.last = None;
    }
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
mod tests;
