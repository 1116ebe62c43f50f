//! Groups: what a vault is charged at a time. One is sealed once and keeps its place in its vault's hash chain; batches and
//! attempts come and go around it until the chain has applied it.

use super::unsettled::Totals;
use super::{ChargeId, Ledger, LedgerError, StoredVoucher};
use crate::chain::Pubkey;
use borsh::{BorshDeserialize, BorshSerialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use steam_protocol::allow_list::Membership;
use steam_protocol::group::{GroupHeader, ResolvedCharge, next_hash};
use steam_protocol::units::{Pico, Usage};
use steam_protocol::{Address, Hash};

/// One charge line of a group: what one key used of one offer at one price version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SealedLine {
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
    /// Sums of the receipts.
    pub usage: Usage,
}

/// A sealed group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedGroup {
    /// The vault charged.
    pub vault: Pubkey,
    /// Its generation.
    pub generation: u64,
    /// The group's place in the vault's chain.
    pub seq: u32,
    /// Receipts in it; none in a void one.
    pub receipts: u32,
    /// The relayer's fee.
    pub fee_bps: u16,
    /// The chain's head once this is applied.
    pub hash: Hash,
    /// By slot, ascending.
    pub vouchers: Vec<(u8, StoredVoucher)>,
    /// What is charged.
    pub lines: Vec<SealedLine>,
    /// That the providers paid are in their keys' allow-lists, as [`steam_protocol::batch::Group`] has them.
    pub memberships: Vec<Membership>,
}

/// What came of sealing a vault.
#[derive(Clone, Debug)]
pub enum GroupState {
    /// There is nothing to seal, or a group is under way.
    Idle,
    /// A group was sealed.
    Sealed(SealedGroup, Totals),
    /// The chain's head is before what this ledger knows to be final: the reading is old.
    Behind,
    /// The chain's head is no group of this ledger.
    Halted,
}

/// A vault that has charges to seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenVault {
    /// The vault.
    pub vault: Pubkey,
    /// Its generation.
    pub generation: u64,
    /// The charges, in the order of their numbers.
    pub charges: Vec<ChargeId>,
    /// When the request of the first of them began, in Unix milliseconds.
    pub began_ms: i64,
    /// How often charges had been quarantined or opened again before.
    pub(crate) disturbances: i64,
}

/// What is left to settle.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pending {
    /// Groups settled since the ledger began.
    pub settled_groups: u64,
    /// Groups sealed and not settled.
    pub open_groups: u64,
    /// Receipts not known to be settled.
    pub receipts: u64,
}

impl SealedGroup {
    /// A group of no charges.
    pub(crate) fn empty(vault: Pubkey, generation: u64, seq: u32) -> Self {
        Self {
            vault,
            generation,
            seq,
            receipts: 0,
            fee_bps: 0,
            hash: Hash::default(),
            vouchers: Vec::new(),
            lines: Vec::new(),
            memberships: Vec::new(),
        }
    }

    /// The chain's head once this is applied after `previous`.
    pub(super) fn hash_after(&self, previous: &Hash) -> Hash {
        let header = GroupHeader {
            vault: self.vault.to_bytes(),
            generation: self.generation,
            seq: self.seq,
            receipts: self.receipts,
            fee_bps: self.fee_bps,
        };
        hash_of(&header, &self.lines, previous)
    }
}

/// The next group of a vault, of charges that were found open, before it is written.
pub(crate) struct Gathered {
    pub group: SealedGroup,
    pub totals: Totals,
    /// The chain's head before it, as the ledger has it.
    pub previous: Hash,
    pub charges: Vec<ChargeId>,
    /// See [`OpenVault::disturbances`].
    pub disturbances: i64,
    /// By epoch, what the charges say of each key.
    pub keys: BTreeMap<u32, KeySums>,
    /// A number above all of theirs.
    pub next_number: i64,
}

/// What is known of a session key: what its receipts come to, and the voucher that allows most.
#[derive(Clone, Copy)]
pub(crate) struct KeySums {
    pub cumulative: Pico,
    pub voucher: StoredVoucher,
}

impl KeySums {
    /// Takes over what a charge of the key says.
    pub fn raise(&mut self, cumulative: Pico, voucher: StoredVoucher) {
        self.cumulative = self.cumulative.max(cumulative);
        self.voucher.raise(voucher);
    }
}

/// The command of [`Ledger::seal`].
pub(crate) struct Seal {
    /// The vault's finalized head on chain: seq and hash.
    pub head: (u32, Hash),
    pub gathered: Gathered,
    /// How many of the charges are given the group's seq at once; the others by [`Mark`].
    pub at_once: usize,
}

/// The command that gives charges of a sealed group its seq.
pub(crate) struct Mark {
    pub seq: u32,
    pub charges: Vec<ChargeId>,
}

/// Charges of a sealed group that are to be given its seq.
pub(crate) struct Unmarked {
    pub vault: Pubkey,
    pub generation: u64,
    pub seq: u32,
    pub charges: Vec<ChargeId>,
}

/// The command of [`Ledger::abandon_group`].
pub(crate) struct AbandonGroup {
    pub group: SealedGroup,
    pub reason: &'static str,
    pub now_ms: i64,
}

