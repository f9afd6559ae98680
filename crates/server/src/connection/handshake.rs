//! From the protocol header to `connection.open-ok`, sans-I/O.
//!
//! Invariants:
//! - Frames of a peer that has not logged in are at most `FRAME_BYTES_MIN` long, and nothing of them is kept
//!   but names.
//! - Nothing is opened for a peer whose login failed.
//!
//! Elsewhere: the ten seconds that all of this may take (`greeting`).

use std::sync::Arc;
use std::task::Waker;

use logpond_amqp::{
    ChannelId, FrameKind, HeaderMismatch, Method, ReplyCode, ShortStr, Table, Value, method, parse_frame,
    parse_protocol_header,
};
use logpond_broker::auth::{AuthError, Login, Peer};

use super::refusal::Refusal;
use super::sasl::{Credentials, Mechanism};
use super::server_properties;
use crate::blocking::blocking;
use crate::engine::ServerSession;
use crate::limits::FRAME_BYTES_MIN;
use crate::server::Shared;
use crate::tls::login_name;

/// What both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tuning {
    pub channel_max: u16,
    /// Largest frame, with its overhead.
    pub frame_max: u32,
    /// Zero for none.
    pub heartbeat_seconds: u16,
}

impl Tuning {
    /// The longest payload of a client's frame. Its overhead is not subtracted: there are clients that forget it, and RabbitMQ
    /// lets them.
    pub fn payload_max(&self) -> u32 {
        self.frame_max
    }
}

/// What we know of the peer.
#[derive(Debug, Clone)]
pub(super) struct Client {
    /// Its address, and the name that it gave its connection: for logs.
    pub name: String,
    pub peer: Peer,
    pub user: String,
    pub cancel_notify: bool,
    pub blocked_notify: bool,
    authentication_failure_close: bool,
}

/// A finished handshake.
pub(super) struct Opened {
    pub session: ServerSession,
    pub tuning: Tuning,
    pub client: Client,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum HandshakeError {
    /// The peer speaks something else: say what we speak, and close.
    Header(HeaderMismatch),
    /// Say why in `connection.close`.
    Refused(Refusal),
    /// Say nothing, after a while: the peer guesses passwords, or sends rubbish.
    Silent(String),
}

enum Stage {
    Header,
    StartOk,
    TuneOk(Login),
    Open(Login, Tuning),
    Done,
}

/// The server's side of a handshake.
pub(super) struct Handshake {
    shared: Arc<Shared>,
    waker: Waker,
    client: Client,
    stage: Stage,
    /// With TLS, and then the user of the client's certificate, if it has one.
    secure: Option<Option<String>>,
}

impl Handshake {
    /// `waker` is woken when the session that comes out of it has something.
    pub fn new(shared: Arc<Shared>, peer: Peer, name: String, waker: Waker) -> Self {
        let client = Client {
            name,
            peer,
            user: String::new(),
            cancel_notify: false,
            blocked_notify: false,
            authentication_failure_close: false,
        };
        Self {
            shared,
            waker,
            client,
            stage: Stage::Header,
            secure: None,
        }
    }

    /// The connection is encrypted, and the client has this certificate, which was verified.
    pub fn is_secure(&mut self, certificate: Option<&[u8]>) {
        let from = self
            .shared
            .settings
            .tls
            .as_ref()
            .map(|tls| tls.login_from)
            .unwrap_or_default();
        self.secure = Some(certificate.and_then(|certificate| login_name(certificate, from)));
    }

    /// What may be offered on this connection.
    fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        let is_secure = self.secure.is_some();
        let offered = self.shared.settings.mechanisms.iter().copied();
        offered.filter(move |mechanism| is_secure || *mechanism != Mechanism::External)
    }

