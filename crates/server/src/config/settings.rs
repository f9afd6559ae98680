//! The settings that the server runs with: defaults filled in, values checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use logpond_broker::FirstContent;

use super::ConfigError;
use super::file::{Auth, ClientCertificates, ConfigFile, LogFormat, LoginFrom, Mechanism, Tls};
use super::store::StoreKeys;
use crate::limits;

/// The port of AMQP.
pub const AMQP_PORT: u16 = 5672;
/// The port of AMQP with TLS.
pub const AMQPS_PORT: u16 = 5671;

/// Variables that name what a new data directory has.
const DEFAULTS_IN_ENVIRONMENT: [&str; 3] = [
    "RABBITMQ_DEFAULT_USER",
    "RABBITMQ_DEFAULT_PASS",
    "RABBITMQ_DEFAULT_VHOST",
];

/// How encrypted connections are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whom of the clients' certificates to trust.
    pub client_ca: Option<PathBuf>,
    /// Whether a client needs one.
    pub client_certificates: ClientCertificates,
    /// Which name in it is the user's.
    pub login_from: LoginFrom,
}

/// One address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: SocketAddr,
    /// Whether the start fails when this address cannot be had.
    pub need: Need,
}

/// How much an address matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Somebody asked for it: no start without it.
    Required,
    /// A default that a machine may lack (IPv6): noted in the log.
    Optional,
}

/// The first user of a new data directory.
#[derive(Clone, PartialEq, Eq)]
pub struct DefaultUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for DefaultUser {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("DefaultUser")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Everything that is settled before the server starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data directory.
    pub data: PathBuf,
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Definitions to load at each start.
    pub definitions: Option<PathBuf>,
    /// The server property `product`.
    pub product: String,
    /// Whether a new data directory has a user and a vhost before the definitions.
    pub first_content: FirstContent,
    /// The user of a new data directory.
    pub default_user: DefaultUser,
    /// The vhost of a new data directory.
    pub default_vhost: String,
    /// Level or directives.
    pub log_level: String,
    /// Shape of log lines.
    pub log_format: LogFormat,
    /// Largest body of a message.
    pub message_bytes_max: u64,
    /// Announced in `connection.tune`.
    pub channel_max: u16,
    /// Announced in `connection.tune`.
    pub frame_bytes_max: u32,
    /// Announced in `connection.tune`.
    pub heartbeat_seconds: u16,
    /// Time for the handshake.
    pub handshake_timeout: Duration,
    /// Open connections.
    pub connections_max: usize,
    /// For how long a delivery of a quorum queue may go without an acknowledgement.
    pub consumer_timeout_ms: u64,
    /// Encrypted connections, if there is a certificate.
    pub tls: Option<TlsSettings>,
    /// How clients may log in.
    pub mechanisms: Vec<Mechanism>,
    /// As whom a client is logged in that says nothing of itself.
    pub anonymous_user: Option<String>,
    /// Keys of `[store]`.
    pub store: StoreKeys,
    /// The store's options that come of them.
    pub store_options: logpond_broker::StoreOptions,
}

impl Default for Settings {
    fn default() -> Self {
        Self::from_file(ConfigFile::default(), |_| None).expect("the defaults are valid")
    }
}

impl Settings {
    /// Fills in defaults and checks values. `environment` looks up a variable.
    pub fn from_file(
        file: ConfigFile,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let ConfigFile {
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
        } = file;
        let (mechanisms, anonymous_user) = login(auth)?;
        let names_defaults = [&defaults.user, &defaults.pass, &defaults.vhost]
            .into_iter()
            .any(Option::is_some)
            || DEFAULTS_IN_ENVIRONMENT
                .iter()
                .any(|name| environment(name).is_some());
        // As in RabbitMQ, unless somebody asks for the defaults.
        let first_content = match &definitions {
            Some(_) if !names_defaults => FirstContent::Nothing,
            _ => FirstContent::Defaults,
        };
        let defaulted = |value: Option<String>, variable: &str, default: &str| {
            value
                .or_else(|| environment(variable))
                .unwrap_or_else(|| default.to_owned())
        };
        Ok(Self {
            data: data.unwrap_or_else(|| PathBuf::from("./logpond-data")),
            listen: listen.map_or_else(
                || Ok(default_listen(AMQP_PORT)),
                |list| parse_all(&list, "listen", AMQP_PORT),
            )?,
            tls: encryption(tls)?,
            mechanisms,
            anonymous_user,
            definitions,
            product: product.unwrap_or_else(|| "Logpond".to_owned()),
            default_user: DefaultUser {
                name: defaulted(defaults.user, "RABBITMQ_DEFAULT_USER", "guest"),
                password: defaulted(defaults.pass, "RABBITMQ_DEFAULT_PASS", "guest"),
            },
            first_content,
            default_vhost: defaulted(defaults.vhost, "RABBITMQ_DEFAULT_VHOST", "/"),
            log_level: log.level.unwrap_or_else(|| "info".to_owned()),
            log_format: log.format.unwrap_or_default(),
            message_bytes_max: in_range(
                "limits.message_bytes_max",
                limits.message_bytes_max.unwrap_or(limits::MESSAGE_BYTES_MAX),
                1..=limits::MESSAGE_BYTES_CEILING,
            )?,
            channel_max: in_range(
                "limits.channel_max",
                limits.channel_max.unwrap_or(limits::CHANNEL_MAX),
                1..=u16::MAX,
            )?,
            frame_bytes_max: in_range(
                "limits.frame_bytes_max",
                limits.frame_bytes_max.unwrap_or(limits::FRAME_BYTES_MAX),
                limits::FRAME_BYTES_MIN..=limits::FRAME_BYTES_MAX,
            )?,
            heartbeat_seconds: limits.heartbeat_seconds.unwrap_or(limits::HEARTBEAT_SECONDS),
            // With a zero in one of these two nobody would get in.
            handshake_timeout: limits
                .handshake_timeout_ms
                .map(|ms| in_range("limits.handshake_timeout_ms", ms, 1..=u64::MAX))
                .transpose()?
                .map_or(limits::HANDSHAKE_TIMEOUT, Duration::from_millis),
            connections_max: in_range(
                "limits.connections_max",
                limits.connections_max.unwrap_or(limits::CONNECTIONS_MAX),
                1..=usize::MAX,
            )?,
            consumer_timeout_ms: in_range(
                "limits.consumer_timeout_ms",
                limits.consumer_timeout_ms.unwrap_or(limits::CONSUMER_TIMEOUT_MS),
                1..=u64::MAX,
            )?,
            store_options: store.options().map_err(|message| ConfigError::Value {
                key: "store".to_owned(),
                message,
            })?,
            store,
        })
    }
}

