//! Which vaults are settled now, and which wait: dust waits as long as its prices and keys hold, and fills transactions that are
//! paid for anyway. Vaults whose fees cover their share of a transaction wait a while for others that share it.

use super::form::{Form, Weight};
use crate::chain::{Pubkey, SettlementAccounts};
use crate::config::SettleConfig;
use crate::ledger::{OpenVault, SealedGroup, SealedLine, StoredVoucher};
use crate::registry::Registry;
use crate::vaults::{Dust, OwedLine, Vaults};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use steam_protocol::Address;
use steam_protocol::units::{MicroUsdc, Pico, Usage};

/// So many shares pay for a transaction: vaults whose fees come to less together wait for company, at most so long.
const COMPANY: u64 = 8;
const COMPANY_MS: i64 = 600_000;
/// Groups that are due in one round beyond which nothing is looked for to fill them: there is enough to fill them with.
const MOST_DUE: usize = 48;
/// Vaults that are tried in a row, and in all, to find one that still fits.
const MOST_MISSES: usize = 8;
const MOST_TRIES: usize = 96;

/// What is known of vaults that waited, from one round to the next.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Since when a price of an offer or the relayer's fee does not hold any more that something is owed at, in Unix milliseconds.
    replaced: HashMap<(Address, u32), i64>,
    /// Vaults that waited in the last round.
    waited: HashSet<Pubkey>,
    /// Since when each vault is due.
    since: HashMap<Pubkey, i64>,
    /// When somebody was due last.
    last_ms: Option<i64>,
}

/// The vaults of a round that have charges.
#[derive(Debug, Default)]
pub struct Sorted {
    /// Those that are settled now.
    pub due: Vec<OpenVault>,
    /// Those that may wait.
    pub dust: Vec<Waits>,
}

/// A vault that may wait.
#[derive(Debug)]
pub struct Waits {
    open: OpenVault,
    dust: Dust,
    /// Whether a price of it was replaced: it cannot wait for long.
    hurries: bool,
}

impl Waiting {
    /// Sorts the vaults that have charges at `now`, in Unix milliseconds. Those whose fees cover a transaction are due, those that
    /// waited as long as they may, and all to which something was charged at a price that was replaced `replaced` ago. Those whose
    /// fees cover their share are due with them, or once they cover a transaction together, or if nobody was due for a while. The
    /// ledger says since when a vault waits, so that a restart does not let it wait anew; a clock that was set back lets nothing
    /// wait.
    pub fn sort(
        &mut self,
        (vaults, config, replaced): (&Vaults, &SettleConfig, Duration),
        registry: &Registry,
        open: Vec<OpenVault>,
        now: i64,
    ) -> Sorted {
        let share = MicroUsdc(config.min_fee_microusdc);
        let whole = MicroUsdc(share.0.saturating_mul(COMPANY));
        let longest = millis(Duration::from_secs(config.dust_seconds));
        let prices: HashMap<Address, u32> =
            registry.offers.iter().map(|offer| (offer.address.to_bytes(), offer.version)).collect();
        let holds = |line: &OwedLine| {
            prices.get(&line.offer) == Some(&line.version) && line.fee_bps == registry.relayer.fee_bps
        };
        let (known, waited) = (std::mem::take(&mut self.replaced), std::mem::take(&mut self.waited));
        let mut sorted = Sorted::default();
        let due = |open: OpenVault, since: &mut HashMap<Pubkey, i64>, sorted: &mut Sorted| {
            since.entry(open.vault).or_insert(if waited.contains(&open.vault) { now } else { open.began_ms });
            sorted.due.push(open);
        };
        for open in open {
            let in_time = (0..longest).contains(&now.saturating_sub(open.began_ms));
            let dust = vaults.dust(&open.vault, open.generation, whole).filter(|_| in_time);
            let Some(dust) = dust else {
                due(open, &mut self.since, &mut sorted);
                continue;
            };
            let mut since = None;
            for line in dust.lines.iter().filter(|line| !holds(line)) {
                let key = (line.offer, line.version);
                let at = *self.replaced.entry(key).or_insert(known.get(&key).copied().unwrap_or(now));
                since = Some(since.map_or(at, |earlier: i64| earlier.min(at)));
            }
            if since.is_some_and(|since| !(0..millis(replaced)).contains(&now.saturating_sub(since))) {
                due(open, &mut self.since, &mut sorted);
            } else {
                self.waited.insert(open.vault);
                sorted.dust.push(Waits { open, dust, hurries: since.is_some() });
            }
        }
        let (ripe, dust): (Vec<Waits>, _) = sorted.dust.drain(..).partition(|waits| waits.dust.fees >= share.pico());
        sorted.dust = dust;
        let together = ripe.iter().fold(0, |sum: u128, waits| sum.saturating_add(waits.dust.fees.0));
        let long_ago = self.last_ms.is_none_or(|last| !(0..COMPANY_MS).contains(&now.saturating_sub(last)));
        if !sorted.due.is_empty() || together >= whole.pico().0 || long_ago {
            for waits in ripe {
                self.waited.remove(&waits.open.vault);
                due(waits.open, &mut self.since, &mut sorted);
            }
        } else {
            sorted.dust.extend(ripe);
        }
        if !sorted.due.is_empty() {
            self.last_ms = Some(now);
        }
        sorted
    }

