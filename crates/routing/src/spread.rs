//! Exchanges that send each message to one of their destinations: by a hash (`x-consistent-hash`, `x-modulus-hash`) or at
//! random (`x-random`).
//!
//! Invariants:
//! - Which destination a hash chooses depends on the bindings alone, neither on the order in which they were made nor on the
//!   process: a restart changes nothing.
//! - Of a consistent hash, a binding that comes takes messages only for itself, and one that goes gives up only its own:
//!   each destination draws lots with the hashed value, weighted by its binding key, and the highest lot wins (weighted
//!   rendezvous hashing). RabbitMQ keeps a ring instead: the shares are the same, which key goes where is not.
//!
//! Elsewhere: where randomness comes from (the caller, see [`MessageSource`]).

use std::sync::Arc;

use crate::share_map::{Seed, ShareMap};
use crate::{Arguments, BindError, Binding, Destination, MessageProperty, MessageSource, Name, Term, Value};

const HASH_HEADER: &str = "hash-header";
const HASH_PROPERTY: &str = "hash-property";
/// The largest weight of a binding, as in RabbitMQ.
const WEIGHT_MAX: i64 = 10_000;
/// Part of what decides where messages go: changing it moves them.
const HASH_SEED: u64 = 0x6c6f_6770_6f6e_6421;

/// The arguments of a hash exchange contradict themselves. The text is RabbitMQ's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashArgumentError {
    /// A property that is not hashed.
    #[error("Unsupported property: {0}")]
    UnsupportedProperty(String),
    /// Only one of them can be hashed.
    #[error("hash-header and hash-property are mutually exclusive")]
    Both,
    /// Neither header nor property can be named by this.
    #[error("invalid type '{found}' for arg '{argument}'")]
    NoText {
        /// The argument.
        argument: &'static str,
        /// What it is.
        found: &'static str,
    },
}

/// What of a message is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HashOn {
    RoutingKey,
    Header(Name),
    Property(MessageProperty),
}

impl HashOn {
    pub(crate) fn of(arguments: &Arguments) -> Result<Self, HashArgumentError> {
        let header = text(arguments, HASH_HEADER)?;
        let property = text(arguments, HASH_PROPERTY)?;
        match (header, property) {
            (None, None) => Ok(Self::RoutingKey),
            (Some(header), None) => Ok(Self::Header(Name::from(header))),
            (None, Some(b"correlation_id")) => Ok(Self::Property(MessageProperty::CorrelationId)),
            (None, Some(b"message_id")) => Ok(Self::Property(MessageProperty::MessageId)),
            (None, Some(b"timestamp")) => Ok(Self::Property(MessageProperty::Timestamp)),
            (None, Some(other)) => {
                let other = String::from_utf8_lossy(other).into_owned();
                Err(HashArgumentError::UnsupportedProperty(other))
            }
            (Some(_), Some(_)) => Err(HashArgumentError::Both),
        }
    }

    /// The hash of a message. What is missing counts as one value.
    fn hash<'h>(
        &self,
        keys: &[&[u8]],
        source: &dyn MessageSource,
        headers: impl FnOnce() -> &'h Arguments,
    ) -> u64 {
        match self {
            Self::RoutingKey => hash(keys.first().copied().unwrap_or_default()),
            Self::Property(property) => hash(&source.property(*property).unwrap_or_default()),
            Self::Header(name) => match headers().get(name) {
                None => hash(b""),
                Some(Value::Str(bytes) | Value::Bytes(bytes)) => hash(bytes),
                // As a headers exchange does, integers of all widths are the same.
                Some(value) => match value.as_integer() {
                    Some(number) => hash(&number.to_le_bytes()),
                    None => hash(format!("{value:?}").as_bytes()),
                },
            },
        }
    }
}

fn text<'a>(arguments: &'a Arguments, argument: &'static str) -> Result<Option<&'a [u8]>, HashArgumentError> {
    let Some(value) = arguments.get(argument) else {
        return Ok(None);
    };
    let found = value.type_name();
    value
        .as_str_bytes()
        .map(Some)
        .ok_or(HashArgumentError::NoText { argument, found })
}

