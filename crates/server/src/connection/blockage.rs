//! Telling a client that we do not read from it.
//!
//! Invariants:
//! - `connection.blocked` goes out only when we have not read for a while, and once; `unblocked` follows it exactly once.

use std::time::Duration;

use logpond_amqp::{ChannelId, ShortStr, method};
use logpond_broker::Flow;
use tokio::time::Instant;

/// A pause shorter than this is not worth a word.
const PATIENCE: Duration = Duration::from_secs(1);
const REASON: &str = "the store is full of messages that are not written yet";

/// Whether we read, since when not, and whether the client knows.
#[derive(Debug, Default)]
pub(super) struct Blockage {
    since: Option<Instant>,
    is_announced: bool,
}

impl Blockage {
    /// Looks at the flow after each exchange with the broker.
    pub fn observe(&mut self, flow: Flow, out: &mut Vec<u8>) {
        match flow {
            Flow::Wait => {
                self.since.get_or_insert_with(Instant::now);
            }
            Flow::Continue => {
                self.since = None;
                if std::mem::take(&mut self.is_announced) {
                    method::connection::Unblocked.encode(ChannelId::CONNECTION, out);
                }
            }
        }
    }

    /// When the client has to be told, if at all.
    pub fn deadline(&self) -> Option<Instant> {
        self.since
            .filter(|_| !self.is_announced)
            .map(|since| since + PATIENCE)
    }

    /// Tells the client.
    pub fn announce(&mut self, out: &mut Vec<u8>) {
        self.is_announced = true;
        method::connection::Blocked {
            reason: ShortStr::truncated(REASON),
        }
        .encode(ChannelId::CONNECTION, out);
    }
}

#[cfg(test)]
mod tests {
    use logpond_amqp::{Method, parse_frame};

    use super::*;

    fn methods(out: &[u8]) -> Vec<&'static str> {
        let mut left = out;
        let mut names = Vec::new();
        while let Some((frame, taken)) = parse_frame(left, 0).unwrap() {
            names.push(Method::decode(frame.payload).unwrap().id().name().unwrap());
            left = &left[taken..];
        }
        names
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_told_once_and_released_once() {
        let (mut blockage, mut out) = (Blockage::default(), Vec::new());
        blockage.observe(Flow::Continue, &mut out);
        assert_eq!(blockage.deadline(), None);
        blockage.observe(Flow::Wait, &mut out);
        assert_eq!(blockage.deadline(), Some(Instant::now() + PATIENCE));
        blockage.announce(&mut out);
        blockage.observe(Flow::Wait, &mut out);
        assert_eq!(blockage.deadline(), None);
        blockage.observe(Flow::Continue, &mut out);
        blockage.observe(Flow::Continue, &mut out);
        assert_eq!(methods(&out), ["connection.blocked", "connection.unblocked"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_pause_is_not_mentioned() {
        let (mut blockage, mut out) = (Blockage::default(), Vec::new());
        blockage.observe(Flow::Wait, &mut out);
        blockage.observe(Flow::Continue, &mut out);
        assert!(out.is_empty());
    }
}
