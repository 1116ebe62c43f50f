//! What must hold whatever happens, read from the chain alone: the model is not asked.

use crate::cast::{Holder, Mint, Name, Purse, Wallet, address, purses, vaults, wallets};
use crate::chain::Chain;
use crate::model::config::Config;
use crate::model::vault::{ALL, Vault};
use crate::op::{Call, Ix, Op, Settlement};
use crate::time::Moment;
use crate::wire::{decode, holding};
use solana_account::ReadableAccount;
use std::collections::{BTreeMap, BTreeSet};

/// Pico-dollars in a micro-dollar.
const MICRO: u128 = 1_000_000;

/// What the chain held a step ago, and what it must never do again.
pub struct Watch {
    purses: BTreeMap<Purse, u64>,
    vaults: BTreeMap<(u8, u8), Vault>,
    /// The generation of the last vault of each address that was closed.
    closed: BTreeMap<(u8, u8), u64>,
    /// Groups that have settled: vault, generation, seq.
    settled: BTreeSet<((u8, u8), u64, u32)>,
    /// µUSDC that left each vault by settlement.
    left: BTreeMap<((u8, u8), u64), u128>,
}

fn balances(chain: &Chain) -> BTreeMap<Purse, u64> {
    let held = |purse| Some((purse, holding(chain.account(Name::Purse(purse))?.data())?.amount));
    purses().into_iter().filter_map(held).collect()
}

fn open_vaults(chain: &Chain) -> BTreeMap<(u8, u8), Vault> {
    let open = |(owner, relayer)| {
        let account = chain.account(Name::Vault(owner, relayer))?;
        Some(((owner, relayer), decode("Vault", account.data())?))
    };
    vaults().filter_map(open).collect()
}

fn funds((owner, relayer): (u8, u8)) -> Purse {
    Holder::Vault(owner, relayer).dollars()
}

fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Watch {
    /// Begins to watch.
    pub fn new(chain: &Chain) -> Self {
        Self {
            purses: balances(chain),
            vaults: open_vaults(chain),
            closed: BTreeMap::new(),
            settled: BTreeSet::new(),
            left: BTreeMap::new(),
        }
    }

    /// Looks at the chain after an operation. Returns how many groups it applied and skipped.
    ///
    /// # Errors
    /// What does not hold.
    pub fn check(&mut self, chain: &Chain, op: &Op, accepted: bool) -> Result<(u64, u64), String> {
        let (purses, vaults) = (balances(chain), open_vaults(chain));
        conserved(chain, &purses)?;
        for (at, vault) in &vaults {
            let Some(before) = self.vaults.get(at) else { continue };
            within_limits(before, vault, chain.now()).map_err(|broken| format!("{at:?}: {broken}"))?;
        }
        let mut groups = (0, 0);
        if let Op::Call(call) = op {
            ensure(accepted || (purses == self.purses && vaults == self.vaults), || "refused, but it changed".into())?;
            if let Ix::SettleBatch(batch) = &call.ix {
                groups = self.settlement(batch, &purses, &vaults)?;
                groups.1 *= u64::from(accepted);
            } else {
                self.others(call, &purses, &vaults)?;
            }
        } else {
            ensure(vaults == self.vaults, || "a vault changed by itself".into())?;
        }
        self.generations(&vaults)?;
        (self.purses, self.vaults) = (purses, vaults);
        Ok(groups)
    }

    /// Tokens of a settlement go from the relayer's vaults to providers and to the relayer, each group once.
    fn settlement(
        &mut self,
        batch: &Settlement,
        purses: &BTreeMap<Purse, u64>,
        vaults: &BTreeMap<(u8, u8), Vault>,
    ) -> Result<(u64, u64), String> {
        let mut applied = 0;
        for (at, vault) in vaults {
            let Some(before) = self.vaults.get(at) else { return Err(format!("{at:?} was opened")) };
            let purse = funds(*at);
            let lost = self.purses[&purse].checked_sub(purses[&purse]).ok_or("a settlement fills a vault")?;
            if before.settle_seq == vault.settle_seq {
                ensure(lost == 0 && before == vault, || format!("{at:?} changed without a group"))?;
                continue;
            }
            applied += 1;
            ensure(vault.settle_seq == before.settle_seq + 1, || format!("{at:?} skips a seq"))?;
            ensure(vault.relayer == address(Name::Relayer(batch.relayer)), || format!("{at:?} is another relayer's"))?;
            let fresh = self.settled.insert((*at, vault.generation, vault.settle_seq));
            ensure(fresh, || format!("{at:?}: group {} settled twice", vault.settle_seq))?;
            let left = self.left.entry((*at, vault.generation)).or_default();
            *left += u128::from(lost);
            let owed = vault.settled_pico / MICRO + vault.fee_pico / MICRO;
            ensure(*left == owed, || format!("{at:?}: {left} left for {owed}"))?;
            within_vouchers(batch, *at, before, vault)?;
        }
        ensure(self.vaults.keys().eq(vaults.keys()), || "a settlement closes a vault".into())?;
        for (purse, now) in purses {
            let gained = *now > self.purses[purse];
            let paid = matches!(purse.of, Holder::Provider(_)) || purse.of == Holder::Relayer(batch.relayer);
            ensure(!gained || (paid && !purse.spare), || format!("a settlement pays {purse:?}"))?;
        }
        Ok((applied, batch.groups.len() as u64 - applied.min(batch.groups.len() as u64)))
    }

    /// Without a settlement a vault's funds move only by its owner's word, and no counter of settlement does.
    fn others(
        &self,
        call: &Call,
        purses: &BTreeMap<Purse, u64>,
        vaults: &BTreeMap<(u8, u8), Vault>,
    ) -> Result<(), String> {
        for (at, before) in &self.vaults {
            let purse = funds(*at);
            let fell = purses.get(&purse).copied().unwrap_or_default() < self.purses[&purse];
            let by_owner = match &call.ix {
                Ix::ExecuteWithdraw { owner, .. } | Ix::CloseVault { owner, .. } => Some(owner),
                Ix::WithdrawNow(asked) => Some(&asked.owner),
                _ => None,
            }
            .is_some_and(|owner| owner.address() == before.owner && call.unsigned != Some(0));
            ensure(!fell || by_owner, || format!("{at:?} loses money"))?;
            if let Some(after) = vaults.get(at).filter(|after| after.generation == before.generation) {
                let counters = |vault: &Vault| {
                    (vault.settle_seq, vault.settle_hash, vault.settled_pico, vault.fee_pico, vault.receipts_settled)
                };
                ensure(counters(before) == counters(after), || format!("{at:?} settles without a settlement"))?;
            }
        }
        Ok(())
    }

    /// The vaults of one address have ever higher generations.
    fn generations(&mut self, vaults: &BTreeMap<(u8, u8), Vault>) -> Result<(), String> {
        for (at, before) in &self.vaults {
            if vaults.get(at).is_none_or(|after| after.generation != before.generation) {
                self.closed.insert(*at, before.generation);
            }
        }
        for (at, vault) in vaults {
            let last = self.closed.get(at);
            let known = self.vaults.get(at).is_some_and(|before| before.generation == vault.generation);
            ensure(known || last.is_none_or(|last| *last < vault.generation), || {
                format!("{at:?} repeats a generation")
            })?;
        }
        Ok(())
    }
}

/// Every token there is was issued.
fn conserved(chain: &Chain, purses: &BTreeMap<Purse, u64>) -> Result<(), String> {
    for mint in Mint::ALL {
        let data = chain.account(Name::Mint(mint)).map(|account| account.data().to_vec()).unwrap_or_default();
        let supply = data.get(36..44).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let held: u64 = purses.iter().filter(|(purse, _)| purse.mint == mint).map(|(_, held)| held).sum();
        ensure(supply == Some(held), || format!("{held} of {supply:?} {mint:?}s are left"))?;
    }
    Ok(())
}

/// No key is charged beyond what its vault's owner granted when it is charged.
///
/// # Errors
/// Which one is.
pub fn within_limits(before: &Vault, after: &Vault, now: Moment) -> Result<(), String> {
    for (was, is) in before.keys.iter().zip(&after.keys).filter(|(was, is)| is.settled_pico > was.settled_pico) {
        let limits = was.limits_now(now);
        let total = is.settled_pico <= u128::from(limits.total) * MICRO;
        let window = is.window_seconds == 0 || is.window_spent <= u128::from(limits.window) * MICRO;
        ensure(total && window, || format!("charged beyond a limit: {is:?}"))?;
    }
    Ok(())
}