/// The command of [`Ledger::abandon_charges`].
pub(crate) struct AbandonCharges {
    pub vault: Pubkey,
    pub generation: u64,
    pub reason: &'static str,
    pub now_ms: i64,
}

impl Ledger {
    /// Seals the next group of a vault whose finalized head has `head`'s seq and hash: takes charges in the order of their
    /// numbers as long as `fits` says that the group still fits a transaction. They are gathered beside the writer, which
    /// others wait for. Durable when it returns.
    ///
    /// A group is sealed in one step, and its charges are given its seq in several, so that what is charged meanwhile need not
    /// wait for all of them. Until then they are the vault's first open charges, as many as the group lacks.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn seal(
        &self,
        open: OpenVault,
        head: (u32, Hash),
        fits: impl Fn(&SealedGroup) -> bool + Send + 'static,
    ) -> Result<GroupState, LedgerError> {
        let gathered = match self.read(move |store| store.gather(&open, head, &fits)).await? {
            ControlFlow::Continue(gathered) => gathered,
            ControlFlow::Break(state) => return Ok(state),
        };
        let at_once = self.marked_at_once;
        let charges = gathered.charges.get(at_once..).unwrap_or_default().to_vec();
        let state = self.write(Seal { head, gathered, at_once }).await?;
        if let GroupState::Sealed(group, _) = &state
            && let Err(error) = self.mark(group.seq, &charges).await
        {
            // It is sealed all the same, and settles once `finish_sealing` has done the rest.
            self.half_sealed.store(true, Ordering::Release);
            tracing::warn!(vault = %group.vault, seq = group.seq, %error, "a group is not wholly sealed yet");
        }
        Ok(state)
    }

    /// Gives the charges of sealed groups their seq that have none since the process or the disk failed meanwhile. To be called
    /// before [`Self::load`].
    ///
    /// # Errors
    /// [`LedgerError::Database`], or [`LedgerError::Malformed`] if a group has more charges than there are.
    pub async fn finish_sealing(&self) -> Result<(), LedgerError> {
        if !self.half_sealed.load(Ordering::Acquire) {
            return Ok(());
        }
        for unmarked in self.read(|store| store.unmarked()).await? {
            self.mark(unmarked.seq, &unmarked.charges).await?;
        }
        self.half_sealed.store(false, Ordering::Release);
        Ok(())
    }

    async fn mark(&self, seq: u32, charges: &[ChargeId]) -> Result<(), LedgerError> {
        for charges in charges.chunks(self.marked_at_once) {
            self.write(Mark { seq, charges: charges.to_vec() }).await?;
        }
        Ok(())
    }

    /// Groups that are wholly sealed and in no batch, due at block `height`, by vault.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn unbatched(&self, height: u64) -> Result<Vec<SealedGroup>, LedgerError> {
        self.read(move |store| store.unbatched(height)).await
    }

    /// Gives up a group in no batch whose vault's generation is gone, and quarantines its charges with `reason`.
    ///
    /// # Errors
    /// [`LedgerError::Database`]; [`LedgerError::Refused`] if it is in a batch or was settled.
    pub async fn abandon_group(
        &self,
        group: &SealedGroup,
        reason: &'static str,
        now_ms: i64,
    ) -> Result<(), LedgerError> {
        self.write(AbandonGroup { group: group.clone(), reason, now_ms }).await
    }

    /// Quarantines what was never sealed of a vault's generation that is gone. Returns how many charges.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn abandon_charges(
        &self,
        (vault, generation): (Pubkey, u64),
        reason: &'static str,
        now_ms: i64,
    ) -> Result<usize, LedgerError> {
        self.write(AbandonCharges { vault, generation, reason, now_ms }).await
    }

    /// Sealed groups that do not settle though they are tried, and why.
    ///
    /// # Errors
    /// [`LedgerError::Database`] or [`LedgerError::Malformed`].
    pub async fn waiting(&self) -> Result<Vec<(SealedGroup, String)>, LedgerError> {
        self.read(|store| store.waiting()).await
    }

    /// What is left to settle.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn pending(&self) -> Result<Pending, LedgerError> {
        let half_sealed = self.half_sealed.load(Ordering::Acquire);
        self.read(move |store| {
            let pending = store.pending()?;
            // What a sealed group lacks is counted with it and as open.
            let lacking: usize =
                if half_sealed { store.unmarked()?.iter().map(|group| group.charges.len()).sum() } else { 0 };
            Ok(Pending { receipts: pending.receipts.saturating_sub(lacking as u64), ..pending })
        })
        .await
    }

    /// Vaults that have charges to seal, and which.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub async fn vaults_to_seal(&self) -> Result<Vec<OpenVault>, LedgerError> {
        self.read(|store| store.vaults_to_seal()).await
    }
}

/// The chain's head after a group of `lines`, whose head before was `previous`.
pub(super) fn hash_of(header: &GroupHeader, lines: &[SealedLine], previous: &Hash) -> Hash {
    let charges = lines.iter().map(|l| ResolvedCharge {
        slot: l.slot,
        offer: l.offer,
        version: l.version,
        long: l.long,
        usage: l.usage,
    });
    next_hash(previous, header, charges)
}
