//! A client that sends without a pause keeps nobody else from being served.

use std::io::Write;

use crate::client::{Client, FRAME_MAX, ONE, publish};
use crate::served::Served;

/// Sends the same again and again until the socket takes no more; how many bytes it took.
fn fill(socket: &mut std::net::TcpStream, messages: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        let next = at % messages.len();
        match socket.write(&messages[next..]) {
            Ok(written) => at += written,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return at - from,
            Err(error) => panic!("{error}"),
        }
    }
}

/// With one thread for all, the test goes on exactly when the connection lets others have their turn.
#[tokio::test]
async fn others_have_their_turn_after_each_read_of_a_client_that_always_has_more() {
    let served = Served::start().await;
    let client = Client::open_channel(served.address).await;
    let mut socket = client.socket.into_std().unwrap();
    // Nobody wants them: what counts is who is served when.
    let message = publish(ONE, "amq.fanout", "", &[7; 1000], FRAME_MAX);
    let messages = message.repeat(100);

    let waiting = fill(&mut socket, &messages, 0);
    let mut taken = 0;
    while taken == 0 {
        tokio::task::yield_now().await;
        taken = fill(&mut socket, &messages, waiting);
    }
    assert!(taken < waiting / 2, "{taken} bytes of {waiting} without a pause");
}
