//! The load within the guest: a publisher with confirms, a consumer with acks, and a broker that is killed and started again.
//!
//! Invariants:
//! - What [`Mark`](super::mark::Mark) promises about confirms, sends and acknowledgements is kept here.
//! - It ends only with an error: the host cuts the power.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::Path;
use std::thread::ScopedJoinHandle;

use anyhow::{Context, ensure};
use logpond_amqp::method::basic;
use logpond_amqp::{FrameKind, Method, PropertyList, encode_ack, encode_content};

use super::deliveries::{Deliveries, Delivery};
use super::mark::WINDOW;
use super::marker::Marker;
use super::message::{Messages, QUEUES};
use super::settings::{GuestSettings, broker_settings};
use crate::broker_process::Launch;
use crate::generator::{CHANNEL, Connection, Numbered, Target, refuse_close, short};

/// Deliveries that may wait for their acknowledgement.
const PREFETCH: u16 = 40;

/// Runs one life of the broker after the other.
pub fn run(settings: &GuestSettings, marker: &Marker, data: &Path) -> anyhow::Result<Infallible> {
    let messages = Messages::new(settings.seed);
    let mut launch = Launch::from_environment(data)?;
    for setting in broker_settings(&settings.write_mode) {
        launch = launch.set(setting);
    }
    loop {
        let mut broker = launch.start_and_wait()?;
        let log = String::from_utf8_lossy(&std::fs::read(launch.log())?).into_owned();
        ensure!(
            !log.contains("refuses this way of writing"),
            "{} does not work here",
            settings.write_mode
        );
        let target = &Target::guest(broker.address());
        declare(target)?;
        let (published, ended_early) = std::thread::scope(|scope| {
            let consumers: Vec<_> = (1..QUEUES.len())
                .map(|queue| scope.spawn(move || consume(target, marker, queue)))
                .collect();
            let published = publish(target, marker, messages, settings.life);
            let ended = consumers
                .iter()
                .map(ScopedJoinHandle::is_finished)
                .collect::<Vec<_>>();
            let killed = broker.kill();
            let ended = consumers.into_iter().zip(ended).filter_map(|(consumer, ended)| {
                let result = consumer.join();
                if ended { result.ok()?.err() } else { None }
            });
            (published.and(killed), ended.collect::<Vec<_>>())
        });
        published.context("the publisher")?;
        if let Some(error) = ended_early.into_iter().next() {
            return Err(error.context("a consumer"));
        }
        marker.note(|mark| *mark = mark.next_life())?;
    }
}

fn declare(target: &Target) -> anyhow::Result<()> {
    let mut connection = Connection::open(target)?;
    for queue in QUEUES {
        connection.declare(queue)?;
    }
    connection.close()
}

/// Publishes until `life` messages were confirmed since the broker's start.
fn publish(target: &Target, marker: &Marker, messages: Messages, life: u64) -> anyhow::Result<()> {
    let mut connection = Connection::open(target)?;
    connection.select_confirms()?;
    let first = marker.mark().first;
    let (mut sent, mut confirmed) = (0, 0);
    let mut out = Vec::new();
    while confirmed < life {
        out.clear();
        while sent < confirmed + WINDOW {
            encode(&mut out, messages, first + sent, connection.frame_bytes_max())?;
            sent += 1;
        }
        connection.send(&out)?;
        let before = confirmed;
        connection.fill()?;
        while let Some(frame) = connection.frame_here()? {
            if frame.kind != FrameKind::Method {
                continue;
            }
            let method = Method::decode(frame.payload)?;
            let Method::BasicAck(ack) = method else {
                refuse_close(&method)?;
                anyhow::bail!("the broker refuses a message: {method:?}");
            };
            let is_next = ack.delivery_tag == confirmed + 1 || ack.multiple;
            let is_ours = ack.delivery_tag > confirmed && ack.delivery_tag <= sent;
            ensure!(is_next && is_ours, "{ack:?} came behind confirm {confirmed}");
            confirmed = ack.delivery_tag;
        }
        if confirmed > before {
            marker.note(|mark| mark.confirmed = confirmed)?;
        }
    }
    Ok(())
}

fn encode(out: &mut Vec<u8>, messages: Messages, number: u64, frame_max: u32) -> anyhow::Result<()> {
    basic::Publish {
        exchange: short("")?,
        routing_key: short(QUEUES[messages.queue(number)])?,
        mandatory: false,
        immediate: false,
    }
    .encode(CHANNEL, out);
    let mut properties = Vec::new();
    PropertyList {
        delivery_mode: Some(2),
        ..PropertyList::default()
    }
    .encode(&mut properties);
    encode_content(out, CHANNEL, &properties, &messages.body(number), frame_max);
    Ok(())
}

/// Takes from a queue, and acknowledges the older half of what it holds whenever something came.
fn consume(target: &Target, marker: &Marker, queue: usize) -> anyhow::Result<Infallible> {
    let mut connection = Connection::open(target)?;
    connection.consume(QUEUES[queue], PREFETCH)?;
    let first = marker.mark().first;
    let mut deliveries = Deliveries::default();
    // Tags and numbers.
    let mut held: VecDeque<(u64, u64)> = VecDeque::new();
    let mut out = Vec::new();
    loop {
        let mut newest = None;
        while let Some(Delivery { tag, body }) = deliveries.next_here(&mut connection)? {
            let Some(Numbered(number)) = Numbered::of(&body) else {
                anyhow::bail!("a damaged message came from {}", QUEUES[queue]);
            };
            held.push_back((tag, number));
            newest = Some(number);
        }
        if let Some(newest) = newest {
            let acked = held.drain(..held.len().div_ceil(2)).next_back();
            let (tag, number) = acked.context("what came is held")?;
            marker.note(|mark| {
                if newest >= first {
                    mark.shown[queue] = newest + 1;
                }
                mark.acked[queue] = mark.acked[queue].max(number + 1);
            })?;
            out.clear();
            encode_ack(&mut out, CHANNEL, tag, true);
            connection.send(&out)?;
        }
        connection.fill()?;
    }
}
