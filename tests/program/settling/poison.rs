//! What cannot settle is set aside with the reason, nothing new is held on what it touches, everyone else settles, and a
//! person brings it to an end.

use super::*;
use steam::ledger::incidents::{Decision, Resolution};
use steam::ledger::resolve;
use steam::ledger::{Incident, Touches};
use steam::vaults::{Refusal, VaultUnavailable};
use steam_tests::chain::Stored;
use steam_tests::world::DELAYS;

/// Three vaults, each at an offer of its own, one request each.
async fn three() -> Scene {
    let mut s = Scene::open(3, 3, SettleConfig::default()).await;
    s.charge_all().await;
    s
}

impl Scene {
    /// What the chain says now.
    async fn look(&mut self) {
        let nodes = [self.node.clone() as Arc<dyn Rpc>];
        let addresses: Vec<Pubkey> = self.users.iter().map(|(vault, ..)| vault.address).collect();
        let parties = self.world.parties(&self.relayer);
        let seen = agreed_vaults(&nodes, &parties, &addresses).await.unwrap().vaults;
        self.vaults.update(&seen.values().cloned().collect::<Vec<_>>(), self.world.now().time, FEE_BPS);
    }

    /// Whether a vault may hold a cent more, by a request that is never made.
    async fn reserve(&mut self, n: usize) -> Result<(), Refusal> {
        self.look().await;
        let (vault, key, _) = &self.users[n];
        let generation = self.world.vault(&vault.address).generation;
        let public = key.keypair.pubkey().to_bytes();
        let at = KeyRef { vault: vault.address, generation, slot: 0, epoch: key.epoch, key: public };
        let consent = Consent::Bearer(steam_protocol::key::SessionKey::from_seed(key.keypair.secret_bytes()));
        self.vaults.reserve(&at, consent, [n as u8; 32], MicroUsdc(10_000).pico(), self.world.now().time).map(drop)
    }

    async fn incidents(&self) -> Vec<Incident> {
        self.ledger.incidents(false).await.unwrap()
    }

    /// Several rounds, with time for whatever has to be found out.
    async fn settle_long(&mut self) {
        for _ in 0..6 {
            self.settle().await;
        }
    }

    fn settled(&self, n: usize) -> u64 {
        self.world.vault(&self.users[n].0.address).receipts_settled
    }

    async fn decide(&self, incident: &Incident, resolution: Resolution) -> Result<(), String> {
        let decision = Decision { resolution, by: "ann".into(), note: "it was looked into".into(), at_ms: 5 };
        resolve(&self.files.path().join("steam.db"), &[incident.id], &decision).map_err(|error| error.to_string())
    }

    /// An offer as requests are routed by.
    fn routed(&self, n: usize) -> registry::Offer {
        let offer = &self.offers[n];
        registry::Offer {
            address: offer.address,
            provider: offer.provider,
            provider_name: "p".into(),
            provider_token: offer.token,
            url: "https://p".into(),
            model: "m".into(),
            price: Price::default().into(),
            version: offer.version,
            context_limit: 1,
            output_limit: 1,
            capabilities: 0,
        }
    }

    /// The first vault's charge is set aside and touches what is said; the others are settled.
    async fn only_the_first_is_aside(&mut self, touches: Touches, reason: &str) -> Incident {
        self.settle_long().await;
        assert_eq!([0, 1, 2].map(|n| self.settled(n)), [0, 1, 1], "everyone else settles");
        let incidents = self.incidents().await;
        assert_eq!(incidents.len(), 1, "{incidents:?}");
        let incident = incidents[0].clone();
        assert_eq!((incident.vault, incident.touches), (self.users[0].0.address, touches));
        assert_eq!((incident.receipts, incident.total), (1, MicroUsdc(CHARGE).pico()));
        assert!(incident.reason.contains(reason), "{}", incident.reason);
        let row = self.ledger.receipt("0-1").await.unwrap().unwrap();
        assert_eq!(row.status, format!("set aside: {}", incident.reason));
        incident
    }

    /// A decision to try again settles what can now settle.
    async fn retried(&mut self, incident: &Incident) {
        self.decide(incident, Resolution::Retried).await.unwrap();
        self.settle_long().await;
        assert!(self.incidents().await.is_empty());
        self.assert_everything_settled();
        self.reserve(0).await.unwrap();
        assert!((0..3).all(|n| !self.vaults.is_blocked(&self.routed(n))));
    }
}

