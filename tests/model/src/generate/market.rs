//! Relayers, providers and their offers.

use super::Chooser;
use crate::cast::{Holder, MODELS, Mint, Name, PROVIDERS, Purse, RELAYERS, SETTLERS, Wallet, model_name};
use crate::model::offer::{MAX_PRICE, RETIRED};
use crate::model::provider::MAX_NAME;
use crate::model::relayer::{MAX_FEE_BPS, MAX_URL, status};
use crate::op::{Ix, Price, ProviderUpdate, RelayerUpdate, Tariff, Terms};
use rand::Rng;

impl<R: Rng> Chooser<'_, R> {
    /// So many bytes, or none, or one too many.
    fn text(&mut self, longest: usize) -> String {
        let len = match self.rng.random_range(0..10) {
            0 => 1,
            1 => longest,
            _ => self.rng.random_range(1..=longest),
        };
        let len = self.or(len, |chooser| if chooser.percent(50) { 0 } else { longest + 1 });
        let letter = char::from(self.rng.random_range(b'a'..=b'z'));
        std::iter::repeat_n(letter, len).collect()
    }

    fn receipt_key(&mut self) -> [u8; 32] {
        let key = [self.rng.random_range(1..20); 32];
        self.or(key, |_| [0; 32])
    }

    fn fee(&mut self) -> u16 {
        let fee = match self.rng.random_range(0..10) {
            0 => 0,
            1 => MAX_FEE_BPS,
            _ => self.rng.random_range(0..1_000),
        };
        self.or(fee, |_| MAX_FEE_BPS + 1)
    }

    fn settler(&mut self) -> Wallet {
        Wallet::Settler(self.rng.random_range(0..SETTLERS))
    }

    pub(super) fn register_relayer(&mut self) -> Ix {
        let all: Vec<u8> = (0..RELAYERS).collect();
        let relayer = self.fitting(&all, |n| !self.state.relayers.contains_key(n)).unwrap_or_default();
        let (payer, settler, receipt_key) = (self.payer(), self.settler(), self.receipt_key());
        Ix::RegisterRelayer { relayer, payer, settler, receipt_key, fee_bps: self.fee(), url: self.text(MAX_URL) }
    }

    pub(super) fn update_relayer(&mut self) -> Option<Ix> {
        let all: Vec<u8> = self.state.relayers.keys().copied().collect();
        let n = self.one(&all)?;
        let known = &self.state.relayers[&n];
        let (key, current) = (known.receipt_key, known.fee.rolled(self.state.now).current);
        let mut update = RelayerUpdate::default();
        if self.percent(25) {
            update.settler = Some(self.settler());
        }
        if self.percent(30) {
            let new = self.receipt_key();
            update.receipt_key = Some(self.or(new, |_| key));
        }
        if self.percent(50) {
            let new = self.fee();
            update.fee_bps = Some(if self.percent(15) { current } else { new });
        }
        if self.percent(20) {
            update.url = Some(self.text(MAX_URL));
        }
        if self.percent(20) {
            update.retired = Some(self.percent(50));
        }
        let relayer = self.or(Name::Relayer(n), Self::elsewhere);
        Some(Ix::UpdateRelayer { authority: self.signer(Wallet::Relayer(n)), relayer, update })
    }

    pub(super) fn register_provider(&mut self) -> Ix {
        let all: Vec<u8> = (0..PROVIDERS).collect();
        let provider = self.fitting(&all, |n| !self.state.providers.contains_key(n)).unwrap_or_default();
        Ix::RegisterProvider { provider, payer: self.payer(), name: self.text(MAX_NAME), url: self.text(MAX_URL) }
    }

    fn registered_provider(&mut self) -> Option<u8> {
        let all: Vec<u8> = self.state.providers.keys().copied().collect();
        self.one(&all)
    }

    pub(super) fn update_provider(&mut self) -> Option<Ix> {
        let n = self.registered_provider()?;
        let mut update = ProviderUpdate::default();
        if self.percent(30) {
            update.name = Some(self.text(MAX_NAME));
        }
        if self.percent(30) {
            update.url = Some(self.text(MAX_URL));
        }
        if self.percent(50) {
            update.retired = Some(self.percent(30));
        }
        let provider = self.or(Name::Provider(n), Self::elsewhere);
        Some(Ix::UpdateProvider { authority: self.signer(Wallet::Provider(n)), provider, update })
    }

    pub(super) fn suspend_provider(&mut self) -> Option<Ix> {
        let guardian = self.wallet_at(self.state.config.as_ref()?.guardian);
        let n = self.registered_provider()?;
        let is = self.state.providers[&n].status == status::SUSPENDED;
        // Most are let go soon.
        if !is && self.percent(40) {
            return None;
        }
        let provider = self.or(Name::Provider(n), Self::elsewhere);
        Some(Ix::SuspendProvider { guardian: self.signer(guardian), provider, suspended: self.or(!is, |_| is) })
    }

    /// What to take of so much.
    pub(super) fn amount(&mut self, held: u64) -> u64 {
        let some = match self.rng.random_range(0..4) {
            0 => u64::MAX,
            1 => held,
            _ => self.rng.random_range(0..=held),
        };
        self.or(some, |chooser| if chooser.percent(50) { 0 } else { held + 1 })
    }

    /// Where dollars may go, or may not.
    pub(super) fn destination(&mut self, right: Wallet, source: Purse) -> Purse {
        self.or(right.dollars(), |chooser| match chooser.rng.random_range(0..3) {
            0 => source,
            1 => Holder::Wallet(Wallet::Owner(0)).purse(Mint::Shell),
            _ => Holder::Wallet(Wallet::Owner(0)).purse(Mint::Bead),
        })
    }

    pub(super) fn withdraw_earnings(&mut self) -> Option<Ix> {
        let provider = self.registered_provider()?;
        let source = Holder::Provider(provider).dollars();
        let amount = self.amount(self.state.holding(source)?.amount);
        let destination = self.destination(Wallet::Provider(provider), source);
        let authority = self.signer(Wallet::Provider(provider));
        Some(Ix::WithdrawEarnings { authority, provider, destination, amount })
    }

    pub(super) fn withdraw_fees(&mut self) -> Option<Ix> {
        let all: Vec<u8> = self.state.relayers.keys().copied().collect();
        let relayer = self.one(&all)?;
        let source = Holder::Relayer(relayer).dollars();
        let amount = self.amount(self.state.holding(source)?.amount);
        let destination = self.destination(Wallet::Relayer(relayer), source);
        let authority = self.signer(Wallet::Relayer(relayer));
        Some(Ix::WithdrawFees { authority, relayer, destination, amount })
    }

    /// A price near the one that holds, or any other.
    fn price(&mut self, current: Option<Price>) -> Price {
        let unit = |chooser: &mut Self| match chooser.rng.random_range(0..12) {
            0 => 0,
            1 => chooser.rng.random_range(0..=50_000_000),
            _ => chooser.rng.random_range(0..8_000_000),
        };
        let input = unit(self);
        let price = Price {
            input,
            cached: self.rng.random_range(0..=input),
            cache_write: unit(self),
            cache_write_long: unit(self),
            output: unit(self),
            request: self.rng.random_range(0..2_000),
        };
        let price = match (current, self.rng.random_range(0..10)) {
            (Some(current), 0..2) => current,
            (Some(current), 2..5) => Price { output: current.output / 2, request: current.request / 2, ..current },
            (Some(current), 5..7) => Price { output: current.output.saturating_add(1_000).min(MAX_PRICE), ..current },
            (_, 7) if self.percent(10) => Price { cached: 0, ..Price::even(MAX_PRICE) },
            (_, 7) if self.percent(60) => Price { request: MAX_PRICE, ..price },
            _ => price,
        };
        self.or(price, |chooser| match chooser.rng.random_range(0..6) {
            0 => Price { cached: price.input + 1, ..price },
            4 => Price { cache_write: MAX_PRICE + 1, ..price },
            5 => Price { cache_write_long: MAX_PRICE + 1, ..price },
            1 => Price { input: MAX_PRICE + 1, ..price },
            2 => Price { output: MAX_PRICE + 1, ..price },
            _ => Price { request: MAX_PRICE + 1, ..price },
        })
    }

    /// Prices near those that hold, or any others.
    fn tariff(&mut self, current: Option<Tariff>) -> Tariff {
        let price = self.price(current.map(|current| current.price));
        let above = |chooser: &mut Self, price: Price| {
            let factor = chooser.rng.random_range(1..4);
            let more = |component: u64| component.saturating_mul(factor).min(MAX_PRICE);
            Price {
                input: more(price.input),
                cached: more(price.cached),
                cache_write: more(price.cache_write),
                cache_write_long: more(price.cache_write_long),
                output: more(price.output),
                request: more(price.request),
            }
        };
        let tariff = match (current, self.rng.random_range(0..8)) {
            (Some(current), 0..3) => Tariff { price, ..current },
            (Some(current), 3) => Tariff { long_from: current.long_from.saturating_mul(2), ..current },
            (Some(current), 4) if current.long_from > 1 => Tariff { long_from: current.long_from - 1, ..current },
            (_, 5) => Tariff { price, ..Tariff::default() },
            _ => Tariff { price, long_from: self.rng.random_range(1..300), long_price: above(self, price) },
        };
        // The price may have been raised above that of long prompts.
        let beneath = tariff.long_from == 0 || tariff.price.within(&tariff.long_price) || self.hostile;
        let tariff = if beneath { tariff } else { Tariff { long_price: above(self, tariff.price), ..tariff } };
        self.or(tariff, |chooser| match chooser.rng.random_range(0..3) {
            0 => Tariff { long_from: 0, long_price: Price::even(1), ..tariff },
            1 => Tariff { long_from: 1, long_price: Price { output: 0, ..tariff.price }, ..tariff },
            _ => Tariff { long_from: 1, long_price: Price::even(MAX_PRICE + 1), ..tariff },
        })
    }

    pub(super) fn put_offer(&mut self) -> Option<Ix> {
        let all: Vec<u8> = self.state.providers.keys().copied().collect();
        let provider = self.fitting(&all, |n| self.state.providers[n].status == status::ACTIVE)?;
        let offer = self.rng.random_range(0..MODELS);
        let known = self.state.offers.get(&(provider, offer));
        let tariff = self.tariff(known.map(|known| known.rolled(self.state.now).current.tariff()));
        let context_limit = self.rng.random_range(0..1_000_000);
        let output_limit = self.rng.random_range(0..=context_limit);
        let terms = Terms {
            tariff,
            context_limit,
            output_limit: self.or(output_limit, |_| context_limit + 1),
            capabilities: self.rng.random(),
        };
        // A bad name at its own address, or a name at another's.
        let offer = self.or(offer, |chooser| MODELS + chooser.rng.random_range(0..5));
        let model = self.or(model_name(offer), |chooser| model_name(chooser.rng.random_range(0..MODELS)));
        let model = if self.percent(20) { model.to_ascii_uppercase() } else { model };
        let authority = self.signer(Wallet::Provider(provider));
        Some(Ix::PutOffer { authority, payer: self.payer(), provider, offer, model, terms })
    }

    pub(super) fn retire_offer(&mut self) -> Option<Ix> {
        let all: Vec<(u8, u8)> = self.state.offers.keys().copied().collect();
        let (provider, model) = self.fitting(&all, |at| self.state.offers[at].status != RETIRED)?;
        // An offer that goes on is worth more to the run.
        if self.percent(40) {
            return None;
        }
        let offer = self.or(Name::Offer(provider, model), Self::elsewhere);
        Some(Ix::RetireOffer { authority: self.signer(Wallet::Provider(provider)), provider, offer })
    }

    pub(super) fn close_offer(&mut self) -> Option<Ix> {
        let all: Vec<(u8, u8)> = self.state.offers.keys().copied().collect();
        let now = self.state.now;
        let over = |at: &(u8, u8)| {
            let offer = &self.state.offers[at];
            let settles = offer.status != RETIRED || !now.is_past(offer.settle_until);
            !settles && now.time > i64::from(offer.last_version)
        };
        let at = self.fitting(&all, over)?;
        let rent_payer = self.wallet_at(self.state.offers[&at].rent_payer);
        let authority = self.signer(Wallet::Provider(at.0));
        let offer = self.or(Name::Offer(at.0, at.1), Self::elsewhere);
        Some(Ix::CloseOffer { authority, rent_payer: self.signer(rent_payer), provider: at.0, offer })
    }

    pub(super) fn close_provider(&mut self) -> Option<Ix> {
        let all: Vec<u8> = self.state.providers.keys().copied().collect();
        let with_earnings = self.hostile && self.percent(50);
        let empty = |n: &u8| {
            let held = self.state.holding(Holder::Provider(*n).dollars()).map_or(0, |held| held.amount);
            self.state.providers[n].offers == 0
                && (held == 0 || with_earnings)
                && self.state.providers[n].status != status::SUSPENDED
        };
        let n = self.fitting(&all, empty)?;
        let rent_payer = self.wallet_at(self.state.providers[&n].rent_payer);
        let token = self.or(Holder::Provider(n).dollars(), |chooser| {
            Holder::Provider(chooser.rng.random_range(0..PROVIDERS)).dollars()
        });
        let provider = self.or(Name::Provider(n), Self::elsewhere);
        let authority = self.signer(Wallet::Provider(n));
        Some(Ix::CloseProvider { authority, rent_payer: self.signer(rent_payer), provider, token })
    }
}
