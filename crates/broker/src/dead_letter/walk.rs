//! Which full queues passed one message on, while its copies go their ways.
//!
//! Invariants:
//! - Of copies with the same keys a queue passes on one: another would be routed as that was, unless by the headers that tell of its deaths.
//!   Without this, a message would go through full queues that pass on to each other in every order.
//! - Beside the queues that refused the message itself, at most `COPIES_PASSED_ON_MAX` copies are passed on.
//! - As long as no full queue passes anything on, nothing is allocated.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use logpond_store::QueueId;

use crate::limits::COPIES_PASSED_ON_MAX;
use crate::state::BrokerState;

/// See the module.
#[derive(Default)]
pub(crate) struct Walk {
    queues: HashMap<QueueId, Passed, FixedState>,
    /// How often a queue passed on a copy, and not the message itself.
    copies: usize,
}

/// What one queue passed on.
#[derive(Default)]
struct Passed {
    keys: Vec<Keys>,
    /// It dropped a copy.
    has_dropped: bool,
}

/// The keys by which a letter is routed.
type Keys = Vec<Box<[u8]>>;

impl Walk {
    /// The message itself, which the queue refused, leaves it with these keys.
    pub(crate) fn begin(&mut self, queue: QueueId, keys: &[&[u8]]) {
        self.queues.entry(queue).or_default().keys.push(owned(keys));
    }

    /// Whether a copy, which the queue refused, may leave it with these keys.
    pub(crate) fn goes_on(&mut self, queue: QueueId, keys: &[&[u8]]) -> bool {
        let passed = self.queues.entry(queue).or_default();
        let is_new = !passed.keys.iter().any(|before| is_same(before, keys));
        let goes_on = is_new && self.copies < COPIES_PASSED_ON_MAX;
        if goes_on {
            passed.keys.push(owned(keys));
            self.copies += 1;
        }
        passed.has_dropped |= !goes_on;
        goes_on
    }
}

fn owned(keys: &[&[u8]]) -> Keys {
    keys.iter().map(|key| Box::from(*key)).collect()
}

fn is_same(before: &[Box<[u8]>], keys: &[&[u8]]) -> bool {
    before.iter().map(|key| &**key).eq(keys.iter().copied())
}

impl BrokerState {
    /// Says which queues dropped copies. Once for each queue: one that stays full drops them with every publish.
    pub(crate) fn report_dropped(&mut self, walk: &Walk) {
        for (id, _) in walk.queues.iter().filter(|(_, passed)| passed.has_dropped) {
            let Some(queue) = self.queues.get_mut(id) else {
                continue;
            };
            if !std::mem::replace(&mut queue.has_dropped_copies, true) {
                tracing::warn!(
                    queue = %queue.spec,
                    "a full queue dropped a copy of a message that it had passed on already: several full queues dead-letter to it (said once)"
                );
            }
        }
    }
}
