//! A publisher with confirms and a window, until its broker goes.

use super::topology::{address, connect, properties};
use super::traffic::Traffic;
use super::workload::MessageId;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, PublisherConfirm};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Messages of one publisher that may wait for their confirms.
const WINDOW_MESSAGES: usize = 1_500;

struct Waiting {
    id: MessageId,
    confirm: PublisherConfirm,
    permit: OwnedSemaphorePermit,
}

/// Publishes until the broker goes, then returns why, when every confirm is known or given up.
pub async fn publish(traffic: Arc<Traffic>, publisher: u16, url: String) -> lapin::Result<Infallible> {
    let connection = connect(&url).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let (sender, receiver) = mpsc::channel(WINDOW_MESSAGES);
    // In one task, so that whoever gives up on the publisher gives up on both.
    let (end, ()) = tokio::join!(
        send_all(&traffic, publisher, &channel, sender),
        settle(&traffic, receiver)
    );
    Err(end)
}

/// Sends until it cannot, and returns why.
async fn send_all(
    traffic: &Traffic,
    publisher: u16,
    channel: &Channel,
    sender: mpsc::Sender<Waiting>,
) -> lapin::Error {
    let window = Arc::new(Semaphore::new(WINDOW_MESSAGES));
    let mut body = Vec::new();
    loop {
        let permit = Arc::clone(&window)
            .acquire_owned()
            .await
            .expect("the window is never closed");
        let id = traffic.ledger().publish(publisher);
        traffic.workload.fill(id, &mut body);
        traffic.sent();
        match send(channel, traffic, id, &body).await {
            Ok(confirm) => {
                let waiting = Waiting { id, confirm, permit };
                sender
                    .send(waiting)
                    .await
                    .expect("the other end reads until this one is dropped");
            }
            Err(error) => {
                traffic.unresolved();
                return error;
            }
        }
    }
}

async fn send(
    channel: &Channel,
    traffic: &Traffic,
    id: MessageId,
    body: &[u8],
) -> lapin::Result<PublisherConfirm> {
    let (exchange, key) = address(&traffic.workload, id);
    let properties = properties(&traffic.workload, id);
    channel
        .basic_publish(exchange, key, BasicPublishOptions::default(), body, properties)
        .await
}

async fn settle(traffic: &Traffic, mut receiver: mpsc::Receiver<Waiting>) {
    while let Some(Waiting { id, confirm, permit }) = receiver.recv().await {
        match confirm.await {
            Ok(confirmation) if confirmation.is_ack() => {
                traffic.ledger().confirm(id);
                traffic.confirmed();
            }
            _ => traffic.unresolved(),
        }
        drop(permit);
    }
}
