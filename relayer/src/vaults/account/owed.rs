//! What a vault was charged and has not sealed, by kind of line: little of it may wait while its prices and keys hold.

use super::VaultAccount;
use crate::chain::KeySnapshot;
use std::collections::{BTreeSet, HashMap};
use steam_protocol::units::{MicroUsdc, Pico, Price};
use steam_protocol::{Address, Hash};

/// Kinds of lines that are told apart at most: more fill a transaction in any case.
const MOST_LINES: usize = 64;

/// A kind of line that the vault's next group will have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwedLine {
    /// The key's slot.
    pub slot: u8,
    /// The key's epoch.
    pub epoch: u32,
    /// The provider that is paid.
    pub provider: Address,
    /// The offer.
    pub offer: Address,
    /// The price version.
    pub version: u32,
    /// Whether it is of long prompts.
    pub long: bool,
    /// The relayer's fee.
    pub fee_bps: u16,
}

/// What may wait for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dust {
    /// Its fees.
    pub fees: Pico,
    /// Its lines.
    pub lines: BTreeSet<OwedLine>,
    /// Whether a key of it may pay some providers alone, which takes room for proofs.
    pub listed: bool,
}

/// What its owner had granted a key when it was first charged for what it owes.
type Granted = (MicroUsdc, MicroUsdc, Price, u16, Option<Hash>);

fn granted(key: &KeySnapshot) -> Granted {
    (key.limit_total, key.window_limit, key.max_price, key.max_fee_bps, key.allow_root)
}

/// The lines that are owed.
#[derive(Default)]
pub(super) struct Owed {
    lines: BTreeSet<OwedLine>,
    /// By epoch.
    granted: HashMap<u32, Granted>,
    /// Whether there are lines of which nothing is known: the ledger had them at the start, or they are too many.
    unknown: bool,
}

impl Owed {
    /// There is something of which nothing else is known.
    pub fn unknown(&mut self) {
        self.unknown = true;
    }
}

impl VaultAccount {
    /// A charge is of this line.
    pub fn owes(&mut self, line: OwedLine) {
        let key = self.snapshot.keys.iter().find(|key| key.epoch == line.epoch).map(granted);
        let owed = &mut self.owed;
        if let Some(key) = key {
            owed.granted.entry(line.epoch).or_insert(key);
        }
        owed.unknown |= owed.lines.len() >= MOST_LINES;
        if !owed.unknown {
            owed.lines.insert(line);
        }
    }

    /// Forgets the lines once nothing is owed.
    pub(super) fn forget_owed(&mut self) {
        if self.unsettled.open() == Pico::ZERO {
            self.owed = Owed::default();
        }
    }

    /// What is charged and not sealed, if it may wait: its fees, of `fee_bps` basis points, come to less than `least`, its owner
    /// withdraws nothing, and its keys are in force at `now` as they were when they were charged.
    pub fn dust(&self, least: MicroUsdc, fee_bps: u16, now: i64) -> Option<Dust> {
        let open = self.unsettled.open();
        let bps = u128::from(fee_bps);
        let fees = Pico(open.0.saturating_mul(bps) / (10_000 + bps));
        let leaving = self.snapshot.pending_withdrawal > MicroUsdc(0) || self.drains_until >= self.snapshot.slot;
        if fees >= least.pico() || leaving || self.owed.unknown {
            return None;
        }
        let mut listed = false;
        for epoch in self.unsettled.open_epochs() {
            let key = self.snapshot.keys.iter().find(|key| key.epoch == epoch)?;
            let ends = key.revoked_at != 0 || key.expires <= now;
            if ends || self.owed.granted.get(&epoch) != Some(&granted(key)) {
                return None;
            }
            listed |= key.allow_root.is_some();
        }
        Some(Dust { fees, lines: self.owed.lines.clone(), listed })
    }
}
