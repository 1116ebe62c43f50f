//! With whom the operator deals, and on what terms.

use crate::chain::Pubkey;
use crate::registry::Offer;
use serde::{Deserialize, Serialize};

/// With whom the operator deals, and on what terms. `SIGHUP` reads it anew.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Market {
    /// Least that a vault must be able to pay beyond what is charged and held for its requests to be taken, in µUSDC.
    pub min_vault_microusdc: u64,
    /// Whether offers are asked that may cost nothing for a request: their requests pay no fee.
    pub free: bool,
    /// Most offers of a model that are compared for one request.
    pub max_candidates: usize,
    /// Whether an offer is asked only if its origin names its provider in `/.well-known/steam-provider.json`.
    pub verify_origins: bool,
    /// Addresses of providers that are asked without such a proof.
    pub trusted_providers: Vec<String>,
    /// Share of the requests for which offers without proof are compared as well, in percent.
    pub unverified_percent: f64,
    /// Most requests at once to an offer that is new to this relayer.
    pub new_offer_requests: u32,
    /// Hosts of providers, like `api.example.com` or `api.example.com:8443`, that alone are asked; none is all.
    pub allow_hosts: Vec<String>,
    /// Hosts of providers that are not asked.
    pub deny_hosts: Vec<String>,
    /// Addresses of providers that alone are asked; none is all.
    pub allow_providers: Vec<String>,
    /// Addresses of providers that are not asked.
    pub deny_providers: Vec<String>,
    /// Models that alone are served; none is all.
    pub allow_models: Vec<String>,
    /// Models that are not served.
    pub deny_models: Vec<String>,
}

impl Default for Market {
    fn default() -> Self {
        Self {
            min_vault_microusdc: 10_000,
            free: false,
            max_candidates: 64,
            verify_origins: true,
            trusted_providers: Vec::new(),
            unverified_percent: 0.0,
            new_offer_requests: 16,
            allow_hosts: Vec::new(),
            deny_hosts: Vec::new(),
            allow_providers: Vec::new(),
            deny_providers: Vec::new(),
            allow_models: Vec::new(),
            deny_models: Vec::new(),
        }
    }
}

impl Market {
    /// Whether `provider` needs no proof.
    pub fn trusts(&self, provider: &Pubkey) -> bool {
        names(&self.trusted_providers, provider)
    }

    /// The reason why the operator does not deal with `offer`, if there is one.
    pub fn denies(&self, offer: &Offer) -> Option<&'static str> {
        let lists = (&self.allow_hosts[..], &self.deny_hosts[..]);
        if ruled_out(lists, |listed| host_of(&offer.url).eq_ignore_ascii_case(listed)) {
            return Some("is at a host that the operator of this relayer does not deal with");
        }
        let barred = !self.allow_providers.is_empty() && !names(&self.allow_providers, &offer.provider);
        if barred || names(&self.deny_providers, &offer.provider) {
            return Some("is a provider that the operator of this relayer does not deal with");
        }
        let lists = (&self.allow_models[..], &self.deny_models[..]);
        if ruled_out(lists, |listed| offer.model.eq_ignore_ascii_case(listed)) {
            return Some("offers a model that the operator of this relayer does not serve");
        }
        None
    }
}

fn ruled_out((allowed, denied): (&[String], &[String]), is: impl Fn(&str) -> bool) -> bool {
    (!allowed.is_empty() && !allowed.iter().any(|listed| is(listed))) || denied.iter().any(|listed| is(listed))
}

/// Whether a list of addresses has `address`. Most lists are empty, and an address is written out only for others.
fn names(list: &[String], address: &Pubkey) -> bool {
    !list.is_empty() && list.contains(&address.to_string())
}

/// Host and port of a URL, as they stand in it.
pub fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::testing::offer;

    #[test]
    fn the_operator_decides_by_host_provider_and_model() {
        let one = Offer { url: "https://API.example.com:8443/v1".into(), ..offer("a", 1) };
        let (address, other) = (one.provider.to_string(), offer("b", 2).provider.to_string());
        let denied = |change: &dyn Fn(&mut Market)| {
            let mut market = Market::default();
            change(&mut market);
            market.denies(&one)
        };
        assert_eq!(denied(&|_| {}), None);
        assert_eq!(denied(&|m| m.allow_hosts = vec!["api.example.com:8443".into()]), None);
        assert!(denied(&|m| m.allow_hosts = vec!["api.example.com".into()]).unwrap().contains("host"));
        assert!(denied(&|m| m.deny_hosts = vec!["api.example.com:8443".into()]).unwrap().contains("host"));
        assert_eq!(denied(&|m| m.allow_providers = vec![other.clone(), address.clone()]), None);
        assert!(denied(&|m| m.allow_providers = vec![other.clone()]).unwrap().contains("provider"));
        assert!(denied(&|m| m.deny_providers = vec![address.clone()]).unwrap().contains("provider"));
        assert_eq!(denied(&|m| m.allow_models = vec!["M".into()]), None);
        assert!(denied(&|m| m.allow_models = vec!["n".into()]).unwrap().contains("model"));
        assert!(denied(&|m| m.deny_models = vec!["m".into()]).unwrap().contains("model"));
    }
}
