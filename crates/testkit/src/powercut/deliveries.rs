//! Deliveries put together from frames, bodies included.
//!
//! Invariant: there is one consumer on the connection, and nothing else that gets content.

use anyhow::Context;
use logpond_amqp::{ContentHeader, FrameKind, Method};

use crate::generator::{Connection, refuse_close};

/// A message that a consumer was shown.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The delivery's number on the channel.
    pub tag: u64,
    /// All of its body.
    pub body: Vec<u8>,
}

/// What has come of a delivery so far.
#[derive(Default)]
pub struct Deliveries {
    begun: Option<(Delivery, usize)>,
    empty: usize,
}

impl Deliveries {
    /// The next delivery whose last frame has arrived; nothing when more must be read first.
    pub fn next_here(&mut self, connection: &mut Connection) -> anyhow::Result<Option<Delivery>> {
        while let Some(frame) = connection.frame_here()? {
            match frame.kind {
                FrameKind::Method => self.begin(&Method::decode(frame.payload)?)?,
                FrameKind::Header => {
                    let (_, len) = self.begun.as_mut().context("a header without a delivery")?;
                    *len = usize::try_from(ContentHeader::parse(frame.payload)?.body_size)?;
                }
                FrameKind::Body => {
                    let (delivery, _) = self.begun.as_mut().context("a body without a delivery")?;
                    delivery.body.extend_from_slice(frame.payload);
                }
                FrameKind::Heartbeat => {}
            }
            if let Some((delivery, _)) = self.begun.take_if(|(begun, len)| begun.body.len() >= *len) {
                return Ok(Some(delivery));
            }
        }
        Ok(None)
    }

    /// How often the queue was said to have nothing to get.
    pub fn empty(&self) -> usize {
        self.empty
    }

    fn begin(&mut self, method: &Method<'_>) -> anyhow::Result<()> {
        let tag = match method {
            Method::BasicDeliver(deliver) => deliver.delivery_tag,
            Method::BasicGetOk(got) => got.delivery_tag,
            Method::BasicGetEmpty(_) => {
                self.empty += 1;
                return Ok(());
            }
            _ => return refuse_close(method),
        };
        let delivery = Delivery {
            tag,
            body: Vec::new(),
        };
        // Bodies here are never empty, so that only a whole one ends the delivery.
        self.begun = Some((delivery, usize::MAX));
        Ok(())
    }
}
