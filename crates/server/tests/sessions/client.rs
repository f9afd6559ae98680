//! A client that says exactly what a test wants.

use std::net::SocketAddr;

use logpond_amqp::{
    ChannelId, Frame, FrameKind, Method, PROTOCOL_HEADER, ShortStr, Table, TableWriter, Value,
    encode_content, method, parse_frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const ONE: ChannelId = ChannelId::new(1);
pub const ZERO: ChannelId = ChannelId::CONNECTION;
/// Frames may be that long.
pub const FRAME_MAX: u32 = 131_072;

/// A frame that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub kind: FrameKind,
    pub channel: ChannelId,
    pub payload: Vec<u8>,
}

impl Received {
    pub fn method(&self) -> Method<'_> {
        assert_eq!(self.kind, FrameKind::Method);
        Method::decode(&self.payload).unwrap()
    }
}

/// A socket, and what was read from it.
pub struct Client {
    pub socket: TcpStream,
    bytes: Vec<u8>,
}

pub fn short(text: &str) -> ShortStr<'_> {
    ShortStr::try_from(text).unwrap()
}

/// The capabilities that make a server talkative.
pub fn client_properties() -> Vec<u8> {
    let mut bytes = Vec::new();
    TableWriter::new(&mut bytes).nested(short("capabilities"), |table| {
        table.put(short("authentication_failure_close"), Value::Bool(true));
        table.put(short("consumer_cancel_notify"), Value::Bool(true));
    });
    bytes
}

impl Client {
    /// Only a socket.
    pub async fn connect(address: SocketAddr) -> Self {
        Self {
            socket: TcpStream::connect(address).await.unwrap(),
            bytes: Vec::new(),
        }
    }

