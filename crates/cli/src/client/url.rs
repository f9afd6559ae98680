//! `amqp://user:password@host:port/vhost`.
//!
//! Invariants:
//! - What a part leaves out is the usual default; escapes (`%2F`) are decoded; a trailing `/` alone is vhost `/`.

use std::str::FromStr;

/// Where a broker is and how to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Login name.
    pub user: String,
    /// Login password.
    pub password: String,
    /// Virtual host.
    pub virtual_host: String,
}

/// Why a text is no AMQP URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlError {
    /// It begins with something else.
    Scheme,
    /// `amqps://`, which is not built yet.
    Tls,
    /// The port is no number.
    Port(String),
    /// A `%` without two hexadecimal digits, or not UTF-8.
    Escape(String),
    /// `[` without `]`.
    Bracket,
}

impl std::fmt::Display for UrlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scheme => f.write_str("must begin with amqp://"),
            Self::Tls => f.write_str("amqps:// is not supported here yet; use amqp://"),
            Self::Port(port) => write!(f, "{port:?} is no port"),
            Self::Escape(part) => write!(f, "{part:?} has a broken % escape"),
            Self::Bracket => f.write_str("an IPv6 address lacks its ]"),
        }
    }
}

impl std::error::Error for UrlError {}

/// The password must not end up in logs.
impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "amqp://{}:***@{}:{}/{}",
            self.user, self.host, self.port, self.virtual_host
        )
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.starts_with("amqps://") {
            return Err(UrlError::Tls);
        }
        let rest = text.strip_prefix("amqp://").ok_or(UrlError::Scheme)?;
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, address) = authority.rsplit_once('@').unwrap_or(("guest:guest", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = split_port(address)?;
        Ok(Self {
            host: if host.is_empty() {
                "localhost".to_owned()
            } else {
                unescape(host)?
            },
            port: port.map_or(Ok(5672), |port| {
                port.parse().map_err(|_| UrlError::Port(port.to_owned()))
            })?,
            user: unescape(user)?,
            password: unescape(password)?,
            virtual_host: if path.is_empty() {
                "/".to_owned()
            } else {
                unescape(path)?
            },
        })
    }
}

fn split_port(address: &str) -> Result<(&str, Option<&str>), UrlError> {
    if let Some(inner) = address.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or(UrlError::Bracket)?;
        return Ok((host, rest.strip_prefix(':')));
    }
    Ok(address
        .split_once(':')
        .map_or((address, None), |(host, port)| (host, Some(port))))
}

fn unescape(text: &str) -> Result<String, UrlError> {
    let broken = || UrlError::Escape(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().ok_or_else(broken)?, rest.next().ok_or_else(broken)?];
        let digits = std::str::from_utf8(&digits).map_err(|_| broken())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| broken())?);
    }
    String::from_utf8(bytes).map_err(|_| broken())
}

#[cfg(test)]
mod tests {
    use super::{Url, UrlError};

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn what_a_url_leaves_out_is_the_default() {
        let expected = url("amqp://guest:guest@localhost:5672/%2F");
        for short in [
            "amqp://",
            "amqp://localhost",
            "amqp://localhost/",
            "amqp://guest:guest@localhost:5672",
        ] {
            assert_eq!(url(short), expected, "{short}");
        }
    }

    #[test]
    fn each_part_is_taken_and_its_escapes_are_decoded() {
        let url = url("amqp://us%3Aer:p%40ss@[::1]:1234/a%2Fb?heartbeat=5");
        assert_eq!((url.user.as_str(), url.password.as_str()), ("us:er", "p@ss"));
        assert_eq!((url.host.as_str(), url.port), ("::1", 1234));
        assert_eq!(url.virtual_host, "a/b");
    }

    #[test]
    fn what_is_no_amqp_url_is_refused_with_the_reason() {
        assert_eq!("http://x".parse::<Url>(), Err(UrlError::Scheme));
        assert_eq!("amqps://x".parse::<Url>(), Err(UrlError::Tls));
        assert_eq!("amqp://x:y".parse::<Url>(), Err(UrlError::Port("y".to_owned())));
        assert_eq!(
            "amqp://a%2@x".parse::<Url>(),
            Err(UrlError::Escape("a%2".to_owned()))
        );
        assert_eq!("amqp://[::1".parse::<Url>(), Err(UrlError::Bracket));
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        assert!(!format!("{:?}", url("amqp://u:secret@h")).contains("secret"));
    }
}
