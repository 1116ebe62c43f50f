//! Who is at the other end of a connection, for bounds on what one stranger may ask of the chain.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};

/// The public address that a request came from, a network of 64 bits for IPv6. There is none for a loopback or private address:
/// that is the operator's own proxy, and all its clients are one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub Option<IpAddr>);

impl Peer {
    /// The peer at `address`.
    pub fn at(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) if v4.is_loopback() || v4.is_private() || v4.is_link_local() => None,
            IpAddr::V6(v6) if v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() => None,
            IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into()),
            v4 => Some(v4),
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self(None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_public_address_or_a_network_of_them() {
        for (address, peer) in [
            ("203.0.113.9", Some("203.0.113.9")),
            ("::ffff:203.0.113.9", Some("203.0.113.9")),
            ("2001:db8:1:2:3:4:5:6", Some("2001:db8:1:2::")),
            ("127.0.0.1", None),
            ("10.1.2.3", None),
            ("192.168.1.1", None),
            ("169.254.1.1", None),
            ("::1", None),
            ("fd00::1", None),
            ("fe80::1", None),
        ] {
            let parsed = peer.map(|peer| peer.parse().unwrap());
            assert_eq!(Peer::at(address.parse().unwrap()), Peer(parsed), "{address}");
        }
    }
}
