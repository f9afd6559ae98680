//! The keys of the configuration file, all of them optional, and how a text becomes them.
//!
//! `--set key=value` is a file of one line: a dotted key is TOML already.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ConfigError;
use super::store::StoreKeys;

/// Everything that a file or `--set` may say. What is absent keeps its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// The data directory.
    pub data: Option<PathBuf>,
    /// Addresses to listen on, `ADDR:PORT`.
    pub listen: Option<Vec<String>>,
    /// A definitions file to load at start.
    pub definitions: Option<PathBuf>,
    /// The name that clients are told, for those that do what they do with RabbitMQ only where the server has that name.
    pub product: Option<String>,
    /// `[defaults]`: the first user and vhost of a new data directory.
    pub defaults: Defaults,
    /// `[log]`.
    pub log: Log,
    /// `[limits]`.
    pub limits: Limits,
    /// `[store]`.
    pub store: StoreKeys,
    /// `[tls]`.
    pub tls: Tls,
    /// `[auth]`.
    pub auth: Auth,
}

/// `[defaults]`: used once, when the data directory is new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// Name of the first user.
    pub user: Option<String>,
    /// Its password.
    pub pass: Option<String>,
    /// Name of the first vhost.
    pub vhost: Option<String>,
}

/// `[log]`: what is logged and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level, or directives such as `info,logpond_store=debug`.
    pub level: Option<String>,
    /// Text for people, or JSON for machines.
    pub format: Option<LogFormat>,
}

/// Shape of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// `[limits]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest body of a message.
    pub message_bytes_max: Option<u64>,
    /// Channels that a client may have open, announced to it.
    pub channel_max: Option<u16>,
    /// Largest frame, announced to clients.
    pub frame_bytes_max: Option<u32>,
    /// Heartbeat that we propose, in seconds; 0 proposes none.
    pub heartbeat_seconds: Option<u16>,
    /// Time for a client to log in and open a vhost.
    pub handshake_timeout_ms: Option<u64>,
    /// Open connections; further ones are refused.
    pub connections_max: Option<usize>,
    /// For how long a delivery of a quorum queue may go without an acknowledgement.
    pub consumer_timeout_ms: Option<u64>,
}

/// `[tls]`: encrypted connections. Nothing listens for them without a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Addresses to listen on, `ADDR:PORT`.
    pub listen: Option<Vec<String>>,
    /// The server's certificate and those that lead to its root, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// The certificates that clients' certificates must lead to, PEM. Without it none is asked for.
    pub client_ca: Option<PathBuf>,
    /// Whether a client needs one.
    pub client_certificates: Option<ClientCertificates>,
    /// Which name in it is the user's, for the mechanism EXTERNAL.
    pub login_from: Option<LoginFrom>,
}

/// Whether a client needs a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// It may have one.
    #[default]
    Optional,
    /// Without one there is no connection.
    Required,
}

/// Which name in a client's certificate is the user's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginFrom {
    /// The whole subject, as in `CN=ann,O=Sawmill`.
    #[default]
    DistinguishedName,
    /// Its common name.
    CommonName,
}

/// `[auth]`: how clients may log in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// The mechanisms that are offered.
    pub mechanisms: Option<Vec<Mechanism>>,
    /// As whom a client is logged in that says nothing of itself.
    pub anonymous_user: Option<String>,
}

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mechanism {
    /// Zero, user, zero, password (RFC 4616 with an empty authorisation identity).
    Plain,
    /// A field table with LOGIN and PASSWORD.
    AmqPlain,
    /// By its certificate: offered to encrypted connections only.
    External,
    /// Not at all.
    Anonymous,
}

impl Mechanism {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::AmqPlain => "AMQPLAIN",
            Self::External => "EXTERNAL",
            Self::Anonymous => "ANONYMOUS",
        }
    }
}

impl ConfigFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: origin.clone(),
            source,
        })?;
        Self::parse(&origin, &text)
    }

    /// Reads `key=value`, where a value that is not TOML is taken as a string.
    pub fn parse_setting(setting: &str) -> Result<Self, ConfigError> {
        let origin = format!("--set {setting}");
        let Some((key, value)) = setting.split_once('=') else {
            return Err(ConfigError::Invalid {
                origin,
                line: 1,
                message: "expected KEY=VALUE".to_owned(),
            });
        };
        let is_toml = toml::from_str::<toml::Table>(&format!("x = {value}")).is_ok();
        if is_toml {
            return Self::parse(&origin, &format!("{key} = {value}"));
        }
        let quoted = toml::Value::String(value.to_owned());
        Self::parse(&origin, &format!("{key} = {quoted}"))
    }

    /// Parses the text of a file; `origin` stands in errors.
    pub fn parse(origin: &str, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| located(origin, text, &error))
    }

    /// Takes over what `other` says.
    pub fn overlay(&mut self, other: Self) {
        let Self {
            data,
            listen,
            definitions,
            product,
            defaults,
            log,
            limits,
            store,
            tls,
            auth,
        } = other;
        replace(&mut self.data, data);
        replace(&mut self.listen, listen);
        replace(&mut self.definitions, definitions);
        replace(&mut self.product, product);
        replace(&mut self.defaults.user, defaults.user);
        replace(&mut self.defaults.pass, defaults.pass);
        replace(&mut self.defaults.vhost, defaults.vhost);
        replace(&mut self.log.level, log.level);
        replace(&mut self.log.format, log.format);
        replace(&mut self.limits.message_bytes_max, limits.message_bytes_max);
        replace(&mut self.limits.channel_max, limits.channel_max);
        replace(&mut self.limits.frame_bytes_max, limits.frame_bytes_max);
        replace(&mut self.limits.heartbeat_seconds, limits.heartbeat_seconds);
        replace(&mut self.limits.handshake_timeout_ms, limits.handshake_timeout_ms);
        replace(&mut self.limits.connections_max, limits.connections_max);
        replace(&mut self.limits.consumer_timeout_ms, limits.consumer_timeout_ms);
        replace(&mut self.tls.listen, tls.listen);
        replace(&mut self.tls.certificate, tls.certificate);
        replace(&mut self.tls.key, tls.key);
        replace(&mut self.tls.client_ca, tls.client_ca);
        replace(&mut self.tls.client_certificates, tls.client_certificates);
        replace(&mut self.tls.login_from, tls.login_from);
        replace(&mut self.auth.mechanisms, auth.mechanisms);
        replace(&mut self.auth.anonymous_user, auth.anonymous_user);
        self.store.overlay(&store);
    }
}

pub(super) fn replace<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}

fn located(origin: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = 1 + text.as_bytes()[..start]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count();
    let message = error.message();
    let origin = origin.to_owned();
    match message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
    {
        Some((key, rest)) => ConfigError::UnknownKey {
            origin,
            line,
            key: key.to_owned(),
            hint: rest.to_owned(),
        },
        None => ConfigError::Invalid {
            origin,
            line,
            message: message.to_owned(),
        },
    }
}
