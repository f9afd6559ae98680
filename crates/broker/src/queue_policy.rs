//! What a queue's arguments ask of the shard: limits, a time to live, levels. The shard forgets it with the process, so it is
//! said at each declaration and at each start.

use logpond_routing::Arguments;
use logpond_store::disk::{Disk, Now};
use logpond_store::{AppendError, QueueId, QueueLimits, Shard, WhenFull};

/// See the module's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueuePolicy {
    limits: QueueLimits,
    life_ms: Option<u64>,
    highest: Option<u8>,
}

impl QueuePolicy {
    /// What arguments that were checked ask for.
    pub(crate) fn of(arguments: &Arguments) -> Self {
        let number = |name| {
            let value = arguments.get(name)?.as_integer()?;
            u64::try_from(value).ok()
        };
        let overflow = arguments.get("x-overflow").and_then(|value| value.as_str_bytes());
        let limits = QueueLimits {
            messages: number("x-max-length"),
            bytes: number("x-max-length-bytes"),
            when_full: match overflow {
                Some(b"reject-publish") => WhenFull::Refuse,
                _ => WhenFull::DropHead,
            },
        };
        let highest = number("x-max-priority").and_then(|highest| u8::try_from(highest).ok());
        Self {
            limits,
            life_ms: number("x-message-ttl"),
            highest: highest.filter(|highest| *highest > 0),
        }
    }

    /// Whether messages can be refused.
    pub(crate) fn refuses(&self) -> bool {
        !self.limits.is_unlimited() && self.limits.when_full == WhenFull::Refuse
    }

    /// Says it.
    pub(crate) fn apply<D: Disk>(
        &self,
        shard: &mut Shard<D>,
        id: QueueId,
        now: Now,
    ) -> Result<(), AppendError> {
        // Levels first: a limit that drops begins with the head.
        if let Some(highest) = self.highest {
            shard.set_priorities(id, highest)?;
        }
        shard.set_time_to_live(id, self.life_ms)?;
        shard.set_limits(id, self.limits, now)
    }
}
