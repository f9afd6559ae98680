//! Where a client comes from.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use logpond_broker::auth::Peer;

/// The socket's peer address; an IPv4 address mapped into IPv6 counts as the IPv4 address that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerAddress(SocketAddr);

impl PeerAddress {
    pub fn new(address: SocketAddr) -> Self {
        Self(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// From this machine or from elsewhere.
    pub fn kind(self) -> Peer {
        match self.0.ip() {
            IpAddr::V4(ip) if ip.is_loopback() => Peer::Loopback,
            IpAddr::V6(ip) if ip.is_loopback() => Peer::Loopback,
            _ => Peer::Remote,
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("127.0.0.1:1", Peer::Loopback)]
    #[case("127.9.9.9:1", Peer::Loopback)]
    #[case("[::1]:1", Peer::Loopback)]
    #[case("[::ffff:127.0.0.1]:1", Peer::Loopback)]
    #[case("10.0.0.1:1", Peer::Remote)]
    #[case("[::ffff:10.0.0.1]:1", Peer::Remote)]
    #[case("[fe80::1]:1", Peer::Remote)]
    fn loopback_is_recognised_in_every_notation(#[case] address: &str, #[case] kind: Peer) {
        assert_eq!(PeerAddress::new(address.parse().unwrap()).kind(), kind);
    }
}
