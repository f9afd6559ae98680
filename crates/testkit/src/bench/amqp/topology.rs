//! The queues of a row, and how messages reach them.
//!
//! Invariant: with varied messages routing keys differ from message to message, and still each queue gets its share.

use crate::bench::limits::{KEYS, SETTLE_MAX, SETTLE_STEP};
use crate::generator::{Connection, Delivery, TapeOptions, Variety};
use anyhow::ensure;
use std::time::Instant;

/// Queues and the exchange before them.
pub struct Topology {
    exchange: String,
    kind: Kind,
    queues: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Every message goes to one queue, in turn.
    Turn,
    /// Every message goes to every queue.
    FanOut,
}

impl Topology {
    /// So many queues that get messages in turn.
    pub fn of_queues(name: &str, count: usize) -> Self {
        Self {
            exchange: format!("{name}.topic"),
            kind: Kind::Turn,
            queues: names(name, count),
        }
    }

    /// So many queues that each get every message.
    pub fn fan_out(name: &str, count: usize) -> Self {
        Self {
            exchange: format!("{name}.fanout"),
            kind: Kind::FanOut,
            queues: names(name, count),
        }
    }

    /// The first queue.
    pub fn first(&self) -> &str {
        &self.queues[0]
    }

    /// Declares and binds all of it.
    pub fn declare(&self, connection: &mut Connection, arguments: &[(&str, &str)]) -> anyhow::Result<()> {
        let kind = match self.kind {
            Kind::Turn => "topic",
            Kind::FanOut => "fanout",
        };
        connection.declare_exchange(&self.exchange, kind)?;
        for (number, queue) in self.queues.iter().enumerate() {
            connection.declare_with(queue, arguments)?;
            connection.bind(queue, &self.exchange, &format!("order.{number}.*"))?;
        }
        Ok(())
    }

    /// Deletes the queues.
    pub fn delete(&self, connection: &mut Connection) -> anyhow::Result<()> {
        self.queues
            .iter()
            .try_for_each(|queue| connection.delete_queue(queue))
    }

    /// What to publish. Messages that are all the same go through the default exchange where they can.
    pub fn tape(
        &self,
        variety: Variety,
        body_len: usize,
        delivery: Delivery,
        frame_bytes_max: u32,
    ) -> TapeOptions {
        let is_plain = variety == Variety::Same && self.kind == Kind::Turn;
        let keys = if is_plain {
            self.queues.clone()
        } else {
            let count = KEYS.next_multiple_of(self.queues.len());
            let count = if body_len > LARGE_BODY {
                self.queues.len()
            } else {
                count
            };
            (0..count)
                .map(|number| format!("order.{}.{number}", number % self.queues.len()))
                .collect()
        };
        TapeOptions {
            exchange: if is_plain {
                String::new()
            } else {
                self.exchange.clone()
            },
            keys,
            body_len,
            delivery,
            variety,
            frame_bytes_max,
        }
    }

    /// Waits until the queues hold so many messages together: what is published without confirms may still be on its way.
    pub fn settle(&self, connection: &mut Connection, messages: u64) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            let mut depth = 0;
            for queue in &self.queues {
                depth += connection.depth(queue)?;
            }
            if depth >= messages {
                return Ok(());
            }
            ensure!(
                start.elapsed() < SETTLE_MAX,
                "{depth} of {messages} messages are in their queues after {SETTLE_MAX:?}"
            );
            std::thread::sleep(SETTLE_STEP);
        }
    }
}

/// A tape with a thousand bodies above this would not stay in any cache.
const LARGE_BODY: usize = 4 << 10;

fn names(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name}.{number}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Topology;
    use crate::generator::{Delivery, Variety};

    fn keys(queues: usize, body_len: usize, variety: Variety) -> Vec<String> {
        Topology::of_queues("q", queues)
            .tape(variety, body_len, Delivery::Transient, 131_072)
            .keys
    }

    #[test]
    fn varied_keys_reach_every_queue_equally_often() {
        for queues in [1, 10, 1000] {
            let keys = keys(queues, 16, Variety::Varied);
            assert!(keys.len() >= 1000 && keys.len().is_multiple_of(queues));
            for queue in 0..queues {
                let part = format!("order.{queue}.");
                let hits = keys.iter().filter(|key| key.starts_with(&part)).count();
                assert_eq!(hits, keys.len() / queues);
            }
        }
    }

    #[test]
    fn the_same_messages_go_through_the_default_exchange() {
        assert_eq!(keys(2, 16, Variety::Same), ["q.0", "q.1"]);
    }
}