/// No key has been charged beyond what it signed, and no key was charged without its voucher.
///
/// # Errors
/// Which one was.
pub fn within_vouchers(batch: &Settlement, at: (u8, u8), before: &Vault, after: &Vault) -> Result<(), String> {
    let group = batch.vaults.iter().zip(&batch.groups).find(|((name, _), _)| *name == Name::Vault(at.0, at.1));
    let Some((_, group)) = group else { return Err(format!("{at:?} settles without a group")) };
    for (slot, (was, is)) in (0..).zip(before.keys.iter().zip(&after.keys)) {
        if was == is {
            continue;
        }
        let voucher = group.vouchers.iter().find(|voucher| voucher.slot == slot);
        let Some(voucher) = voucher else { return Err(format!("{at:?}: slot {slot} is charged without a voucher")) };
        let said = voucher.signed;
        let signed = is.key == Wallet::Key(said.key).address()
            && !said.spoilt
            && said.vault == Name::Vault(at.0, at.1)
            && (said.generation, said.epoch) == (after.generation, is.epoch);
        ensure(signed, || format!("{at:?}: slot {slot} did not sign {said:?}"))?;
        ensure(is.settled_pico <= u128::from(said.authorized) * MICRO, || {
            format!("{at:?}: slot {slot} signed {} and is charged {}", said.authorized, is.settled_pico)
        })?;
    }
    Ok(())
}

/// Every owner can leave with everything, alone, within the withdraw delay, unless the mint's issuer froze the account. Tried
/// on a copy of the chain. Returns how many did.
///
/// # Errors
/// Who cannot, and why.
pub fn everybody_can_leave(chain: &Chain) -> Result<u64, String> {
    let mut chain = chain.clone();
    let vaults = open_vaults(&chain);
    let Some(config) = chain.account(Name::Config).and_then(|account| decode::<Config>("Config", account.data()))
    else {
        return Ok(0);
    };
    let send = |chain: &mut Chain, what: &str, at: &(u8, u8), ix: Ix| {
        let call = Op::Call(Call { ix, unsigned: None, nonce: false });
        chain.apply(&call).map_err(|failure| format!("{at:?} cannot {what}: {failure:?}"))
    };
    for at in vaults.keys() {
        let (owner, vault) = (Wallet::Owner(at.0), Name::Vault(at.0, at.1));
        send(&mut chain, "request", at, Ix::RequestWithdraw { owner, vault, amount: ALL })?;
    }
    let (now, delay) = (chain.now(), config.delays.withdraw_delay);
    chain.set_clock(Moment { time: now.time + i64::from(delay.seconds), slot: now.slot + u64::from(delay.slots) });
    let mut left = 0;
    for at in vaults.keys() {
        let (owner, vault, token) = (Wallet::Owner(at.0), Name::Vault(at.0, at.1), funds(*at));
        let held = chain.account(Name::Purse(token)).and_then(|account| holding(account.data()));
        let Some(held) = held else { return Err(format!("{at:?} has no token account")) };
        if held.frozen {
            continue;
        }
        let destination = Purse { of: Holder::Wallet(owner), mint: Mint::Dollar, spare: true };
        chain.make_purse(destination);
        let before = chain.account(Name::Purse(destination)).and_then(|account| holding(account.data()));
        send(&mut chain, "leave", at, Ix::ExecuteWithdraw { owner, vault, token, destination })?;
        let after = chain.account(Name::Purse(destination)).and_then(|account| holding(account.data()));
        let gained = after.zip(before).map(|(after, before)| after.amount - before.amount);
        ensure(gained == Some(held.amount), || format!("{at:?} leaves with {gained:?} of {}", held.amount))?;
        // What is empty closes without another delay.
        let rent_payer = wallets().into_iter().find(|wallet| wallet.address() == vaults[at].rent_payer);
        let Some(rent_payer) = rent_payer else { return Err(format!("{at:?}: a stranger paid the rent")) };
        send(&mut chain, "close", at, Ix::CloseVault { owner, rent_payer, vault, token, destination })?;
        left += 1;
    }
    Ok(left)
}
