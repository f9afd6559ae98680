//! The one place that says on which disk the server's broker stands.

/// The disk of the running server.
pub type ServerDisk = logpond_broker::RealDisk;
/// The broker of the running server.
pub type ServerBroker = logpond_broker::Broker<ServerDisk>;
/// A client's session with it.
pub type ServerSession = logpond_broker::Session<ServerDisk>;
