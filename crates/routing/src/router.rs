//! From exchange, keys and headers to queues: one walk over a snapshot.
//!
//! - Each exchange is entered once, so cycles of bindings and alternates end.
//! - An exchange that matched nothing hands the message to its alternate, if that exists and is not the default
//!   exchange. This holds for each exchange on the way, not only for the first.
//! - An exchange that puts a message off matches nothing, has no alternate then, and is the end of the way.
//! - With direct, fanout and the default exchange nothing is allocated once `out` and [`Scratch`] have grown.

use std::cell::OnceCell;

use hashbrown::HashSet;

use crate::matcher::Hit;
use crate::topic::TopicScratch;
use crate::{Arguments, Destination, Exchange, Name, QueueRef, Routes};

/// A property that a hash exchange may be told to hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageProperty {
    /// `correlation-id`
    CorrelationId,
    /// `message-id`
    MessageId,
    /// `timestamp`
    Timestamp,
}

/// What an exchange may ask of a message beside its keys. What is never asked for need not be parsed; a route that did ask
/// holds for this message only.
pub trait MessageSource {
    /// The headers; what cannot be parsed is left out. Asked for once.
    fn headers(&self) -> Arguments;

    /// A property's bytes, if the message has it.
    fn property(&self, property: MessageProperty) -> Option<Vec<u8>> {
        let _none = property;
        None
    }

    /// Whether the message wants to be put off. Only exchanges that do so ask.
    fn is_delayed(&self) -> bool {
        false
    }

    /// A random number, another each time.
    fn draw(&self) -> u64 {
        0
    }
}

/// Of a message without headers.
#[derive(Clone, Copy, Debug)]
pub struct NoHeaders;

impl MessageSource for NoHeaders {
    fn headers(&self) -> Arguments {
        Arguments::new()
    }
}

impl<F: Fn() -> Arguments> MessageSource for F {
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

/// Memory that [`Routes::route`] uses again from call to call. Keep one per session.
#[derive(Debug, Default)]
pub struct Scratch {
    topic: TopicScratch,
    /// Exchanges that the walk will enter or has entered.
    seen: HashSet<Name>,
    pending: Vec<Name>,
    waiting: Vec<QueueRef>,
}

impl Scratch {
    /// Where the message that was routed last waits, for exchanges on its way that put it off.
    #[must_use]
    pub fn waiting(&self) -> &[QueueRef] {
        &self.waiting
    }
}

impl Routes {
    /// Finds the queues of a message that is published to `exchange` with these routing keys (usually
    /// one; CC and BCC add to it). Replaces the content of `out`; each queue stands in it once.
    /// Alternate exchanges are followed where an exchange matched nothing, bindings between exchanges are
    /// followed with cycles cut.
    ///
    /// # Errors
    /// If `exchange` does not exist.
    #[inline]
    pub fn route(
        &self,
        exchange: &[u8],
        keys: &[&[u8]],
        headers: &dyn MessageSource,
        scratch: &mut Scratch,
        out: &mut Vec<QueueRef>,
    ) -> Result<Routed, NoExchange> {
        // The default exchange always exists: one lookup saved where there is the most traffic.
        if exchange.is_empty() {
            out.clear();
            scratch.waiting.clear();
            self.route_to_names(keys, out);
            return Ok(finish(keys.len(), out));
        }
        let exchange = self.exchange(exchange).ok_or(NoExchange)?;
        Ok(self.route_from(exchange, keys, headers, scratch, out))
    }

    /// The same from an exchange that was looked up before (to see whether it is internal, or once for
    /// many messages). `exchange` must come from this snapshot.
    pub fn route_from(
        &self,
        exchange: &Exchange,
        keys: &[&[u8]],
        headers: &dyn MessageSource,
        scratch: &mut Scratch,
        out: &mut Vec<QueueRef>,
    ) -> Routed {
        out.clear();
        scratch.waiting.clear();
        if !scratch.seen.is_empty() {
            scratch.seen.clear();
        }
        let mut walk = Walk {
            routes: self,
            keys,
            source: headers,
            headers: OnceCell::new(),
            scratch,
            out,
            sets: 0,
        };
        walk.enter(exchange);
        while let Some(name) = walk.scratch.pending.pop() {
            if let Some(next) = self.exchange(name.as_bytes()) {
                walk.enter(next);
            }
        }
        let sets = walk.sets;
        finish(sets, out)
    }

    #[inline]
    fn route_to_names(&self, keys: &[&[u8]], out: &mut Vec<QueueRef>) {
        out.extend(keys.iter().filter_map(|key| self.queue(key)));
    }
}

struct Walk<'r, 'c> {
    routes: &'r Routes,
    keys: &'c [&'c [u8]],
    source: &'c dyn MessageSource,
    headers: OnceCell<Arguments>,
    scratch: &'c mut Scratch,
    out: &'c mut Vec<QueueRef>,
    /// How many sets of targets stand in `out`: within one, no queue comes twice.
    sets: usize,
}

impl Walk<'_, '_> {
    fn enter(&mut self, exchange: &Exchange) {
        if exchange.is_default() {
            self.routes.route_to_names(self.keys, self.out);
            self.sets += self.keys.len();
            return;
        }
        if let Some(queue) = exchange.waiting()
            && self.source.is_delayed()
        {
            self.scratch.waiting.push(queue);
            return;
        }
        let Self {
            keys,
            source,
            headers,
            scratch,
            out,
            sets,
            ..
        } = self;
        let Scratch {
            topic, seen, pending, ..
        } = &mut **scratch;
        let mut matched = false;
        let mut follow = |destination: &Destination| match destination {
            Destination::Queue(queue) => out.push(*queue),
            Destination::Exchange(next) => push_unseen(next, exchange, seen, pending),
        };
        let headers = || headers.get_or_init(|| source.headers());
        exchange
            .matcher()
            .for_each_match(keys, *source, headers, topic, |hit| {
                matched = true;
                *sets += 1;
                match hit {
                    Hit::Set(targets) => targets.for_each(&mut follow),
                    Hit::One(destination) => follow(destination),
                }
            });
        // The default exchange has no bindings that an alternate could use: only who names it reaches queues through it.
        if let (false, Some(alternate)) = (matched, &exchange.spec().alternate)
            && !alternate.is_empty()
        {
            push_unseen(alternate, exchange, seen, pending);
        }
    }
}

fn push_unseen(next: &Name, from: &Exchange, seen: &mut HashSet<Name>, pending: &mut Vec<Name>) {
    // The first exchange of a walk is noted only here, where a cycle could lead back to it.
    if seen.is_empty() {
        seen.insert(from.name().clone());
    }
    if !seen.contains(next) {
        seen.insert(next.clone());
        pending.push(next.clone());
    }
}

#[inline]
fn finish(sets: usize, out: &mut Vec<QueueRef>) -> Routed {
    if sets > 1 {
        out.sort_unstable();
        out.dedup();
    }
    if out.is_empty() {
        Routed::Nowhere
    } else {
        Routed::ToQueues
    }
}

#[cfg(test)]
mod tests;
