//! Breakers of single vaults: whatever a provider fails a vault with, that vault asks others first. Nobody else notices.

use super::ask::Gate;
use super::breaker::Breaker;
use super::outcome::Outcome;
use crate::chain::Pubkey;
use std::collections::HashMap;

/// Vaults with failures that are remembered at most.
const MAX_VAULTS: usize = 8_192;
/// Providers' offers that are remembered of a vault at most.
const MAX_OFFERS: usize = 32;
/// Seconds after which a failure is forgotten.
const FORGET: f64 = 600.0;

/// What an offer did to one vault.
#[derive(Clone, Copy, Debug)]
struct Own {
    offer: Pubkey,
    breaker: Breaker,
    failed_at: f64,
}

impl Own {
    /// Whether the failure still counts: for a time, and until the requests that its breaker waits for have passed, however
    /// seldom they come.
    fn counts(&self, now: f64) -> bool {
        now - self.failed_at < FORGET || self.breaker.waits_for_requests()
    }
}

/// The breakers of all vaults that saw failures lately.
#[derive(Debug, Default)]
pub(super) struct OwnBreakers {
    by_vault: HashMap<Pubkey, Vec<Own>>,
}

impl OwnBreakers {
    /// Vaults that are remembered.
    pub(super) fn len(&self) -> usize {
        self.by_vault.len()
    }

    /// Whether `vault` saw any failure lately.
    pub(super) fn any(&self, vault: &Pubkey) -> bool {
        self.by_vault.contains_key(vault)
    }

    /// The gate of `offer` for a request of `vault`. An offer that served others since may be tried again without a pause, but
    /// not by every request: it may fail this vault alone.
    pub(super) fn gate(&mut self, vault: &Pubkey, offer: &Pubkey, served_others_at: f64, now: f64) -> Gate {
        let Some(own) = self.find_mut(vault, offer, now) else { return Gate::Closed };
        let breaker = &mut own.breaker;
        let soon = own.failed_at < served_others_at && breaker.cooldown(now).is_none() && !breaker.waits_for_requests();
        match breaker.state(now) {
            Gate::Open if soon => Gate::HalfOpen,
            Gate::Open => {
                breaker.passed();
                Gate::Open
            }
            gate @ (Gate::Closed | Gate::HalfOpen) => gate,
        }
    }

    /// What is left of the cooldown that `offer` asked `vault` for, in seconds.
    pub(super) fn cooldown(&self, vault: &Pubkey, offer: &Pubkey, now: f64) -> Option<f64> {
        self.find(vault, offer, now)?.breaker.cooldown(now)
    }

    pub(super) fn started(&mut self, vault: &Pubkey, offer: &Pubkey) {
        let known = self.by_vault.get_mut(vault).and_then(|owns| owns.iter_mut().find(|own| own.offer == *offer));
        if let Some(own) = known {
            own.breaker.started();
        }
    }

    pub(super) fn ended(&mut self, vault: &Pubkey, offer: &Pubkey, outcome: &Outcome, now: f64) {
        match outcome {
            Outcome::Served { .. } => self.served(vault, offer),
            Outcome::Failed { kind, retry_after } => {
                let own = self.entry(vault, offer, now);
                own.failed_at = now;
                // A provider at its limit serves others meanwhile.
                if kind.is_rate_limit() && retry_after.is_none() {
                    own.breaker.neutral();
                } else {
                    own.breaker.failed(now, retry_after.map(|wait| wait.as_secs_f64()), kind.counts_as(1.0));
                }
            }
            Outcome::Overtaken { .. } | Outcome::Neutral => {
                let known =
                    self.by_vault.get_mut(vault).and_then(|owns| owns.iter_mut().find(|own| own.offer == *offer));
                if let Some(own) = known {
                    own.breaker.neutral();
                }
            }
        }
    }

    fn served(&mut self, vault: &Pubkey, offer: &Pubkey) {
        let Some(owns) = self.by_vault.get_mut(vault) else { return };
        owns.retain(|own| own.offer != *offer);
        if owns.is_empty() {
            self.by_vault.remove(vault);
        }
    }

