//! The broker's effects as frames in the write buffer.

use logpond_amqp::{
    ChannelId, ReplyCode, ShortStr, encode_ack, encode_content, encode_delivery, encode_nack, method,
};
use logpond_broker as broker;
use logpond_broker::{AmqpError, Body, Confirm, Delivery, EffectSink, Extent, Returned};

/// Writes effects into a buffer.
pub(super) struct Sink<'o> {
    pub out: &'o mut Vec<u8>,
    pub frame_max: u32,
    /// The client wants to hear of consumers that the broker ends.
    pub cancel_notify: bool,
    /// The broker ended the session.
    pub closed: Option<AmqpError>,
}

impl EffectSink for Sink<'_> {
    //= amqp-0-9-1 basic.ack, sent by a server in confirm mode
    fn confirm(&mut self, channel: broker::ChannelId, tag: u64, extent: Extent, outcome: Confirm) {
        let channel = wire(channel);
        match outcome {
            Confirm::Ack => encode_ack(self.out, channel, tag, extent.is_multiple()),
            Confirm::Nack => encode_nack(self.out, channel, tag, extent.is_multiple(), true),
        }
    }

    #[inline]
    fn deliver(&mut self, delivery: &Delivery<'_>) -> usize {
        let before = self.out.len();
        let fields = logpond_amqp::Delivery {
            consumer_tag: short(delivery.consumer_tag.as_bytes()),
            delivery_tag: delivery.delivery_tag,
            redelivered: delivery.redelivered,
            exchange: short(delivery.exchange),
            routing_key: short(delivery.routing_key),
        };
        let channel = wire(delivery.channel);
        encode_delivery(
            self.out,
            channel,
            &fields,
            delivery.properties,
            delivery.body,
            self.frame_max,
        );
        self.out.len() - before
    }

    fn hears_of_cancellations(&self) -> bool {
        self.cancel_notify
    }

    fn cancelled(&mut self, channel: broker::ChannelId, consumer_tag: &str) {
        if self.cancel_notify {
            let consumer_tag = short(consumer_tag.as_bytes());
            method::basic::Cancel {
                consumer_tag,
                no_wait: true,
            }
            .encode(wire(channel), self.out);
        }
    }

    fn closed(&mut self, error: &AmqpError) {
        self.closed.get_or_insert_with(|| error.clone());
    }
}

/// Appends `basic.return` with its content. `parts` are those of the batch.
pub(super) fn encode_return(out: &mut Vec<u8>, returned: &Returned<'_>, parts: &[&[u8]], frame_max: u32) {
    let channel = wire(returned.channel);
    method::basic::Return {
        reply_code: ReplyCode::NO_ROUTE.get(),
        reply_text: short(b"NO_ROUTE"),
        exchange: short(returned.exchange),
        routing_key: short(returned.routing_key),
    }
    .encode(channel, out);
    match &returned.body {
        Body::Whole(body) => encode_content(out, channel, returned.properties, body, frame_max),
        // Rare enough (a large mandatory message that nobody wants) to be put together first.
        Body::Parts(range) => {
            encode_content(
                out,
                channel,
                returned.properties,
                &parts[range.clone()].concat(),
                frame_max,
            );
        }
    }
}

/// Appends `basic.get-ok` with its content.
pub(super) fn encode_get_ok(out: &mut Vec<u8>, delivery: &Delivery<'_>, message_count: u32, frame_max: u32) {
    let channel = wire(delivery.channel);
    method::basic::GetOk {
        delivery_tag: delivery.delivery_tag,
        redelivered: delivery.redelivered,
        exchange: short(delivery.exchange),
        routing_key: short(delivery.routing_key),
        message_count,
    }
    .encode(channel, out);
    encode_content(out, channel, delivery.properties, delivery.body, frame_max);
}

/// A channel of the broker on the wire.
pub(super) fn wire(channel: broker::ChannelId) -> ChannelId {
    ChannelId::new(channel.get())
}

/// A name of the broker on the wire: it came from there, so it fits.
pub(super) fn short(name: &[u8]) -> ShortStr<'_> {
    ShortStr::new(name).unwrap_or_default()
}