    /// When the oldest became due of the charges that are not settled: of those of `sealed` groups, which each began when it says,
    /// and of `due` vaults.
    pub fn oldest_ms(&mut self, sealed: &[(Pubkey, i64)], due: &HashSet<Pubkey>) -> Option<i64> {
        let open: HashSet<Pubkey> = sealed.iter().map(|(vault, _)| *vault).chain(due.iter().copied()).collect();
        self.since.retain(|vault, _| open.contains(vault));
        let began = |(vault, began_ms): &(Pubkey, i64)| self.since.get(vault).copied().unwrap_or(*began_ms);
        let due = due.iter().filter_map(|vault| self.since.get(vault).copied());
        sealed.iter().map(began).chain(due).min()
    }
}

/// Those of `dust` that go into the transactions which settle the `sealed` groups, without making them more: first what cannot wait
/// for long, then what brings most.
pub fn filling(
    form: &Form,
    parties: &SettlementAccounts,
    sealed: &[SealedGroup],
    mut dust: Vec<Waits>,
) -> Vec<OpenVault> {
    if sealed.is_empty() || sealed.len() > MOST_DUE {
        return Vec::new();
    }
    let mut groups: BTreeMap<Pubkey, Weight> =
        sealed.iter().map(|group| (group.vault, Weight::of(parties, group))).collect();
    let count = |groups: &BTreeMap<Pubkey, Weight>| form.pack(parties, &groups.values().collect::<Vec<_>>()).len();
    let most = count(&groups);
    dust.retain(|waits| !waits.dust.listed && !groups.contains_key(&waits.open.vault));
    dust.sort_by_key(|waits| (!waits.hurries, Reverse(waits.dust.fees), waits.open.vault));
    let (mut taken, mut misses) = (Vec::new(), 0);
    for waits in dust.into_iter().take(MOST_TRIES) {
        let vault = waits.open.vault;
        groups.insert(vault, Weight::of(parties, &waits.group()));
        if count(&groups) > most {
            groups.remove(&vault);
            misses += 1;
            if misses >= MOST_MISSES {
                break;
            }
        } else {
            misses = 0;
            taken.push(waits.open);
        }
    }
    taken
}

impl Waits {
    /// A group as large as that which it will be sealed to.
    fn group(&self) -> SealedGroup {
        let blank = StoredVoucher { authorized: MicroUsdc(0), request_hash: [0; 32], signature: [0; 64] };
        let slots: BTreeMap<u8, StoredVoucher> = self.dust.lines.iter().map(|line| (line.slot, blank)).collect();
        let line = |line: &OwedLine| SealedLine {
            slot: line.slot,
            epoch: line.epoch,
            provider: line.provider,
            offer: line.offer,
            version: line.version,
            long: line.long,
            usage: Usage::default(),
        };
        SealedGroup {
            vault: self.open.vault,
            generation: self.open.generation,
            seq: 0,
            receipts: 0,
            fee_bps: 0,
            hash: [0; 32],
            vouchers: slots.into_iter().collect(),
            lines: self.dust.lines.iter().map(line).collect(),
            memberships: Vec::new(),
        }
    }

    /// Its fees.
    pub fn fees(&self) -> Pico {
        self.dust.fees
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