    /// Takes bytes; how many are done with, and the connection once it is open.
    pub fn advance(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<Opened>), HandshakeError> {
        let mut at = 0;
        if matches!(self.stage, Stage::Header) {
            let Some(taken) = parse_protocol_header(bytes).map_err(HandshakeError::Header)? else {
                return Ok((0, None));
            };
            at = taken;
            self.start(out);
        }
        loop {
            // Nothing is agreed yet, so no frame is longer than the shortest that could be.
            let frame = parse_frame(&bytes[at..], FRAME_BYTES_MIN)
                .map_err(|error| HandshakeError::Silent(error.to_string()))?;
            let Some((frame, taken)) = frame else {
                return Ok((at, None));
            };
            at += taken;
            let is_of_connection = frame.channel == ChannelId::CONNECTION;
            if frame.kind == FrameKind::Heartbeat && is_of_connection {
                continue;
            }
            if frame.kind != FrameKind::Method || !is_of_connection {
                return Err(HandshakeError::Silent(
                    "a frame that is no method of channel 0".to_owned(),
                ));
            }
            let method =
                Method::decode(frame.payload).map_err(|error| HandshakeError::Silent(error.to_string()))?;
            if let Some(opened) = self.method(&method, out)? {
                return Ok((at, Some(opened)));
            }
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        let mut table = Vec::with_capacity(512);
        server_properties::write(
            &mut table,
            &self.shared.cluster_name,
            &self.shared.settings.product,
        );
        let mechanisms: Vec<_> = self.mechanisms().map(Mechanism::name).collect();
        method::connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: Table::parse(&table).expect("our own table is sound"),
            mechanisms: mechanisms.join(" ").as_bytes(),
            locales: b"en_US",
        }
        .encode(ChannelId::CONNECTION, out);
        self.stage = Stage::StartOk;
    }

    fn method(&mut self, method: &Method<'_>, out: &mut Vec<u8>) -> Result<Option<Opened>, HandshakeError> {
        match (std::mem::replace(&mut self.stage, Stage::Done), method) {
            (Stage::StartOk, Method::ConnectionStartOk(start_ok)) => {
                let login = self.login(start_ok)?;
                self.propose(out);
                self.stage = Stage::TuneOk(login);
                Ok(None)
            }
            (Stage::TuneOk(login), Method::ConnectionTuneOk(tune_ok)) => {
                let tuning = self.tuning(tune_ok).map_err(HandshakeError::Refused)?;
                self.stage = Stage::Open(login, tuning);
                Ok(None)
            }
            (Stage::Open(login, tuning), Method::ConnectionOpen(open)) => {
                self.open(&login, tuning, open.virtual_host, out).map(Some)
            }
            (Stage::Open(..), Method::ConnectionClose(_)) => {
                method::connection::CloseOk.encode(ChannelId::CONNECTION, out);
                Err(HandshakeError::Silent(
                    "the client closed during the handshake".to_owned(),
                ))
            }
            (_, method) => Err(HandshakeError::Silent(format!("{} out of order", method.id()))),
        }
    }

    fn propose(&self, out: &mut Vec<u8>) {
        let settings = &self.shared.settings;
        method::connection::Tune {
            channel_max: settings.channel_max,
            frame_max: settings.frame_bytes_max,
            heartbeat: settings.heartbeat_seconds,
        }
        .encode(ChannelId::CONNECTION, out);
    }

    fn login(&mut self, start_ok: &method::connection::StartOk<'_>) -> Result<Login, HandshakeError> {
        self.read_client(start_ok.client_properties);
        let name = start_ok.mechanism.as_bytes();
        let offered = self
            .mechanisms()
            .find(|mechanism| mechanism.name().as_bytes() == name);
        let Some(mechanism) = offered else {
            let text = format!("unknown authentication mechanism '{}'", start_ok.mechanism);
            return Err(HandshakeError::Refused(Refusal::new(
                ReplyCode::COMMAND_INVALID,
                text,
            )));
        };
        let login = match mechanism {
            Mechanism::Plain | Mechanism::AmqPlain => {
                self.check_password(mechanism.credentials(start_ok.response))
            }
            Mechanism::External => self.vouch(self.secure.clone().flatten()),
            Mechanism::Anonymous => self.vouch(self.shared.settings.anonymous_user.clone()),
        };
        login.map_err(|error| self.refuse_login(mechanism, error))
    }

    fn check_password(&mut self, credentials: Option<Credentials<'_>>) -> Result<Login, AuthError> {
        let credentials = credentials.ok_or(AuthError::Wrong)?;
        self.client.user = credentials.user.to_owned();
        let peer = self.client.peer;
        blocking(|| {
            self.shared
                .broker
                .authenticate(credentials.user, credentials.password, peer)
        })
    }

    /// Somebody else said who this is: the certificate, or the configuration.
    fn vouch(&mut self, user: Option<String>) -> Result<Login, AuthError> {
        self.client.user = user.ok_or(AuthError::Wrong)?;
        self.shared.broker.vouched(&self.client.user, self.client.peer)
    }

