//! How reply texts name a queue or an exchange.

use std::borrow::Cow;
use std::fmt;

/// A named thing of a virtual host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource<'a> {
    kind: &'static str,
    name: &'a [u8],
    vhost: &'a str,
}

impl<'a> Resource<'a> {
    pub(crate) fn queue(name: &'a str, vhost: &'a str) -> Self {
        Self {
            kind: "queue",
            name: name.as_bytes(),
            vhost,
        }
    }

    pub(crate) fn exchange(name: &'a [u8], vhost: &'a str) -> Self {
        Self {
            kind: "exchange",
            name,
            vhost,
        }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} '{}' in vhost '{}'",
            self.kind,
            String::from_utf8_lossy(self.name),
            self.vhost
        )
    }
}

/// A name without the line breaks that RabbitMQ strips from names in declarations, bindings and deletions.
pub(crate) fn without_line_breaks(name: &str) -> Cow<'_, str> {
    if name.contains(['\r', '\n']) {
        Cow::Owned(name.replace(['\r', '\n'], ""))
    } else {
        Cow::Borrowed(name)
    }
}