    /// Up to connection.open-ok.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_with_heartbeat(address, 0).await
    }

    pub async fn open_with_heartbeat(address: SocketAddr, heartbeat: u16) -> Self {
        let mut client = Self::connect(address).await;
        client.greet("PLAIN", b"\0guest\0guest").await;
        client.tune(2047, FRAME_MAX, heartbeat).await;
        client.open_vhost("/").await;
        assert!(matches!(
            client.receive().await.method(),
            Method::ConnectionOpenOk(_)
        ));
        client
    }

    /// And channel 1 open.
    pub async fn open_channel(address: SocketAddr) -> Self {
        let mut client = Self::open(address).await;
        client.open_another(ONE).await;
        client
    }

    pub async fn open_another(&mut self, channel: ChannelId) {
        self.send(channel, &Method::ChannelOpen(method::channel::Open))
            .await;
        assert!(matches!(self.receive().await.method(), Method::ChannelOpenOk(_)));
    }

    /// Header, and start-ok with a response.
    pub async fn greet(&mut self, mechanism: &str, response: &[u8]) {
        self.write(&PROTOCOL_HEADER).await;
        assert!(matches!(
            self.receive().await.method(),
            Method::ConnectionStart(_)
        ));
        let properties = client_properties();
        self.send(
            ZERO,
            &Method::ConnectionStartOk(method::connection::StartOk {
                client_properties: Table::parse(&properties).unwrap(),
                mechanism: short(mechanism),
                response,
                locale: short("en_US"),
            }),
        )
        .await;
    }

    pub async fn tune(&mut self, channel_max: u16, frame_max: u32, heartbeat: u16) {
        let tune = self.receive().await;
        assert_eq!(
            tune.method(),
            Method::ConnectionTune(method::connection::Tune {
                channel_max: 2047,
                frame_max: 131_072,
                heartbeat: 60
            })
        );
        let tune_ok = method::connection::TuneOk {
            channel_max,
            frame_max,
            heartbeat,
        };
        self.send(ZERO, &Method::ConnectionTuneOk(tune_ok)).await;
    }

    pub async fn open_vhost(&mut self, vhost: &str) {
        let open = method::connection::Open {
            virtual_host: short(vhost),
        };
        self.send(ZERO, &Method::ConnectionOpen(open)).await;
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    pub async fn send(&mut self, channel: ChannelId, method: &Method<'_>) {
        let mut out = Vec::new();
        method.encode(channel, &mut out);
        self.write(&out).await;
    }

    pub async fn publish(&mut self, channel: ChannelId, exchange: &str, key: &str, body: &[u8]) {
        self.write(&publish(channel, exchange, key, body, FRAME_MAX))
            .await;
    }

    pub async fn declare(&mut self, channel: ChannelId, queue: &str) {
        self.send(channel, &Method::QueueDeclare(declare(queue))).await;
        let received = self.receive().await;
        assert!(
            matches!(received.method(), Method::QueueDeclareOk(_)),
            "{:?}",
            received.method()
        );
    }

    /// The message at the front of a queue.
    pub async fn get(&mut self, channel: ChannelId, queue: &str) -> Option<Vec<u8>> {
        self.send(
            channel,
            &Method::BasicGet(method::basic::Get {
                queue: short(queue),
                no_ack: true,
            }),
        )
        .await;
        let received = self.receive().await;
        match received.method() {
            Method::BasicGetOk(_) => Some(self.content().await),
            Method::BasicGetEmpty(_) => None,
            other => panic!("{other:?}"),
        }
    }

    /// A content header and the whole body.
    pub async fn content(&mut self) -> Vec<u8> {
        let header = self.receive().await;
        assert_eq!(header.kind, FrameKind::Header);
        let size = usize::try_from(
            logpond_amqp::ContentHeader::parse(&header.payload)
                .unwrap()
                .body_size,
        )
        .unwrap();
        let mut body = Vec::new();
        while body.len() < size {
            let frame = self.receive().await;
            assert_eq!(frame.kind, FrameKind::Body);
            body.extend_from_slice(&frame.payload);
        }
        body
    }

    /// The next frame.
    pub async fn receive(&mut self) -> Received {
        self.try_receive()
            .await
            .expect("the server closed the connection")
    }

    /// The next frame, or nothing when the server closes.
    pub async fn try_receive(&mut self) -> Option<Received> {
        loop {
            if let Some((frame, taken)) = parse_frame(&self.bytes, FRAME_MAX).unwrap() {
                let Frame {
                    kind,
                    channel,
                    payload,
                } = frame;
                let received = Received {
                    kind,
                    channel,
                    payload: payload.to_vec(),
                };
                self.bytes.drain(..taken);
                return Some(received);
            }
            if !self
                .socket
                .read_buf(&mut self.bytes)
                .await
                .is_ok_and(|len| len > 0)
            {
                return None;
            }
        }
    }

    /// Everything up to the end of the connection.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        while self
            .socket
            .read_buf(&mut self.bytes)
            .await
            .is_ok_and(|len| len > 0)
        {}
        std::mem::take(&mut self.bytes)
    }

    /// Code and text with which the server closes the connection; heartbeats before it do not count.
    pub async fn connection_closed(&mut self) -> (u16, String) {
        loop {
            let received = self.receive().await;
            if received.kind == FrameKind::Heartbeat {
                continue;
            }
            let Method::ConnectionClose(close) = received.method() else {
                continue;
            };
            let closed = (close.reply_code, close.reply_text.to_string());
            self.send(ZERO, &Method::ConnectionCloseOk(method::connection::CloseOk))
                .await;
            return closed;
        }
    }

    /// Code and text with which the server closes a channel; it is answered.
    pub async fn channel_closed(&mut self, channel: ChannelId) -> (u16, String) {
        let received = self.receive().await;
        assert_eq!(received.channel, channel);
        let Method::ChannelClose(close) = received.method() else {
            panic!("{:?}", received.method())
        };
        let closed = (close.reply_code, close.reply_text.to_string());
        self.send(channel, &Method::ChannelCloseOk(method::channel::CloseOk))
            .await;
        closed
    }
}

/// The frames of a publish.
pub fn publish(channel: ChannelId, exchange: &str, key: &str, body: &[u8], frame_max: u32) -> Vec<u8> {
    let mut out = publish_method(channel, exchange, key);
    encode_content(&mut out, channel, &[0, 0], body, frame_max);
    out
}

pub fn publish_method(channel: ChannelId, exchange: &str, key: &str) -> Vec<u8> {
    let mut out = Vec::new();
    method::basic::Publish {
        exchange: short(exchange),
        routing_key: short(key),
        mandatory: false,
        immediate: false,
    }
    .encode(channel, &mut out);
    out
}

pub fn declare(queue: &str) -> method::queue::Declare<'_> {
    method::queue::Declare {
        queue: short(queue),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: Table::EMPTY,
    }
}

impl Client {
    /// Opens a channel; heartbeats before the answer do not count.
    pub async fn open_another_after_heartbeats(&mut self, channel: ChannelId) {
        self.send(channel, &Method::ChannelOpen(method::channel::Open))
            .await;
        loop {
            let received = self.receive().await;
            if received.kind != FrameKind::Heartbeat {
                assert!(matches!(received.method(), Method::ChannelOpenOk(_)));
                return;
            }
        }
    }
}