    fn refuse_login(&self, mechanism: Mechanism, error: AuthError) -> HandshakeError {
        tracing::warn!(client = %self.client.name, user = %self.client.user, %error, "login refused");
        let text = format!(
            "Login was refused using authentication mechanism {}. For details see the broker logfile.",
            mechanism.name()
        );
        if self.client.authentication_failure_close {
            HandshakeError::Refused(Refusal::new(ReplyCode::ACCESS_REFUSED, text))
        } else {
            HandshakeError::Silent("login refused".to_owned())
        }
    }

    fn read_client(&mut self, properties: Table<'_>) {
        if let Some(Value::LongString(name)) = properties.get(b"connection_name") {
            let name = String::from_utf8_lossy(&name[..name.len().min(200)]);
            self.client.name = format!("{} {name:?}", self.client.name);
        }
        let Some(Value::Table(capabilities)) = properties.get(b"capabilities") else {
            return;
        };
        let has = |key: &[u8]| capabilities.get(key) == Some(Value::Bool(true));
        self.client.cancel_notify = has(b"consumer_cancel_notify");
        self.client.blocked_notify = has(b"connection.blocked");
        self.client.authentication_failure_close = has(b"authentication_failure_close");
    }

    fn tuning(&self, tune_ok: &method::connection::TuneOk) -> Result<Tuning, Refusal> {
        let settings = &self.shared.settings;
        negotiated(
            "channel_max",
            0,
            u32::from(settings.channel_max),
            u32::from(tune_ok.channel_max),
        )?;
        negotiated(
            "frame_max",
            FRAME_BYTES_MIN,
            settings.frame_bytes_max,
            tune_ok.frame_max,
        )?;
        Ok(Tuning {
            channel_max: tune_ok.channel_max,
            frame_max: tune_ok.frame_max,
            heartbeat_seconds: tune_ok.heartbeat,
        })
    }

    fn open(
        &mut self,
        login: &Login,
        tuning: Tuning,
        vhost: ShortStr<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Opened, HandshakeError> {
        let vhost = vhost.to_string_lossy();
        let session = self
            .shared
            .broker
            .connect(login, &vhost, self.waker.clone())
            .map_err(|error| {
                HandshakeError::Refused(Refusal {
                    code: ReplyCode::NOT_ALLOWED,
                    text: error.to_string(),
                    method: method::connection::Open::ID,
                })
            })?;
        method::connection::OpenOk.encode(ChannelId::CONNECTION, out);
        tracing::info!(client = %self.client.name, user = %self.client.user, %vhost, "connection opened");
        Ok(Opened {
            session,
            tuning,
            client: self.client.clone(),
        })
    }
}

/// RabbitMQ's check of a negotiated value, in its words. Zero means no limit.
fn negotiated(field: &str, least: u32, most: u32, value: u32) -> Result<(), Refusal> {
    let detail = if field == "channel_max" && value == 0 {
        " (no limit)"
    } else {
        ""
    };
    let refuse = |side: &str, bound: &str, limit: u32| {
        let text = format!(
            "negotiated {field} = {value}{detail} is {side} than the {bound} allowed value ({limit})"
        );
        Err(Refusal::new(ReplyCode::NOT_ALLOWED, text).by(method::connection::Tune::ID))
    };
    if value != 0 && value < least {
        return refuse("lower", "minimum", least);
    }
    if value == 0 || value > most {
        return refuse("higher", "maximum", most);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        8191,
        "negotiated frame_max = 8191 is lower than the minimum allowed value (8192)"
    )]
    #[case(
        131_073,
        "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)"
    )]
    #[case(
        0,
        "negotiated frame_max = 0 is higher than the maximum allowed value (131072)"
    )]
    fn a_frame_size_outside_the_bounds_is_refused(#[case] value: u32, #[case] text: &str) {
        let refusal = negotiated("frame_max", FRAME_BYTES_MIN, 131_072, value).unwrap_err();
        assert_eq!(refusal.text, format!("NOT_ALLOWED - {text}"));
    }

    #[test]
    fn a_client_may_ask_for_less() {
        negotiated("frame_max", FRAME_BYTES_MIN, 131_072, 8192).unwrap();
        negotiated("channel_max", 0, 2047, 1).unwrap();
    }
}
