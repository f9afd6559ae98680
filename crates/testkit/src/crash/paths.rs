//! On which of the broker's ways messages went: a run that took none of some kind shows nothing of that kind.

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use std::sync::atomic::{AtomicU64, Ordering};

use super::workload::{DELAYED_QUEUE, RANKED_QUEUE, RELAYED_QUEUE, URGENT_QUEUE, WORKED_QUEUE};

/// A way that not every message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Its time was over, and its letter came.
    Expired,
    /// It had no place, and its letter came.
    Dropped,
    /// A consumer refused it, and its letter came.
    Refused,
    /// It failed too often, and its letter came.
    Failed,
    /// A consumer did not answer in time, and was cancelled.
    TimedOut,
    /// It was put off.
    Delayed,
    /// It came from the queue with priorities.
    Urgent,
    /// It came from the quorum queue whose messages have priorities.
    Ranked,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Expired,
        Self::Dropped,
        Self::Refused,
        Self::Failed,
        Self::TimedOut,
        Self::Delayed,
        Self::Urgent,
        Self::Ranked,
    ];

    /// The one that a message took which came out of a queue, as far as the message says it.
    pub fn of(queue: usize, properties: &BasicProperties) -> Option<Self> {
        let header = |name: &str| properties.headers().as_ref()?.inner().get(name);
        match queue {
            RELAYED_QUEUE | WORKED_QUEUE => match header("x-first-death-reason")? {
                AMQPValue::LongString(reason) => Self::of_death(reason.as_bytes()),
                _ => None,
            },
            DELAYED_QUEUE => {
                let came = header("x-delay")?.as_long_long_int();
                (came? < 0).then_some(Self::Delayed)
            }
            URGENT_QUEUE => properties.priority().map(|_| Self::Urgent),
            RANKED_QUEUE => properties.priority().map(|_| Self::Ranked),
            _ => None,
        }
    }

    fn of_death(reason: &[u8]) -> Option<Self> {
        match reason {
            b"expired" => Some(Self::Expired),
            b"maxlen" => Some(Self::Dropped),
            b"rejected" => Some(Self::Refused),
            b"delivery_limit" => Some(Self::Failed),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
            Self::Failed => "failed too often",
            Self::TimedOut => "timed out",
            Self::Delayed => "put off",
            Self::Urgent => "with a priority",
            Self::Ranked => "with a priority in a quorum queue",
        }
    }
}

/// How many messages took each.
#[derive(Debug, Default)]
pub struct Paths([AtomicU64; Path::ALL.len()]);

impl Paths {
    /// One more.
    pub fn walked(&self, path: Path) {
        for (other, count) in Path::ALL.iter().zip(&self.0) {
            count.fetch_add(u64::from(*other == path), Ordering::Relaxed);
        }
    }

    /// Whether each was taken.
    pub fn are_all_walked(&self) -> bool {
        self.0.iter().all(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// All counts, in words.
    pub fn told(&self) -> String {
        let counts = Path::ALL.iter().zip(&self.0);
        let told = counts.map(|(path, count)| format!("{} {}", count.load(Ordering::Relaxed), path.name()));
        told.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::FieldTable;

    fn with(name: &str, value: AMQPValue) -> BasicProperties {
        let mut headers = FieldTable::default();
        headers.insert(name.into(), value);
        BasicProperties::default().with_headers(headers)
    }

    #[test]
    fn a_message_tells_its_way() {
        let died = |reason: &str| with("x-first-death-reason", AMQPValue::LongString(reason.into()));
        assert_eq!(Path::of(RELAYED_QUEUE, &died("maxlen")), Some(Path::Dropped));
        assert_eq!(
            Path::of(WORKED_QUEUE, &died("delivery_limit")),
            Some(Path::Failed)
        );
        assert_eq!(Path::of(0, &died("maxlen")), None);
        let delayed = |ms| with("x-delay", AMQPValue::LongLongInt(ms));
        assert_eq!(Path::of(DELAYED_QUEUE, &delayed(-5)), Some(Path::Delayed));
        assert_eq!(Path::of(DELAYED_QUEUE, &delayed(5)), None, "nobody put it off");
        assert_eq!(Path::of(URGENT_QUEUE, &BasicProperties::default()), None);
    }

    #[test]
    fn a_way_that_nobody_took_is_missed() {
        let paths = Paths::default();
        Path::ALL[1..].iter().for_each(|path| paths.walked(*path));
        assert!(!paths.are_all_walked());
        paths.walked(Path::ALL[0]);
        assert!(paths.are_all_walked());
    }
}