    fn find(&self, vault: &Pubkey, offer: &Pubkey, now: f64) -> Option<&Own> {
        self.by_vault.get(vault)?.iter().find(|own| own.offer == *offer && own.counts(now))
    }

    fn find_mut(&mut self, vault: &Pubkey, offer: &Pubkey, now: f64) -> Option<&mut Own> {
        self.by_vault.get_mut(vault)?.iter_mut().find(|own| own.offer == *offer && own.counts(now))
    }

    fn entry(&mut self, vault: &Pubkey, offer: &Pubkey, now: f64) -> &mut Own {
        if self.by_vault.len() >= MAX_VAULTS && !self.by_vault.contains_key(vault) {
            self.forget(now);
        }
        let owns = self.by_vault.entry(*vault).or_default();
        owns.retain(|own| own.offer == *offer || own.counts(now));
        let place = owns.iter().position(|own| own.offer == *offer).unwrap_or_else(|| {
            if owns.len() >= MAX_OFFERS {
                owns.remove(0);
            }
            owns.push(Own { offer: *offer, breaker: Breaker::default(), failed_at: now });
            owns.len() - 1
        });
        &mut owns[place]
    }

    /// Makes room: forgets what is old, and if nothing is, everything.
    fn forget(&mut self, now: f64) {
        self.by_vault.retain(|_, owns| owns.iter().any(|own| own.counts(now)));
        if self.by_vault.len() >= MAX_VAULTS {
            self.by_vault.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::FailureKind;

    const FAILED: Outcome = Outcome::Failed { kind: FailureKind::Empty, retry_after: None };
    const NEVER: f64 = f64::NEG_INFINITY;

    fn at(seed: u16) -> Pubkey {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&seed.to_le_bytes());
        Pubkey::new_from_array(bytes)
    }

    #[test]
    fn what_one_vault_suffers_is_its_own() {
        let mut owns = OwnBreakers::default();
        for _ in 0..2 {
            owns.ended(&at(1), &at(9), &FAILED, 0.0);
        }
        assert_eq!(owns.gate(&at(1), &at(9), NEVER, 1.0), Gate::Open);
        assert_eq!(owns.gate(&at(2), &at(9), NEVER, 1.0), Gate::Closed, "another vault");
        assert_eq!(owns.gate(&at(1), &at(8), NEVER, 1.0), Gate::Closed, "another offer");
        assert_eq!(owns.gate(&at(1), &at(9), 0.5, 1.0), Gate::HalfOpen, "it served others since");
        assert_eq!(owns.gate(&at(1), &at(9), NEVER, FORGET), Gate::Closed, "time passed");
    }

    #[test]
    fn who_fails_one_vault_alone_is_tried_again_by_ever_fewer_of_its_requests() {
        let mut owns = OwnBreakers::default();
        let vault_asks = |owns: &mut OwnBreakers, now: f64| {
            // Others are served all the time.
            let tried = owns.gate(&at(1), &at(9), now - 0.5, now) != Gate::Open;
            if tried {
                owns.started(&at(1), &at(9));
                owns.ended(&at(1), &at(9), &FAILED, now);
            }
            tried
        };
        let tries = |owns: &mut OwnBreakers, from: u32| {
            (from..from + 100).filter(|n| vault_asks(owns, f64::from(*n) * 60.0)).count()
        };
        let (first, later) = (tries(&mut owns, 0), tries(&mut owns, 100));
        assert!(first <= 10 && (3..=4).contains(&later), "{first} of the first hundred, {later} of the next");
    }

    #[test]
    fn many_vaults_and_offers_do_not_fill_memory() {
        let mut owns = OwnBreakers::default();
        for vault in 0..MAX_VAULTS as u16 + 10 {
            owns.ended(&at(vault), &at(9), &FAILED, 0.0);
        }
        for offer in 0..100 {
            owns.ended(&at(1), &at(offer), &FAILED, 0.0);
        }
        assert!(owns.by_vault.len() <= MAX_VAULTS);
        assert!(owns.by_vault.values().all(|owns| owns.len() <= MAX_OFFERS));
    }
}