#[tokio::test]
async fn a_frozen_provider_is_set_aside_until_it_is_retried() {
    let mut s = three().await;
    let token = s.offers[0].token;
    s.world.freeze(&token);
    let incident = s.only_the_first_is_aside(Touches::Provider, "frozen").await;
    assert_eq!([0, 1, 2].map(|n| s.vaults.is_blocked(&s.routed(n))), [true, false, false]);
    s.reserve(0).await.unwrap();
    // Tried again too early it is set aside again.
    s.decide(&incident, Resolution::Retried).await.unwrap();
    let again = s.only_the_first_is_aside(Touches::Provider, "frozen").await;
    assert!(again.id > incident.id);
    s.world.try_thaw(&token).ok();
    s.retried(&again).await;
}

#[tokio::test]
async fn a_provider_without_a_token_account_is_set_aside_until_it_is_retried() {
    let mut s = three().await;
    let token = s.offers[0].token;
    let account = s.world.account(&token).unwrap();
    s.world.set_account(&token, Stored::wallet());
    let incident = s.only_the_first_is_aside(Touches::Provider, "cannot be paid").await;
    assert!(s.vaults.is_blocked(&s.routed(0)));
    s.world.set_account(&token, account);
    s.retried(&incident).await;
}

#[tokio::test]
async fn charges_for_an_offer_that_was_retired_too_long_ago_are_set_aside_and_can_be_written_off() {
    let mut s = three().await;
    s.world.retire(&s.providers[0], &s.offers[0].model).ok();
    let grace = DELAYS.price_grace;
    s.world.advance(i64::from(grace.seconds) + 1, u64::from(grace.slots) + 1);
    let incident = s.only_the_first_is_aside(Touches::Offer, "").await;
    assert!(s.vaults.is_blocked(&s.routed(0)));
    let before = s.vaults.show(&s.users[0].0.address).unwrap();
    assert_eq!(before.unsettled_pico, MicroUsdc(CHARGE).pico().0.to_string(), "it may still be retried");
    s.decide(&incident, Resolution::WrittenOff).await.unwrap();
    let twice = s.decide(&incident, Resolution::WrittenOff).await.unwrap_err();
    assert!(twice.contains("resolved before"), "{twice}");
    s.settle_long().await;
    let after = s.vaults.show(&s.users[0].0.address).unwrap();
    assert_eq!((after.unsettled_pico.as_str(), after.available), ("0", 1_000_000_000), "the vault has its money back");
    assert_eq!(
        s.ledger.load(0).await.unwrap().vaults[&(incident.vault, incident.generation)].unsettled.total(),
        Pico::ZERO
    );
    assert!(!s.vaults.is_blocked(&s.routed(0)));
    assert_eq!(s.settled(0), 0);
    let resolved = s.ledger.incidents(true).await.unwrap().remove(0).resolved.unwrap();
    let told = (resolved.resolution.as_str(), resolved.by.as_str(), resolved.note.as_str(), resolved.at_ms);
    assert_eq!(told, ("written off", "ann", "it was looked into", 5));
    let status = s.ledger.receipt("0-1").await.unwrap().unwrap().status;
    assert!(status.starts_with("written off: "), "{status}");
}

#[tokio::test]
async fn charges_at_a_price_that_no_longer_settles_are_set_aside() {
    let mut s = three().await;
    s.world.put_price(&s.providers[0], &s.offers[0].model, price(4_000_000, 0, 0, 0)).ok();
    let wait = |s: &mut Scene, delay: steam_router::state::Delay| {
        s.world.advance(i64::from(delay.seconds) + 1, u64::from(delay.slots) + 1);
    };
    wait(&mut s, DELAYS.price_notice);
    wait(&mut s, DELAYS.price_grace);
    s.only_the_first_is_aside(Touches::Offer, "").await;
    assert_eq!([0, 1, 2].map(|n| s.vaults.is_blocked(&s.routed(n))), [true, false, false]);
}

#[tokio::test]
async fn a_suspended_providers_charges_settle() {
    let mut s = three().await;
    s.world.suspend(&s.providers[0], true).ok();
    s.settle_all().await;
    s.assert_everything_settled();
}

