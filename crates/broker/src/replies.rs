//! Direct reply-to: who waits for replies under which name, and the replies on their way to a session.
//!
//! Invariants:
//! - A reply is never written to the store: it lives from its publish to the next poll of the session that it is for.
//! - A name stands in the table exactly as long as its channel has the consumer; names are random and never used again.
//! - What waits for one session is bounded. Beyond that replies are dropped, as those to a consumer that went.
//!
//! Elsewhere: `session/reply` (starting, publishing, delivering).

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::command::ChannelId;
use crate::limits::{REPLIES_BYTES_MAX, REPLIES_MAX};
use crate::outbox::SessionKey;

/// The pseudo-queue: who consumes from it gets a name for replies.
pub(crate) const REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// What every such name begins with.
pub(crate) const REPLY_TO_PREFIX: &str = "amq.rabbitmq.reply-to.";

/// Bytes of a name's random part before it is encoded.
const TOKEN_BYTES: usize = 16;

/// Whether this is the name of a consumer of replies, which may have gone.
pub(crate) fn is_reply_name(name: &[u8]) -> bool {
    let Some(token) = name.strip_prefix(REPLY_TO_PREFIX.as_bytes()) else {
        return false;
    };
    let mut decoded = [0; TOKEN_BYTES];
    URL_SAFE_NO_PAD.decode_slice(token, &mut decoded) == Ok(TOKEN_BYTES)
}

/// Who waits for replies.
#[derive(Clone, Debug)]
pub(crate) struct ReplyConsumer {
    pub session: SessionKey,
    pub channel: ChannelId,
    /// Names hold within their virtual host only.
    pub vhost: Arc<str>,
}

/// The consumers of replies, by name.
#[derive(Debug, Default)]
pub(crate) struct ReplyConsumers {
    // Only we choose what is put in, so nobody can construct collisions.
    by_name: HashMap<Arc<str>, ReplyConsumer, FixedState>,
}

impl ReplyConsumers {
    pub(crate) fn insert(&mut self, name: Arc<str>, consumer: ReplyConsumer) {
        self.by_name.insert(name, consumer);
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.by_name.remove(name);
    }

    /// The consumer of this name in this virtual host.
    pub(crate) fn find(&self, vhost: &str, name: &[u8]) -> Option<(&Arc<str>, &ReplyConsumer)> {
        let name = std::str::from_utf8(name).ok()?;
        self.by_name
            .get_key_value(name)
            .filter(|(_, consumer)| *consumer.vhost == *vhost)
    }
}

/// A reply on its way.
#[derive(Debug)]
pub(crate) struct Reply {
    pub channel: ChannelId,
    /// The name that it was sent to.
    pub name: Arc<str>,
    /// The key that it was published with: the name, unless that stood in `CC`.
    pub routing_key: Box<[u8]>,
    properties_len: usize,
    /// Properties, then body.
    content: Box<[u8]>,
}

impl Reply {
    pub(crate) fn new(
        channel: ChannelId,
        name: Arc<str>,
        routing_key: &[u8],
        properties: &[u8],
        body: &[&[u8]],
    ) -> Self {
        let mut content =
            Vec::with_capacity(properties.len() + body.iter().map(|part| part.len()).sum::<usize>());
        content.extend_from_slice(properties);
        body.iter().for_each(|part| content.extend_from_slice(part));
        Self {
            channel,
            name,
            routing_key: routing_key.into(),
            properties_len: properties.len(),
            content: content.into(),
        }
    }

    /// Property flags and list.
    pub(crate) fn properties(&self) -> &[u8] {
        &self.content[..self.properties_len]
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.content[self.properties_len..]
    }

    fn bytes(&self) -> usize {
        self.content.len() + self.routing_key.len()
    }
}

/// Replies that wait for one session.
#[derive(Debug, Default)]
pub(crate) struct ReplyBox {
    replies: VecDeque<Reply>,
    bytes: usize,
}

impl ReplyBox {
    /// Takes a reply in, if it fits; one larger than the bound is still taken when nothing waits.
    pub(crate) fn push(&mut self, reply: Reply) -> bool {
        let is_full = self.replies.len() >= REPLIES_MAX
            || (!self.replies.is_empty() && self.bytes + reply.bytes() > REPLIES_BYTES_MAX);
        if is_full {
            return false;
        }
        self.bytes += reply.bytes();
        self.replies.push_back(reply);
        true
    }

    pub(crate) fn pop(&mut self) -> Option<Reply> {
        let reply = self.replies.pop_front()?;
        self.bytes -= reply.bytes();
        Some(reply)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(bytes: usize) -> Reply {
        Reply::new(ChannelId::new(1), "n".into(), b"", &[0, 0], &[&vec![b'x'; bytes]])
    }

    #[test]
    fn a_name_is_the_prefix_and_sixteen_encoded_bytes() {
        let name = format!("{REPLY_TO_PREFIX}{}", URL_SAFE_NO_PAD.encode([7; TOKEN_BYTES]));
        assert!(is_reply_name(name.as_bytes()));
        for other in [
            "",
            REPLY_TO,
            REPLY_TO_PREFIX,
            &name[..name.len() - 1],
            &format!("{name}a"),
            "orders",
        ] {
            assert!(!is_reply_name(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_full_box_takes_no_more_until_something_left() {
        let mut replies = ReplyBox::default();
        assert!(replies.push(reply(2 * REPLIES_BYTES_MAX)), "one is always taken");
        assert!(!replies.push(reply(1)));
        assert!(replies.pop().is_some());
        for _ in 0..REPLIES_MAX {
            assert!(replies.push(reply(0)));
        }
        assert!(!replies.push(reply(0)));
        while let Some(reply) = replies.pop() {
            assert_eq!((reply.properties(), reply.body()), (&[0, 0][..], &b""[..]));
        }
        assert_eq!(replies.bytes, 0);
    }
}
