//! What a client sends, taken apart: commands of the hot path are collected, everything else is answered in its place among them.
//!
//! Invariants:
//! - A message or frame is taken as a whole or not at all; what is left comes again with more behind it.
//! - Before a request is answered, what was collected ahead of it is applied.
//! - Behind a broken frame nothing is looked at.
//! - What one read asks for is answered with no more than a full write buffer and one answer at a time.

use super::{Life, Link, Turn, not_open, own};
use crate::connection::batch::{Batch, CommandSpace};
use crate::connection::channels::Slot;
use crate::connection::content::{Assembly, Scan, check_headers, scan, unexpected};
use crate::connection::refusal::{Failure, Refusal};
use crate::limits::{RAW_MESSAGE_BYTES_MAX, TURN_HELD_MAX, WRITE_BUFFER_BYTES};
use logpond_amqp::{
    ChannelId, Frame, FrameKind, Method, ReplyCode, method, parse_ack, parse_frame, parse_publish,
};
use logpond_broker::{Body, Command, Extent, GiveBack, Portion, Publish};
use std::sync::Arc;

/// Classes whose requests take turns: see [`method::exchange`] and [`method::queue`].
const EXCHANGE_CLASS: u16 = 40;
const QUEUE_CLASS: u16 = 50;
/// Other methods that do: the last consumer takes its auto-delete queue along.
const CHANNEL_CLOSE: (u16, u16) = (20, 40);
const BASIC_CANCEL: (u16, u16) = (60, 30);

impl Link {
    /// Takes bytes from the socket; how many of them are done with. The rest has to come again, with more behind it unless the link
    /// [is paused](Link::is_paused).
    pub fn feed(&mut self, bytes: &[u8], space: &mut CommandSpace) -> usize {
        let mut batch = space.lend();
        let mut at = 0;
        let answers_end = self.out.len() + WRITE_BUFFER_BYTES;
        self.is_paused = false;
        while at < bytes.len() && self.life != Life::Finished {
            if self.out.len() >= answers_end {
                self.is_paused = true;
                break;
            }
            match self.take(&bytes[at..], &mut batch) {
                Ok(0) => break,
                Ok(taken) => at += taken,
                Err(refusal) => {
                    self.apply(&mut batch, Portion::Last);
                    self.refuse(refusal);
                    // Behind a broken frame nothing has a meaning.
                    at = bytes.len();
                }
            }
            if batch.is_full() {
                self.apply(&mut batch, Portion::MoreFollow);
            }
        }
        self.apply(&mut batch, Portion::Last);
        space.take_back(batch);
        if !self.awaits_turn() {
            self.turn = Turn::None;
        }
        if self.life == Life::Finished {
            bytes.len()
        } else {
            at
        }
    }