#[tokio::test]
async fn a_frozen_vault_waits_alone_and_settles_by_itself_once_it_is_thawed() {
    let mut s = three().await;
    let token = s.users[0].0.token;
    s.world.freeze(&token);
    s.settle_long().await;
    assert_eq!([0, 1, 2].map(|n| s.settled(n)), [0, 1, 1]);
    let waiting = s.ledger.waiting().await.unwrap();
    assert_eq!((waiting.len(), waiting[0].0.vault), (1, s.users[0].0.address));
    assert!(waiting[0].1.contains("frozen"), "{}", waiting[0].1);
    assert!(matches!(s.reserve(0).await, Err(Refusal::Blocked(_))));
    s.reserve(1).await.unwrap();
    s.world.try_thaw(&token).ok();
    s.world.advance(20_000, 20_000);
    s.settle_long().await;
    s.assert_everything_settled();
    s.reserve(0).await.unwrap();
    assert!(s.ledger.waiting().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_emptied_vault_waits_alone_and_settles_by_itself_once_it_holds_enough() {
    let mut s = three().await;
    let vault = &s.users[0].0;
    let nobody = s.world.wallet().pubkey();
    let purse = s.world.token_account(&nobody);
    s.world.request_withdraw(vault, usdc(999)).ok();
    let delay = DELAYS.withdraw_delay;
    s.world.advance(i64::from(delay.seconds) + 1, u64::from(delay.slots) + 1);
    s.world.execute_withdraw(&s.users[0].0, &purse).ok();
    s.settle_long().await;
    assert_eq!([0, 1, 2].map(|n| s.settled(n)), [0, 1, 1]);
    assert!(s.reserve(0).await.is_err());
    s.reserve(1).await.unwrap();
    s.world.deposit(&s.users[0].0, usdc(999));
    s.world.advance(20_000, 20_000);
    s.settle_long().await;
    s.assert_everything_settled();
    s.reserve(0).await.unwrap();
}

#[tokio::test]
async fn a_closing_vault_takes_no_new_holds_and_settles_what_it_owes() {
    let mut s = three().await;
    s.world.request_withdraw(&s.users[0].0, MicroUsdc(u64::MAX)).ok();
    assert!(matches!(s.reserve(0).await, Err(Refusal::Funds { .. })));
    s.settle_all().await;
    s.assert_everything_settled();
}

#[tokio::test]
async fn a_halted_vault_does_not_keep_its_batch_mates_waiting() {
    let mut s = three().await;
    // Somebody else has settled the first vault, with another ledger; the relayer finds out with its batch on the way.
    let (vault, key, _) = &s.users[0];
    let other = steam_tests::world::Line {
        key,
        offer: &s.offers[1],
        version: s.offers[1].version,
        long: false,
        usage: usage(1, 10, 0, 0),
    };
    let group = s.world.group(vault, &[other]);
    s.settler.round(Round::Resolve).await.unwrap();
    let open = s.ledger.vaults_to_seal().await.unwrap().into_iter().find(|open| open.vault == vault.address).unwrap();
    let sealed = s.ledger.seal(open, (0, [0; 32]), |_| true).await.unwrap();
    assert!(matches!(sealed, steam::ledger::GroupState::Sealed(..)));
    s.world.settle(&s.relayer, &[group]).ok();
    s.settle_long().await;
    assert_eq!([1, 2].map(|n| s.settled(n)), [1, 1], "everyone else settles");
    assert!(matches!(s.reserve(0).await, Err(Refusal::VaultUnavailable(VaultUnavailable::Halted))));
    assert_eq!(s.ledger.pending().await.unwrap().open_groups, 1);
    assert!(s.ledger.open_batches().await.unwrap().is_empty(), "and is not tried");
}

#[tokio::test]
async fn what_exceeds_a_keys_limit_is_set_aside_and_the_rest_of_its_line_settles() {
    let mut s = Scene::open(1, 1, SettleConfig::default()).await;
    for _ in 0..5 {
        s.charge_all().await;
    }
    let address = s.users[0].0.address;
    // Below what was admitted: no relayer sees that coming.
    s.world.edit_vault(&address, |vault| vault.keys[0].limits.total = 3 * CHARGE);
    for _ in 0..20 {
        s.settle().await;
    }
    assert_eq!(s.settled(0), 3);
    let incidents = s.incidents().await;
    assert_eq!(incidents.iter().map(|i| i.receipts).sum::<u64>(), 2);
    assert!(incidents.iter().all(|i| i.touches == Touches::Key), "{incidents:?}");
    assert!(matches!(s.reserve(0).await, Err(Refusal::Blocked(_))));
}

#[tokio::test]
async fn what_was_set_aside_stays_so_after_a_restart() {
    let mut s = three().await;
    s.world.freeze(&s.offers[0].token.clone());
    s.only_the_first_is_aside(Touches::Provider, "frozen").await;
    let report = s.ledger.load(0).await.unwrap().incidents;
    assert!(report.blocks.providers.contains(&s.offers[0].provider));
    assert_eq!(report.open, 1);
}
