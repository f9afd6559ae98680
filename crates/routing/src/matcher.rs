//! What each kind of exchange keeps in order to choose: one arm per kind, and the only place that knows them all.
//!
//! Invariant: a matcher holds exactly the bindings that were added and not removed; the caller adds none
//! twice and removes none that is not there.

use std::sync::Arc;

use crate::headers::MatchRule;
use crate::share_map::{Seed, ShareMap};
use crate::spread::{ConsistentHash, HashOn, Pool, hash_keys};
use crate::targets::Targets;
use crate::topic::{TopicScratch, Trie, words};
use crate::{
    Arguments, BindError, Binding, Destination, ExchangeKind, ExchangeSpec, MessageSource, Name, limits,
};

/// The bindings from one exchange, arranged for its kind.
#[derive(Clone, Debug)]
pub(crate) enum Matcher {
    Direct(ShareMap<Name, Targets>),
    Fanout(Targets),
    Topic(Trie),
    Headers(ShareMap<Arc<Binding>, MatchRule>),
    ConsistentHash(ConsistentHash),
    ModulusHash(Pool),
    Random(Pool),
    LocalRandom(Pool),
}

/// A set of destinations that matched; the destinations of one set differ from each other.
pub(crate) enum Hit<'a> {
    Set(&'a Targets),
    One(&'a Destination),
}

impl Matcher {
    /// What a damaged definition says of hashing counts as nothing said.
    pub(crate) fn new(spec: &ExchangeSpec, seed: Seed) -> Self {
        match spec.chooses() {
            ExchangeKind::Direct | ExchangeKind::Delayed => Self::Direct(ShareMap::new(seed)),
            ExchangeKind::Fanout => Self::Fanout(Targets::new()),
            ExchangeKind::Topic => Self::Topic(Trie::new(seed)),
            ExchangeKind::Headers => Self::Headers(ShareMap::new(seed)),
            ExchangeKind::ConsistentHash => {
                let on = HashOn::of(&spec.arguments).unwrap_or(HashOn::RoutingKey);
                Self::ConsistentHash(ConsistentHash::new(on, seed))
            }
            ExchangeKind::ModulusHash => Self::ModulusHash(Pool::default()),
            ExchangeKind::Random => Self::Random(Pool::default()),
            ExchangeKind::LocalRandom => Self::LocalRandom(Pool::default()),
        }
    }

    /// Whether a binding like this can be added.
    pub(crate) fn accepts(&self, binding: &Binding) -> Result<(), BindError> {
        match self {
            Self::Direct(_) | Self::Fanout(_) | Self::ModulusHash(_) | Self::Random(_) => Ok(()),
            Self::ConsistentHash(_) => ConsistentHash::weight(&binding.key).map(drop),
            Self::LocalRandom(_) => without_key(binding),
            Self::Topic(_) => {
                let (words, limit) = (words(binding.key.as_bytes()).count(), limits::PATTERN_WORDS_MAX);
                if words > limit {
                    Err(BindError::PatternTooLong { words, limit })
                } else {
                    Ok(())
                }
            }
            Self::Headers(_) => MatchRule::of(&binding.arguments).map(drop),
        }
    }

    pub(crate) fn add(&mut self, binding: &Arc<Binding>, seed: Seed) -> Result<(), BindError> {
        self.accepts(binding)?;
        match self {
            Self::Direct(keys) => {
                keys.get_or_insert_with(&binding.key, Targets::new)
                    .add(&binding.destination, seed);
            }
            Self::Fanout(targets) => targets.add(&binding.destination, seed),
            Self::Topic(trie) => trie.add(binding.key.as_bytes(), &binding.destination),
            Self::Headers(rules) => {
                rules.insert(Arc::clone(binding), MatchRule::of(&binding.arguments)?);
            }
            Self::ConsistentHash(hash) => hash.add(binding)?,
            Self::ModulusHash(pool) | Self::Random(pool) | Self::LocalRandom(pool) => {
                pool.add(&binding.destination);
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, binding: &Binding) {
        match self {
            Self::Direct(keys) => {
                let targets = keys
                    .get_mut(&binding.key)
                    .expect("only bindings that exist are removed");
                targets.remove(&binding.destination);
                if targets.is_empty() {
                    keys.remove(&binding.key);
                }
            }
            Self::Fanout(targets) => targets.remove(&binding.destination),
            Self::Topic(trie) => trie.remove(binding.key.as_bytes(), &binding.destination),
            Self::Headers(rules) => drop(rules.remove(binding)),
            Self::ConsistentHash(hash) => hash.remove(binding),
            Self::ModulusHash(pool) | Self::Random(pool) | Self::LocalRandom(pool) => {
                pool.remove(&binding.destination);
            }
        }
    }

    /// Calls `hit` for everything that matches. The same destination may come again in another set.
    #[inline]
    pub(crate) fn for_each_match<'a, 'h>(
        &'a self,
        keys: &[&[u8]],
        source: &dyn MessageSource,
        headers: impl FnOnce() -> &'h Arguments,
        scratch: &mut TopicScratch,
        mut hit: impl FnMut(Hit<'a>),
    ) {
        match self {
            Self::Direct(bound) => {
                for key in keys {
                    if let Some(targets) = bound.get(*key) {
                        hit(Hit::Set(targets));
                    }
                }
            }
            Self::Fanout(targets) => {
                if !targets.is_empty() {
                    hit(Hit::Set(targets));
                }
            }
            Self::Topic(trie) => {
                for key in keys {
                    trie.for_each_match(key, scratch, &mut |targets| hit(Hit::Set(targets)));
                }
            }
            Self::Headers(rules) => {
                if !rules.is_empty() {
                    let headers = headers();
                    rules.for_each(|binding, rule| {
                        if rule.matches(&binding.arguments, headers) {
                            hit(Hit::One(&binding.destination));
                        }
                    });
                }
            }
            Self::ConsistentHash(hash) => {
                if let Some(destination) = hash.choose(keys, source, headers) {
                    hit(Hit::One(destination));
                }
            }
            Self::ModulusHash(pool) => {
                if let Some(destination) = pool.pick(hash_keys(keys)) {
                    hit(Hit::One(destination));
                }
            }
            Self::Random(pool) | Self::LocalRandom(pool) if pool.is_empty() => {}
            Self::Random(pool) | Self::LocalRandom(pool) => {
                if let Some(destination) = pool.pick(source.draw()) {
                    hit(Hit::One(destination));
                }
            }
        }
    }
}

/// A binding of an exchange of the kind `x-local-random`, in RabbitMQ's words.
fn without_key(binding: &Binding) -> Result<(), BindError> {
    let problem = match (&binding.destination, binding.key.as_bytes()) {
        (_, key) if !key.is_empty() => {
            format!(
                "Non empty binding '{}' key not permitted",
                String::from_utf8_lossy(key)
            )
        }
        (Destination::Exchange(_), _) => "Destination not found".to_owned(),
        (Destination::Queue(_), _) => return Ok(()),
    };
    Err(BindError::InvalidArgument(problem))
}