/// Written out, since a library's hash may change with its version, and where messages go with it: FNV-1a, and a finalizer.
fn hash(bytes: &[u8]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325 ^ HASH_SEED;
    for byte in bytes {
        state ^= u64::from(*byte);
        state = state.wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(state)
}

/// The finalizer of SplitMix64: each bit of the input moves half of the output's.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn number(destination: &Destination) -> u64 {
    match destination {
        Destination::Queue(queue) => mix(queue.get()),
        Destination::Exchange(name) => hash(name.as_bytes()).rotate_left(1),
    }
}

/// The bindings of a consistent hash exchange with their weights.
#[derive(Clone, Debug)]
pub(crate) struct ConsistentHash {
    on: HashOn,
    bindings: ShareMap<Arc<Binding>, u16>,
}

impl ConsistentHash {
    pub(crate) const fn new(on: HashOn, seed: Seed) -> Self {
        Self {
            on,
            bindings: ShareMap::new(seed),
        }
    }

    /// The weight that a binding key asks for.
    pub(crate) fn weight(key: &Name) -> Result<u16, BindError> {
        let refuse = |text: String| Err(BindError::InvalidArgument(text));
        let text = std::str::from_utf8(key.as_bytes()).ok();
        match text.and_then(|text| text.parse::<i64>().ok()) {
            None => {
                let key = Value::str(key.as_bytes());
                let key = Term(&key);
                refuse(format!("The binding key must be an integer: {key}"))
            }
            Some(weight) if weight < 1 => refuse("The binding key must be greater than 0".to_owned()),
            Some(weight) if weight > WEIGHT_MAX => {
                refuse(format!("The binding key must not exceed {WEIGHT_MAX}"))
            }
            Some(weight) => Ok(u16::try_from(weight).expect("at most 10,000")),
        }
    }

    pub(crate) fn add(&mut self, binding: &Arc<Binding>) -> Result<(), BindError> {
        let weight = Self::weight(&binding.key)?;
        self.bindings.insert(Arc::clone(binding), weight);
        Ok(())
    }

    pub(crate) fn remove(&mut self, binding: &Binding) {
        self.bindings.remove(binding);
    }

    /// Where a message goes. Of several bindings to one destination the heaviest counts.
    pub(crate) fn choose<'a, 'h>(
        &'a self,
        keys: &[&[u8]],
        source: &dyn MessageSource,
        headers: impl FnOnce() -> &'h Arguments,
    ) -> Option<&'a Destination> {
        if self.bindings.is_empty() {
            return None;
        }
        let hash = self.on.hash(keys, source, headers);
        let mut best: Option<(f64, &Destination)> = None;
        self.bindings.for_each(|binding, weight| {
            let lot = lot(hash, &binding.destination, *weight);
            let wins = best.is_none_or(|(highest, destination)| {
                lot > highest || (lot.to_bits() == highest.to_bits() && binding.destination < *destination)
            });
            if wins {
                best = Some((lot, &binding.destination));
            }
        });
        best.map(|(_, destination)| destination)
    }
}

/// What a destination draws: with `weight` as the share that it wins in the long run.
fn lot(hash: u64, destination: &Destination, weight: u16) -> f64 {
    let drawn = mix(hash ^ number(destination));
    // 52 bits are what a float between 1 and 2 takes; never 0, whose logarithm there is not.
    let uniform = f64::from_bits(0x3ff0_0000_0000_0000 | (drawn >> 12)) - 1.0 + f64::EPSILON / 4.0;
    -f64::from(weight) / uniform.ln()
}

/// The destinations of an exchange that takes one of them by number, sorted. Each binding is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    destinations: Vec<Destination>,
}

impl Pool {
    pub(crate) fn add(&mut self, destination: &Destination) {
        let at = self.destinations.partition_point(|have| have < destination);
        self.destinations.insert(at, destination.clone());
    }

    pub(crate) fn remove(&mut self, destination: &Destination) {
        let at = self
            .destinations
            .binary_search(destination)
            .expect("only bindings that exist are removed");
        self.destinations.remove(at);
    }

    /// The destination for a number.
    pub(crate) fn pick(&self, number: u64) -> Option<&Destination> {
        let len = u64::try_from(self.destinations.len()).ok()?;
        let at = usize::try_from(number.checked_rem(len)?).ok()?;
        self.destinations.get(at)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.destinations.is_empty()
    }
}

/// The hash of all routing keys of a message.
pub(crate) fn hash_keys(keys: &[&[u8]]) -> u64 {
    keys.iter().fold(0, |hashed, key| mix(hashed ^ hash(key)))
}

#[cfg(test)]
mod tests;
