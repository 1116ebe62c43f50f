//! Time, and money that people move.

use super::Chooser;
use crate::cast::{Holder, Mint, Name, Purse, names, purses};
use crate::op::Op;
use crate::time::Deadline;
use rand::Rng;

/// No jump is longer.
const LONGEST: u64 = 1 << 22;

impl<R: Rng> Chooser<'_, R> {
    pub(super) fn world(&mut self) -> Op {
        match self.rng.random_range(0..100) {
            0..45 => self.advance(),
            45..76 => self.deposit(),
            76..86 => self.donate(),
            86..92 => self.freeze(),
            92..97 => self.give(),
            _ => self.make_purse(),
        }
    }

    fn advance(&mut self) -> Op {
        let deadlines = self.deadlines();
        if self.percent(50)
            && let Some(deadline) = self.one(&deadlines)
        {
            return self.advance_to(deadline);
        }
        // Seconds and slots pass together, mostly.
        let (seconds, slots) = match self.rng.random_range(0..10) {
            0..6 => (self.rng.random_range(0..4), self.rng.random_range(0..8)),
            6 => (self.rng.random_range(0..120), 0),
            7 => (0, self.rng.random_range(0..240)),
            _ => (self.rng.random_range(0..60), self.rng.random_range(0..120)),
        };
        Op::Advance { seconds, slots }
    }

    /// To where a deadline passes, or a second or a slot short of it.
    fn advance_to(&mut self, deadline: Deadline) -> Op {
        let seconds = u64::try_from(deadline.time.saturating_sub(self.state.now.time)).unwrap_or_default().min(LONGEST);
        let slots = deadline.slot.saturating_sub(self.state.now.slot).min(LONGEST);
        let (early_s, early_b) = match self.rng.random_range(0..10) {
            0 => (1, 0),
            1 => (0, 1),
            _ => (0, 0),
        };
        Op::Advance { seconds: seconds.saturating_sub(early_s) as u32, slots: slots.saturating_sub(early_b) as u32 }
    }

    /// Everything that waits for its time.
    fn deadlines(&self) -> Vec<Deadline> {
        let state = self.state;
        let mut all = Vec::new();
        if let Some(config) = &state.config {
            all.extend([config.paused_until, config.next_pause_from]);
        }
        for relayer in state.relayers.values() {
            all.extend([relayer.fee.previous_until, relayer.fee.next_from, relayer.fee.current_until]);
        }
        for offer in state.offers.values() {
            all.extend([offer.previous_until, offer.current_until, offer.next.from, offer.settle_until]);
        }
        for vault in state.vaults.values() {
            all.push(vault.unlock_at);
            for key in vault.keys.iter().filter(|key| key.is_used()) {
                let window = key.window_start.saturating_add(key.window_seconds.into());
                all.extend([key.settle_until, key.former_until]);
                all.extend([key.expires, window].map(|time| Deadline { time, slot: state.now.slot }));
            }
        }
        all.retain(|deadline| !self.is_past(*deadline) && deadline.time < i64::MAX / 2);
        all
    }

    fn deposit(&mut self) -> Op {
        let vaults = self.open_vaults();
        let Some((owner, relayer)) = self.one(&vaults) else { return self.donate() };
        let amount = match self.rng.random_range(0..10) {
            0..3 => self.rng.random_range(1..2_000),
            3..9 => self.rng.random_range(100_000..30_000_000),
            _ => 1 << 40,
        };
        Op::Issue { to: Holder::Vault(owner, relayer).dollars(), amount }
    }

    /// To anybody; most often to a vault, in tokens that are not its funds.
    fn donate(&mut self) -> Op {
        let there: Vec<Purse> = self.state.purses.keys().copied().collect();
        let vaults = self.open_vaults();
        if self.percent(60)
            && let Some((owner, relayer)) = self.one(&vaults)
        {
            if self.percent(20) {
                return self.nest(owner, relayer);
            }
            let (of, spare) = (Holder::Vault(owner, relayer), self.percent(30));
            let mint = if spare || self.percent(50) { Mint::Dollar } else { Mint::Bead };
            let mint = if !spare && mint == Mint::Dollar { Mint::Shell } else { mint };
            let to = Purse { of, mint, spare };
            let made = self.state.holding(to).is_some();
            let amount = self.rng.random_range(1..5_000_000);
            return if made { Op::Issue { to, amount } } else { Op::MakePurse { purse: to } };
        }
        match self.one(&there) {
            Some(to) => Op::Issue { to, amount: self.rng.random_range(1..5_000_000) },
            None => self.make_purse(),
        }
    }

    /// To the associated account of a token account, a vault's or a provider's.
    fn nest(&mut self, owner: u8, relayer: u8) -> Op {
        let providers: Vec<u8> = self.state.providers.keys().copied().collect();
        let of = match self.one(&providers) {
            Some(provider) if self.percent(50) => Holder::Earnings(provider),
            _ => Holder::Funds(owner, relayer),
        };
        let to = of.dollars();
        let made = self.state.holding(to).is_some();
        if made { Op::Issue { to, amount: self.rng.random_range(1..5_000_000) } } else { Op::MakePurse { purse: to } }
    }

    fn freeze(&mut self) -> Op {
        let held = |frozen| self.state.purses.iter().filter(move |(_, held)| held.frozen == frozen);
        let (frozen, thawed): (Vec<Purse>, Vec<Purse>) =
            (held(true).map(|(purse, _)| *purse).collect(), held(false).map(|(purse, _)| *purse).collect());
        // Frozen accounts are rare and do not stay so for long.
        let thaw = frozen.len() > 2 || self.percent(50);
        match self.one(if thaw { &frozen } else { &thawed }) {
            Some(purse) => Op::Freeze { purse, frozen: !thaw },
            None => self.advance(),
        }
    }

    fn give(&mut self) -> Op {
        let to: Vec<Name> =
            names().into_iter().filter(|name| !matches!(name, Name::Mint(_) | Name::Wallet(_))).collect();
        let vaults: Vec<Name> =
            self.open_vaults().into_iter().map(|(owner, relayer)| Name::Vault(owner, relayer)).collect();
        let to = if self.percent(60) { self.one(&vaults) } else { self.one(&to) };
        match to {
            Some(to) => Op::Give { to, lamports: self.rng.random_range(500_000..30_000_000) },
            None => self.advance(),
        }
    }

    fn make_purse(&mut self) -> Op {
        let all: Vec<Purse> = purses()
            .into_iter()
            .filter(|purse| purse.mint != Mint::Dollar || purse.spare || self.state.now.slot > 3)
            .collect();
        match self.one(&all) {
            Some(purse) => Op::MakePurse { purse },
            None => self.advance(),
        }
    }
}