impl Settings {
    /// How many sockets listen at most.
    pub(crate) fn listeners_max(&self) -> usize {
        self.listen.len() + self.tls.as_ref().map_or(0, |tls| tls.listen.len())
    }
}

/// Which mechanisms are offered, and who the anonymous are.
fn login(auth: Auth) -> Result<(Vec<Mechanism>, Option<String>), ConfigError> {
    let mechanisms = auth
        .mechanisms
        .unwrap_or_else(|| vec![Mechanism::Plain, Mechanism::AmqPlain]);
    let problem = match (mechanisms.contains(&Mechanism::Anonymous), &auth.anonymous_user) {
        _ if mechanisms.is_empty() => Some(("auth.mechanisms", "without a mechanism nobody can log in")),
        (true, None) => Some((
            "auth.anonymous_user",
            "ANONYMOUS needs a user to log clients in as",
        )),
        _ => None,
    };
    match problem {
        Some((key, message)) => Err(ConfigError::Value {
            key: key.to_owned(),
            message: message.to_owned(),
        }),
        None => Ok((mechanisms, auth.anonymous_user)),
    }
}

fn encryption(tls: Tls) -> Result<Option<TlsSettings>, ConfigError> {
    if tls == Tls::default() {
        return Ok(None);
    }
    let needed = |key: &str, path: Option<PathBuf>| {
        path.ok_or_else(|| ConfigError::Value {
            key: format!("tls.{key}"),
            message: "is needed for encrypted connections".to_owned(),
        })
    };
    if tls.client_certificates == Some(ClientCertificates::Required) {
        needed("client_ca", tls.client_ca.clone())?;
    }
    Ok(Some(TlsSettings {
        listen: tls.listen.map_or_else(
            || Ok(default_listen(AMQPS_PORT)),
            |list| parse_all(&list, "tls.listen", AMQPS_PORT),
        )?,
        certificate: needed("certificate", tls.certificate)?,
        key: needed("key", tls.key)?,
        client_ca: tls.client_ca,
        client_certificates: tls.client_certificates.unwrap_or_default(),
        login_from: tls.login_from.unwrap_or_default(),
    }))
}

fn default_listen(port: u16) -> Vec<Listen> {
    let on = |ip: IpAddr, need| Listen {
        address: SocketAddr::new(ip, port),
        need,
    };
    vec![
        on(Ipv4Addr::LOCALHOST.into(), Need::Required),
        on(Ipv6Addr::LOCALHOST.into(), Need::Optional),
    ]
}

fn parse_all(list: &[String], key: &str, port: u16) -> Result<Vec<Listen>, ConfigError> {
    list.iter().map(|text| parse_listen(text, key, port)).collect()
}

/// `ADDR:PORT`, `[V6]:PORT`, `localhost:PORT`, `:PORT` (all addresses) or a bare address.
fn parse_listen(text: &str, key: &str, default_port: u16) -> Result<Listen, ConfigError> {
    let loopback = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let everywhere = text.strip_prefix(':').map(|port| format!("[::]:{port}"));
    let written = loopback.or(everywhere).unwrap_or_else(|| text.to_owned());
    let address = written
        .parse::<SocketAddr>()
        .or_else(|_| {
            written
                .parse::<IpAddr>()
                .map(|ip| SocketAddr::new(ip, default_port))
        })
        .map_err(|_| ConfigError::Value {
            key: key.to_owned(),
            message: format!("`{text}` is not ADDRESS:PORT, for example 127.0.0.1:5672 or [::1]:5672"),
        })?;
    Ok(Listen {
        address,
        need: Need::Required,
    })
}

fn in_range<T: PartialOrd + std::fmt::Display + Copy>(
    key: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Result<T, ConfigError> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(ConfigError::Value {
        key: key.to_owned(),
        message: format!("{value} is not between {} and {}", range.start(), range.end()),
    })
}
