//! Where a message died, of what and how often: the header `x-death`, and what RabbitMQ says beside it.
//!
//! Invariants:
//! - The newest death comes first, and no queue stands there twice for one reason.
//! - At most `DEATHS_MAX` are remembered.
//! - The headers are sorted by name, as RabbitMQ sorts them.

use logpond_routing::{Arguments, Value};
use logpond_store::AckReason;

use crate::limits::DEATHS_MAX;
use crate::table::{self, raw_fields};

/// Of what a message died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A consumer did not want it.
    Rejected,
    /// Its time was over.
    Expired,
    /// Its queue was full.
    Full,
    /// It was delivered too often.
    DeliveryLimit,
}

impl Reason {
    /// As `x-death` says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Full => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// What the store says of it.
impl From<AckReason> for Reason {
    fn from(reason: AckReason) -> Self {
        match reason {
            AckReason::Expired => Self::Expired,
            AckReason::Dropped => Self::Full,
            AckReason::Rejected | AckReason::Acked | AckReason::Purged => Self::Rejected,
        }
    }
}

/// One death, or several in one queue for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Death {
    pub queue: Box<[u8]>,
    pub reason: Box<[u8]>,
    pub count: i64,
    /// Of the first, in seconds.
    pub time_s: u64,
    pub exchange: Box<[u8]>,
    pub keys: Vec<Box<[u8]>>,
    /// The property `expiration` that it had then.
    pub expiration: Option<Box<[u8]>>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deaths(Vec<Death>);

const DEATHS: &[u8] = b"x-death";

impl Deaths {
    /// Those of a message that died before, from its headers.
    pub(crate) fn read(headers: &[u8]) -> Self {
        match table::arguments(headers).get("x-death") {
            Some(Value::Array(deaths)) => Self(deaths.iter().filter_map(Death::read).collect()),
            _ => Self::default(),
        }
    }

    /// Adds a death, or counts it with those of the same queue and reason.
    pub(crate) fn record(&mut self, death: Death) {
        let is_same = |other: &Death| other.queue == death.queue && other.reason == death.reason;
        let newest = match self.0.iter().position(is_same) {
            Some(at) => {
                let mut again = self.0.remove(at);
                again.count = again.count.saturating_add(1);
                again
            }
            None => death,
        };
        self.0.insert(0, newest);
        self.0.truncate(DEATHS_MAX);
    }

    /// Whether a message that comes to this queue has been there since a client last rejected it.
    pub(crate) fn is_cycle(&self, queue: &[u8]) -> bool {
        let Some(before) = self.0.iter().position(|death| *death.queue == *queue) else {
            return false;
        };
        let rejected = Reason::Rejected.as_str().as_bytes();
        self.0[..=before].iter().all(|death| *death.reason != *rejected)
    }

    /// The headers `before`, and what there is to say of the newest death. Of a message that never died before, a client may have
    /// written such headers itself.
    pub(crate) fn headers(&self, before: &[u8], died_before: bool) -> Vec<u8> {
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for field in raw_fields(before) {
            let is_ours = field.name == DEATHS
                || field.name.starts_with(b"x-last-death-")
                || (!died_before && field.name.starts_with(b"x-first-death-"));
            if !is_ours {
                fields.push((field.name.to_vec(), field.value.to_vec()));
            }
        }
        if let Some(newest) = self.0.first() {
            let kinds: &[&str] = if died_before {
                &["last"]
            } else {
                &["first", "last"]
            };
            for kind in kinds {
                for (what, value) in [
                    ("exchange", &newest.exchange),
                    ("queue", &newest.queue),
                    ("reason", &newest.reason),
                ] {
                    let name = format!("x-{kind}-death-{what}");
                    fields.push((name.into_bytes(), string(value)));
                }
            }
        }
        fields.push((DEATHS.to_vec(), self.value()));
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut headers = Vec::new();
        for (name, value) in fields {
            field(&mut headers, &name, &value);
        }
        headers
    }

    fn value(&self) -> Vec<u8> {
        let deaths: Vec<u8> = self.0.iter().flat_map(Death::value).collect();
        sized(b'A', &deaths)
    }
}

impl Death {
    fn read(value: &Value) -> Option<Self> {
        let Value::Table(death) = value else { return None };
        let keys = match death.get("routing-keys") {
            Some(Value::Array(keys)) => keys
                .iter()
                .filter_map(Value::as_str_bytes)
                .map(Box::from)
                .collect(),
            _ => Vec::new(),
        };
        let time_s = match death.get("time") {
            Some(Value::Timestamp(time_s)) => *time_s,
            _ => 0,
        };
        Some(Self {
            queue: text(death, "queue")?,
            reason: text(death, "reason")?,
            count: death.get("count").and_then(Value::as_integer).unwrap_or(1),
            time_s,
            exchange: text(death, "exchange").unwrap_or_default(),
            keys,
            expiration: text(death, "original-expiration"),
        })
    }

    fn value(&self) -> Vec<u8> {
        let mut table = Vec::new();
        if let Some(expiration) = &self.expiration {
            field(&mut table, b"original-expiration", &string(expiration));
        }
        let keys: Vec<u8> = self.keys.iter().flat_map(|key| string(key)).collect();
        for (name, value) in [
            ("count", [&[b'l'][..], &self.count.to_be_bytes()].concat()),
            ("reason", string(&self.reason)),
            ("queue", string(&self.queue)),
            ("time", [&[b'T'][..], &self.time_s.to_be_bytes()].concat()),
            ("exchange", string(&self.exchange)),
            ("routing-keys", sized(b'A', &keys)),
        ] {
            field(&mut table, name.as_bytes(), &value);
        }
        sized(b'F', &table)
    }
}

fn text(death: &Arguments, name: &str) -> Option<Box<[u8]>> {
    death.get(name).and_then(Value::as_str_bytes).map(Box::from)
}

fn string(text: &[u8]) -> Vec<u8> {
    sized(b'S', text)
}

/// A value that begins with its length.
fn sized(kind: u8, value: &[u8]) -> Vec<u8> {
    let len = u32::try_from(value.len()).expect("headers are shorter than 4 GiB");
    [&[kind], &len.to_be_bytes()[..], value].concat()
}

fn field(table: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    table.push(u8::try_from(name.len()).expect("a name came as a short string, or is ours"));
    table.extend_from_slice(name);
    table.extend_from_slice(value);
}

#[cfg(test)]
mod tests;