    /// Takes one message, acknowledgement or frame; zero asks for more bytes.
    #[inline]
    fn take<'b>(&mut self, bytes: &'b [u8], batch: &mut Batch<'b>) -> Result<usize, Refusal> {
        let payload_max = self.tuning.payload_max();
        if let Some((publish, taken)) = parse_publish(bytes, payload_max)
            && self.channels.is_open(publish.channel)
        {
            self.has_brought = true;
            check_headers(publish.raw_properties)?;
            batch.push(Command::Publish(Publish {
                channel: own(publish.channel),
                exchange: publish.exchange.as_bytes(),
                routing_key: publish.routing_key.as_bytes(),
                mandatory: publish.mandatory,
                immediate: publish.immediate,
                properties: publish.raw_properties,
                body: Body::Whole(publish.body),
            }));
            return Ok(taken);
        }
        if let Some((ack, taken)) = parse_ack(bytes)
            && self.channels.is_open(ack.channel)
        {
            let extent = Extent::from_multiple(ack.multiple);
            batch.push(Command::Ack {
                channel: own(ack.channel),
                tag: ack.delivery_tag,
                extent,
            });
            return Ok(taken);
        }
        self.take_frame(bytes, payload_max, batch)
    }

    fn take_frame<'b>(
        &mut self,
        bytes: &'b [u8],
        payload_max: u32,
        batch: &mut Batch<'b>,
    ) -> Result<usize, Refusal> {
        let Some((frame, taken)) = parse_frame(bytes, payload_max)? else {
            return Ok(0);
        };
        self.has_brought = true;
        if is_publish(&frame) && self.channels.is_open(frame.channel) {
            let mark = batch.parts.len();
            let body_bytes_max = self.shared.message_bytes_max;
            match scan(bytes, payload_max, body_bytes_max, &mut batch.parts) {
                Scan::Whole { publish, taken } => {
                    check_headers(publish.properties)?;
                    let body = Body::Parts(mark..batch.parts.len());
                    batch.push(Command::Publish(Publish { body, ..publish }));
                    return Ok(taken);
                }
                Scan::Partial if bytes.len() < RAW_MESSAGE_BYTES_MAX => {
                    batch.parts.truncate(mark);
                    return Ok(0);
                }
                _ => batch.parts.truncate(mark),
            }
        }
        if self.needs_turn(&frame) && !self.takes_turn() {
            return Ok(0);
        }
        self.frame(frame, batch)?;
        Ok(taken)
    }

    /// Whether the frame is a request that may wait for the disk, or for others that do.
    fn needs_turn(&self, frame: &Frame<'_>) -> bool {
        let Some(&[class_high, class_low, method_high, method_low]) = frame.payload.first_chunk() else {
            return false;
        };
        let class = u16::from_be_bytes([class_high, class_low]);
        let method = u16::from_be_bytes([method_high, method_low]);
        frame.kind == FrameKind::Method
            && self.life == Life::Open
            && matches!(
                (class, method),
                (EXCHANGE_CLASS | QUEUE_CLASS, _) | CHANNEL_CLOSE | BASIC_CANCEL
            )
    }

    /// Takes a turn if one is free; says that one is awaited if not, or if it was held long enough.
    fn takes_turn(&mut self) -> bool {
        if let Turn::Held { since, .. } = &self.turn {
            let goes_on = since.elapsed() < TURN_HELD_MAX;
            if !goes_on {
                self.turn = Turn::Awaited;
            }
            return goes_on;
        }
        match Arc::clone(&self.shared.turns).try_acquire_owned() {
            Ok(turn) => self.grant(turn),
            Err(_) => self.turn = Turn::Awaited,
        }
        !self.awaits_turn()
    }

    fn frame<'b>(&mut self, frame: Frame<'b>, batch: &mut Batch<'b>) -> Result<(), Refusal> {
        match frame.kind {
            FrameKind::Heartbeat => self.heartbeat_frame(frame.channel),
            FrameKind::Method => self.method_frame(&frame, batch),
            FrameKind::Header | FrameKind::Body => self.content_frame(&frame, batch),
        }
    }

    /// A heartbeat is of the connection, and of no channel.
    fn heartbeat_frame(&self, channel: ChannelId) -> Result<(), Refusal> {
        if channel == ChannelId::CONNECTION || self.life == Life::Closing {
            return Ok(());
        }
        Err(unexpected("type 8, all octets = <<>>"))
    }

    fn method_frame<'b>(&mut self, frame: &Frame<'b>, batch: &mut Batch<'b>) -> Result<(), Refusal> {
        if self.life == Life::Closing {
            return self.method_while_closing(frame);
        }
        let method = Method::decode(frame.payload)?;
        if frame.channel == ChannelId::CONNECTION {
            self.apply(batch, Portion::MoreFollow);
            return self.connection_method(&method);
        }
        if let Slot::Assembling(assembly) = self.channels.get(frame.channel) {
            return Err(assembly.interrupted());
        }
        if self.channels.is_open(frame.channel)
            && let Some(command) = hot(frame.channel, &method)
        {
            batch.push(command);
            return Ok(());
        }
        self.apply(batch, Portion::MoreFollow);
        self.channel_method(frame.channel, &method)
    }

    //= amqp-0-9-1 connection.close: discard all methods except close and close-ok
    fn method_while_closing(&mut self, frame: &Frame<'_>) -> Result<(), Refusal> {
        if frame.channel != ChannelId::CONNECTION {
            return Ok(());
        }
        match Method::decode(frame.payload) {
            Ok(Method::ConnectionCloseOk(_)) => self.life = Life::Finished,
            Ok(Method::ConnectionClose(_)) => {
                method::connection::CloseOk.encode(ChannelId::CONNECTION, &mut self.out);
                self.life = Life::Finished;
            }
            _ => {}
        }
        Ok(())
    }

    fn content_frame(&mut self, frame: &Frame<'_>, batch: &mut Batch<'_>) -> Result<(), Refusal> {
        if self.life == Life::Closing {
            return Ok(());
        }
        match self.channels.get(frame.channel) {
            Slot::Closing => return Ok(()),
            Slot::Absent if frame.channel != ChannelId::CONNECTION => return Err(not_open()),
            Slot::Absent | Slot::Open => {
                return Err(unexpected("expected method frame, got non method frame instead"));
            }
            Slot::Assembling(_) => {}
        }
        if frame.kind == FrameKind::Header {
            let assembly = self.channels.assembly(frame.channel).expect("it was seen above");
            let body_size = assembly.take_header(frame)?;
            if body_size > self.shared.message_bytes_max {
                self.apply(batch, Portion::MoreFollow);
                self.refuse_size(frame.channel, body_size);
                return Ok(());
            }
        } else {
            self.channels.add_body(frame.channel, frame)?;
        }
        if let Some(assembly) = self.channels.take_complete(frame.channel) {
            self.apply(batch, Portion::MoreFollow);
            if self.channels.is_open(frame.channel) {
                self.apply_assembly(frame.channel, &assembly);
            }
        }
        Ok(())
    }

    fn apply_assembly(&mut self, channel: ChannelId, assembly: &Assembly) {
        let mut batch = Batch::default();
        batch.push(Command::Publish(assembly.publish(own(channel))));
        self.apply(&mut batch, Portion::Last);
    }

    fn refuse_size(&mut self, channel: ChannelId, body_size: u64) {
        let limit = self.shared.message_bytes_max;
        let text = format!("message size {body_size} is larger than configured max size {limit}");
        let refusal = Refusal::new(ReplyCode::PRECONDITION_FAILED, text).by(method::basic::Publish::ID);
        let now = self.shared.now();
        if let Some(session) = &mut self.session {
            session.close_channel(own(channel), now);
        }
        self.fail(channel, Failure::Channel(refusal));
    }
}

/// The commands that travel in batches.
fn hot<'b>(channel: ChannelId, method: &Method<'b>) -> Option<Command<'b>> {
    let channel = own(channel);
    Some(match method {
        Method::BasicAck(ack) => Command::Ack {
            channel,
            tag: ack.delivery_tag,
            extent: Extent::from_multiple(ack.multiple),
        },
        Method::BasicNack(nack) => Command::Nack {
            channel,
            tag: nack.delivery_tag,
            extent: Extent::from_multiple(nack.multiple),
            give_back: GiveBack::from_nack(nack.requeue),
        },
        Method::BasicReject(reject) => Command::Reject {
            channel,
            tag: reject.delivery_tag,
            give_back: GiveBack::from_reject(reject.requeue),
        },
        _ => return None,
    })
}

fn is_publish(frame: &Frame<'_>) -> bool {
    frame.kind == FrameKind::Method && frame.payload.starts_with(&[0, 60, 0, 40])
}
