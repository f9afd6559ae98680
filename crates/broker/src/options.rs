//! What can be set when a broker is opened.

/// What a new data directory has at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstContent {
    /// The first user, and the first virtual host.
    Defaults,
    /// Nothing, since definitions say what there is.
    Nothing,
}

/// Settings of a broker; `default()` is right for production.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Largest message body that is accepted.
    pub message_bytes_max: u64,
    /// For how long a delivery of a quorum queue may go without an acknowledgement where nothing else is said.
    pub consumer_timeout_ms: u64,
    /// What a new data directory has.
    pub first_content: FirstContent,
    /// The first user's name, when the data directory is new.
    pub default_user: String,
    /// The first user's password.
    pub default_password: String,
    /// The first virtual host.
    pub default_vhost: String,
    /// Settings of the store.
    pub store: logpond_store::Options,
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            message_bytes_max: 16 << 20,
            consumer_timeout_ms: crate::limits::CONSUMER_TIMEOUT_MS,
            first_content: FirstContent::Defaults,
            default_user: "guest".into(),
            default_password: "guest".into(),
            default_vhost: "/".into(),
            store: logpond_store::Options::default(),
        }
    }
}
