//! Which addresses a provider may be at. Their URLs come from strangers, so a name is resolved and checked inside the
//! connector: what is checked is what is connected to.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Whether anyone on the Internet can be reached at `ip`: not for special purposes (IANA's registries, RFC 6890), and no
/// IPv6 form that carries an IPv4 address.
pub fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_global_v4(ip),
        IpAddr::V6(ip) => is_global_v6(ip),
    }
}

fn is_global_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, ..)           // this network, private, loopback
            | (100, 64..=127, _)     // carrier-grade NAT
            | (169, 254, _)          // link-local, cloud metadata
            | (172, 16..=31, _)      // private
            | (192, 0, 0 | 2)        // protocol assignments, documentation
            | (192, 88, 99)          // 6to4 relays
            | (192, 168, _)          // private
            | (198, 18..=19, _)      // benchmarks
            | (198, 51, 100)         // documentation
            | (203, 0, 113)          // documentation
            | (224.., ..) // multicast, reserved, broadcast
    )
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    // Outside 2000::/3 nothing is global: unspecified, loopback, IPv4-mapped and -compatible, NAT64, unique-local,
    // link-local, multicast.
    let unicast = first & 0xe000 == 0x2000;
    let special = matches!(
        (first, second),
        (0x2001, 0x0000..=0x01ff)       // protocol assignments: Teredo, benchmarks, ORCHID
            | (0x2001, 0x0db8)          // documentation
            | (0x2002, _)               // 6to4
            | (0x3fff, 0x0000..=0x0fff) // documentation
    );
    unicast && !special
}

/// A name that may not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to no public address")]
pub struct NotGlobal;

/// Names looked up at once: each holds a thread until the system's resolver gives up.
const AT_ONCE: usize = 16;
/// Time that a call waits for a name.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time for which the addresses of a name are used again, and for which a name without any is not looked up again.
const FRESH: Duration = Duration::from_secs(30);
const FRESH_FAILURE: Duration = Duration::from_secs(5);
/// Names that are kept at most.
const MAX_NAMES: usize = 4_096;

/// A name that was not found in time.
#[derive(Debug, thiserror::Error)]
#[error("the name was not found within {} seconds", PATIENCE.as_secs())]
pub struct TooSlow;

/// A name that was not found just before.
#[derive(Debug, thiserror::Error)]
#[error("the name could not be resolved a moment ago")]
pub struct NotFoundLately;

/// The system's resolver, with every address checked unless this is a local network. Few names are looked up at once, and each
/// for a bounded time, since strangers choose them.
#[derive(Clone, Debug)]
pub struct Resolver {
    localnet: bool,
    places: Arc<Semaphore>,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Vec<SocketAddr>,
    until: Instant,
}

impl Resolver {
    /// A resolver; on a local network addresses of any kind will do.
    pub fn new(localnet: bool) -> Self {
        Self { localnet, places: Arc::new(Semaphore::new(AT_ONCE)), known: Arc::default() }
    }

    async fn find(self, name: String) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        if let Some(known) = self.known(&name) {
            return if known.is_empty() { Err(NotFoundLately.into()) } else { Ok(known) };
        }
        let place =
            tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned()).await.map_err(|_| TooSlow)??;
        let (own, asked) = (self.clone(), name.clone());
        // On its own: the place is taken for as long as the system looks, also when nobody waits any more.
        let looking = tokio::spawn(async move {
            let _place = place;
            let found = tokio::net::lookup_host((asked.as_str(), 0)).await;
            own.remember(&asked, found.as_ref().is_ok());
            found.map(Iterator::collect::<Vec<_>>)
        });
        let found = tokio::time::timeout(PATIENCE, looking).await.map_err(|_| TooSlow)???;
        let allowed: Vec<SocketAddr> =
            found.into_iter().filter(|address| self.localnet || is_global(address.ip())).collect();
        if allowed.is_empty() {
            return Err(NotGlobal.into());
        }
        self.keep(name, allowed.clone(), FRESH);
        Ok(allowed)
    }

    fn known(&self, name: &str) -> Option<Vec<SocketAddr>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name).filter(|known| Instant::now() < known.until).map(|known| known.addresses.clone())
    }

    /// Keeps for a moment that a name was not found.
    fn remember(&self, name: &str, found: bool) {
        if !found {
            self.keep(name.to_owned(), Vec::new(), FRESH_FAILURE);
        }
    }

    fn keep(&self, name: String, addresses: Vec<SocketAddr>, fresh: Duration) {
        // Addresses stay usable whoever panicked while holding them.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.len() >= MAX_NAMES {
            known.retain(|_, known| now < known.until);
        }
        if known.len() < MAX_NAMES {
            known.insert(name, Known { addresses, until: now + fresh });
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.clone().find(name.as_str().to_owned());
        Box::pin(async move { Ok(Box::new(found.await?.into_iter()) as Addrs) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_special_address_is_global() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "100::1",
            "100:0:0:1::1",
            "2001::1",
            "2001:0:4136:e378::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
            "ffff::1",
        ] {
            assert!(!is_global(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn the_addresses_beside_them_are() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "169.253.0.1",
            "169.255.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.0.3.1",
            "192.88.98.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "198.51.101.1",
            "203.0.112.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2a00:1450::1",
            "3ffe::1",
            "3fff:1000::1",
        ] {
            assert!(is_global(address.parse().unwrap()), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_does_not_resolve() {
        let refused = Resolver::new(false).resolve("localhost".parse().unwrap()).await;
        assert!(refused.err().unwrap().is::<NotGlobal>());
        assert!(Resolver::new(true).resolve("localhost".parse().unwrap()).await.is_ok());
    }

    #[tokio::test]
    async fn names_are_looked_up_few_at_once_and_kept_for_a_while() {
        let resolver = Resolver::new(true);
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_ok());
        let taken = resolver.places.clone().acquire_many_owned(AT_ONCE as u32).await.unwrap();
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_ok(), "it is known");
        tokio::time::pause();
        let waiting = resolver.resolve("other.invalid".parse().unwrap()).await;
        assert!(waiting.err().unwrap().is::<TooSlow>(), "nobody waits for ever for a place");
        tokio::time::resume();
        drop(taken);
        assert!(resolver.resolve("other.invalid".parse().unwrap()).await.is_err());
        assert!(resolver.resolve("other.invalid".parse().unwrap()).await.err().unwrap().is::<NotFoundLately>());
        (0..MAX_NAMES + 9).for_each(|n| resolver.keep(n.to_string(), Vec::new(), FRESH));
        assert!(resolver.known.lock().unwrap().len() <= MAX_NAMES);
    }
}
