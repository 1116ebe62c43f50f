//! With whom the operator deals: what the configuration allows, and which origins have proved whose they are. Both may change
//! while the relayer runs; a request sees one state of them.

use crate::chain::Pubkey;
use crate::config::Market as Policy;
use crate::registry::Offer;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// That an origin names a provider as one that may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The offer's URL when it was proved.
    pub url: String,
    /// The origin's host, with its port if it is not the usual one: the provider's public name.
    pub host: Arc<str>,
    /// The offer's model as the provider itself calls it, if the origin says so.
    pub model: Option<Arc<str>>,
}

/// The proofs of offers, by the offer's address.
pub type Proofs = HashMap<Pubkey, Proof>;

/// What is known of the market, shared by all requests.
#[derive(Debug)]
pub struct Market {
    state: RwLock<MarketView>,
}

/// The market as one request sees it.
#[derive(Clone, Debug)]
pub struct MarketView {
    policy: Arc<Policy>,
    proofs: Arc<Proofs>,
}

impl Market {
    /// A market in which nobody has proved anything.
    pub fn new(policy: Policy) -> Self {
        Self { state: RwLock::new(MarketView { policy: Arc::new(policy), proofs: Arc::default() }) }
    }

    /// The market as it is now.
    pub fn view(&self) -> MarketView {
        // Two pointers are usable whoever panicked while holding them.
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over another policy.
    pub fn reload(&self, policy: Policy) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).policy = Arc::new(policy);
    }

    /// Takes over what is proved now.
    pub fn prove(&self, proofs: Proofs) {
        self.state.write().unwrap_or_else(PoisonError::into_inner).proofs = Arc::new(proofs);
    }
}

impl MarketView {
    /// Whether `other` is the same state, not merely an equal one.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.policy, &other.policy) && Arc::ptr_eq(&self.proofs, &other.proofs)
    }

    /// What the operator says.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The proof of `offer`, if its origin names its provider.
    pub fn proof(&self, offer: &Offer) -> Option<&Proof> {
        self.proofs.get(&offer.address).filter(|proof| proof.url == offer.url)
    }

    /// The reason why `offer` is asked by nobody, if there is one. Offers without proof are let through if `unproved` are.
    pub fn bars(&self, offer: &Offer, unproved: bool) -> Option<String> {
        if let Some(reason) = self.policy.denies(offer) {
            return Some(reason.to_owned());
        }
        let proved = !self.policy.verify_origins || self.policy.trusts(&offer.provider) || self.proof(offer).is_some();
        (!proved && !unproved).then(|| {
            "is not verified: /.well-known/steam-provider.json of its origin does not name its provider".to_owned()
        })
    }
}
