//! Openings of vaults that the relayer pays for, so that a wallet with USDC and without SOL gets in. The owner and the new key sign first,
//! and the relayer signs last and sends by itself: nobody holds a signature of the sponsor that may be used later or never. What it
//! pays is rehearsed before, counted durably before its signature leaves, and counts until it is known not to have been taken.
//! Its rent comes back to the sponsor when the vault is closed, as the program has it.

mod shape;

pub use shape::InvalidOpening;

use super::opening::Opening;
use super::{Gateway, GatewayError};
use crate::chain::Pubkey;
use crate::chain::quorum::ask;
use crate::chain::rpc::{Rehearsal, Simulation};
use crate::clock::Clock;
use crate::config::Sponsoring;
use crate::ledger::{
    Cap, Counted, Ledger, LedgerError, SPONSORED_DAY_MS, SponsorCaps, SponsoredOpening, SponsoredSums,
};
use crate::node::budget::Budget;
use crate::settle::{SettleError, agreed};
use solana_keypair::Keypair;
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use steam_protocol::units::MicroUsdc;
use steam_router::state::{Vault, VaultWithKeys};
use tokio::time::Instant;

/// Lamports that the cluster takes for a signature.
const SIGNATURE_FEE: u64 = 5_000;
/// Signatures of an opening: the sponsor's, the owner's and the key's.
const SIGNATURES: u64 = 3;
/// Blocks for which a blockhash is valid.
const BLOCKHASH_LIFE: u64 = 150;
/// Openings a second that one peer may have paid for: one a minute.
const PEER_RATE: f64 = 1.0 / 60.0;
/// When to come again after a cap was reached, where one that counts may soon count no more.
const SOON: Duration = Duration::from_secs(60);
/// When to come again after the sponsor had no SOL: a person must send some.
const REFILL: Duration = Duration::from_secs(600);
/// Statuses asked for at once at the most: what RPC nodes allow.
const MAX_STATUSES: usize = 256;

/// Why an opening is not paid for.
#[derive(Debug, thiserror::Error)]
pub enum SponsorError {
    /// There is no sponsor.
    #[error("this relayer pays for no openings: pay fee and rent from the wallet, with about 0.012 SOL")]
    Off,
    /// It is not the one kind of transaction.
    #[error("this opening is not paid for: {0}")]
    Invalid(#[from] InvalidOpening),
    /// The owner deposits too little.
    #[error("an opening is paid for from a deposit of {least} USDC on; this one deposits {amount}")]
    Deposit {
        /// The least deposit.
        least: MicroUsdc,
        /// What would be deposited.
        amount: MicroUsdc,
    },
    /// The sponsor has too little SOL.
    #[error("the relayer's sponsor is out of SOL at the moment: pay fee and rent from the wallet, or try again later")]
    Empty,
    /// More would leave the sponsor than fee and rent.
    #[error("this opening would take {spent} lamports from the sponsor and owe it {owed} in rent, so it is not signed")]
    CostsMore {
        /// What would leave.
        spent: u64,
        /// What the vault would give back.
        owed: u64,
    },
    /// The rehearsal did not show what is needed to judge it.
    #[error("the RPC node did not show what this opening would do, so it is not signed: {0}")]
    Unseen(&'static str),
    /// What is paid for in a day is used up.
    #[error(
        "{}; try again in {} seconds, or pay fee and rent from the wallet",
        match cap {
            Cap::OfOwner => "this wallet's openings of a day were paid for already",
            Cap::Openings | Cap::Lamports => "the relayer has paid for as many openings as it does in a day",
        },
        retry_after.as_secs()
    )]
    Full {
        /// What is used up.
        cap: Cap,
        /// When some of it may be free again.
        retry_after: Duration,
    },
    /// The same peer has just had one.
    #[error("an opening was paid for from this network address a moment ago; try again in {} seconds", SOON.as_secs())]
    Peer,
    /// The ledger cannot be written.
    #[error("the relayer's ledger cannot be written at the moment; try again")]
    Ledger(#[from] LedgerError),
}

impl SponsorError {
    /// When to try again, if that helps.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Full { retry_after, .. } => Some(*retry_after),
            Self::Peer => Some(SOON),
            Self::Empty => Some(REFILL),
            Self::Ledger(_) | Self::Unseen(_) => Some(Duration::from_secs(5)),
            Self::Off | Self::Invalid(_) | Self::Deposit { .. } | Self::CostsMore { .. } => None,
        }
    }
}

/// An opening that was signed and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sponsored {
    /// What counts of it.
    pub opening: SponsoredOpening,
    /// The vault.
    pub vault: Pubkey,
    /// The whole transaction, which its owner may send again.
    pub transaction: Vec<u8>,
    /// Whether it was signed before.
    pub again: bool,
}

/// Pays for openings.
pub struct Sponsor {
    keypair: Keypair,
    settings: Sponsoring,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    peers: Budget<IpAddr>,
}

impl std::fmt::Debug for Sponsor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sponsor").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Sponsor {
    /// `keypair` pays, within what `settings` allow.
    pub fn new(keypair: Keypair, settings: Sponsoring, ledger: Ledger, clock: Arc<dyn Clock>) -> Self {
        Self { keypair, settings, ledger, clock, peers: Budget::new(0.0, PEER_RATE) }
    }

    /// Who pays.
    pub fn address(&self) -> Pubkey {
        self.keypair.pubkey()
    }

    /// The least deposit with which an opening is paid for.
    pub fn min_deposit(&self) -> MicroUsdc {
        MicroUsdc(self.settings.min_deposit_microusdc)
    }

    /// The transaction with the sponsor's signature in its place, and that signature. It stays here until it is counted.
    fn sign(&self, mut transaction: VersionedTransaction) -> Result<(Vec<u8>, Signature), InvalidOpening> {
        let signature = self.keypair.sign_message(&transaction.message.serialize());
        if let Some(place) = transaction.signatures.first_mut() {
            *place = signature;
        }
        let bytes = bincode::serialize(&transaction).map_err(|_| InvalidOpening("it cannot be written"))?;
        Ok((bytes, signature))
    }

    /// What an opening takes from the sponsor, by its rehearsal. Every lamport of it is the cluster's fee, or rent that the vault owes the
    /// sponsor.
    fn cost(&self, rehearsal: &Rehearsal) -> Result<u64, GatewayError> {
        if let Simulation::Fails { reason, .. } = &rehearsal.simulation {
            let is_empty = rehearsal.before < SIGNATURES * SIGNATURE_FEE + rent_estimate();
            let would_fail = || GatewayError::WouldFail(reason.clone());
            return Err(if is_empty { SponsorError::Empty.into() } else { would_fail() });
        }
        let [Some(sponsor), Some(vault)] = &rehearsal.after[..] else {
            return Err(SponsorError::Unseen("the sponsor's account and the vault's are not in its simulation").into());
        };
        let vault = VaultWithKeys::read(&vault.data).filter(|vault| vault.rent_payer == self.address());
        let vault = vault.ok_or(SponsorError::Unseen("the vault does not name the sponsor as who paid its rent"))?;
        let owed = vault.rent_paid.saturating_add(vault.token_rent_paid);
        let spent = rehearsal.before.saturating_sub(sponsor.lamports);
        let most = owed.saturating_add(SIGNATURES * SIGNATURE_FEE);
        if spent > most { Err(SponsorError::CostsMore { spent, owed }.into()) } else { Ok(most) }
    }

    /// Counts an opening against the caps, and first against its peer's share.
    async fn count(&self, opening: SponsoredOpening, peer: Option<IpAddr>) -> Result<bool, SponsorError> {
        if peer.is_some() && !self.peers.take(peer, Instant::now()) {
            return Err(SponsorError::Peer);
        }
        let settings = &self.settings;
        let caps = SponsorCaps {
            openings: settings.openings_per_day,
            openings_of_owner: settings.openings_per_owner_per_day,
            lamports: settings.lamports_per_day,
        };
        // Whether or not this fails, the signature stays here: nothing was sent that is not counted.
        match self.ledger.count_sponsored(opening, caps).await? {
            Counted::Yes => Ok(false),
            Counted::Again => Ok(true),
            Counted::Full { cap, first_ms, open } => {
                let left = first_ms.saturating_add(SPONSORED_DAY_MS).saturating_sub(opening.signed_ms);
                let left = Duration::from_millis(u64::try_from(left).unwrap_or_default()).max(Duration::from_secs(1));
                Err(SponsorError::Full { cap, retry_after: if open { left.min(SOON) } else { left } })
            }
        }
    }
}

/// Rent of a new vault and its token account by today's rate, for telling a sponsor without SOL from an opening that fails.
fn rent_estimate() -> u64 {
    const LAMPORTS_A_BYTE: u64 = 6_960;
    const OVERHEAD: u64 = 128;
    const TOKEN_ACCOUNT: u64 = 165;
    (2 * OVERHEAD + TOKEN_ACCOUNT + Vault::space(1) as u64) * LAMPORTS_A_BYTE
}

impl Gateway {
    /// Who pays for openings, if somebody does.
    pub fn sponsor(&self) -> Option<&Sponsor> {
        self.sponsor.as_ref()
    }

    /// Signs an opening as its sponsor and sends it. The same one may come again, and is sent again. Beside it is told what came of
    /// sending: what is signed and counted may have cost something whatever that was.
    ///
    /// # Errors
    /// [`GatewayError::Sponsor`], [`GatewayError::WouldFail`], [`GatewayError::Busy`], [`GatewayError::Chain`]; nothing was signed then.
    pub async fn open_sponsored(
        &self,
        bytes: &[u8],
        peer: Option<IpAddr>,
    ) -> Result<(Sponsored, Result<(), GatewayError>), GatewayError> {
        let sponsor = self.sponsor.as_ref().ok_or(SponsorError::Off)?;
        let (opening, transaction) =
            shape::read(&self.accounts, &sponsor.address(), bytes).map_err(SponsorError::Invalid)?;
        if opening.amount < sponsor.min_deposit() {
            return Err(SponsorError::Deposit { least: sponsor.min_deposit(), amount: opening.amount }.into());
        }
        let vault = opening.vault(&self.accounts);
        let (whole, signature) = sponsor.sign(transaction).map_err(SponsorError::Invalid)?;
        let _place = self.place(peer)?;
        let known = sponsor.ledger.sponsored(signature).await.map_err(SponsorError::Ledger)?;
        let (counted, again) = match known {
            Some(known) => (known, true),
            None => self.count(sponsor, (&opening, signature), bytes, peer).await?,
        };
        let sent = self.send(&whole).await;
        let sent = self.unless_there(&signature, sent).await;
        Ok((Sponsored { opening: counted, vault, transaction: whole, again }, sent))
    }

    /// Rehearses an opening that was not signed before, and counts it.
    async fn count(
        &self,
        sponsor: &Sponsor,
        (opening, signature): (&Opening, Signature),
        unsigned: &[u8],
        peer: Option<IpAddr>,
    ) -> Result<(SponsoredOpening, bool), GatewayError> {
        let vault = opening.vault(&self.accounts);
        let watched = [sponsor.address(), vault];
        // Without the sponsor's signature: no node could carry out what is not counted. A node that lies makes it no cheaper.
        let rehearsals = ask(&self.nodes, |node| node.rehearse(unsigned, &watched)).await?;
        let mut lamports = 0;
        for (_, rehearsal) in &rehearsals {
            lamports = sponsor.cost(rehearsal)?.max(lamports);
        }
        // The blockhash is valid, so it is no later than the newest that any node knows, or than one of the next moments.
        let newest = agreed::last_valid_height(&self.nodes).await.map_err(|error| match error {
            SettleError::Rpc(error) => GatewayError::from(error),
            _ => SponsorError::Unseen("the RPC nodes differ on the block height").into(),
        })?;
        let counted = SponsoredOpening {
            signature,
            owner: opening.owner,
            lamports,
            signed_ms: sponsor.clock.unix_ms(),
            last_valid_height: newest.saturating_add(BLOCKHASH_LIFE),
        };
        let again = sponsor.count(counted, peer).await?;
        Ok((counted, again))
    }

    /// Finds out what became of openings. One that no node knows once its blockhash is dead counts no more. Returns what counts.
    ///
    /// # Errors
    /// [`SettleError`] if too few nodes answer or the ledger fails; then everything counts as before.
    pub async fn resolve_sponsored(&self) -> Result<SponsoredSums, SettleError> {
        let Some(sponsor) = &self.sponsor else { return Ok(SponsoredSums::default()) };
        let open = sponsor.ledger.sponsored_open().await?;
        // No blockhash lives for a day, whatever height was told when the opening was signed.
        let yesterday = sponsor.clock.unix_ms() - SPONSORED_DAY_MS;
        for some in open.chunks(MAX_STATUSES) {
            // The height first: what is unknown afterwards was unknown at that height.
            let (height, present) = agreed::present(&self.nodes).await?;
            let signatures: Vec<Signature> = some.iter().map(|opening| opening.signature).collect();
            let told = agreed::statuses(&present, &signatures).await?;
            for (opening, told) in some.iter().zip(told) {
                let taken = match told.known() {
                    // Nothing but the fee was taken.
                    Some(state) if state.finalized && state.error.is_some() => Some(SIGNATURES * SIGNATURE_FEE),
                    Some(state) if state.finalized => Some(opening.lamports),
                    None if height > opening.last_valid_height || opening.signed_ms < yesterday => None,
                    _ => continue,
                };
                tracing::info!(signature = %opening.signature, owner = %opening.owner, lamports = taken, "a sponsored opening has ended");
                sponsor.ledger.resolve_sponsored(opening.signature, taken).await?;
            }
        }
        Ok(sponsor.ledger.sponsored_sums(sponsor.clock.unix_ms()).await?)
    }

    /// Lamports of the sponsor, if there is one and a node tells.
    pub async fn sponsor_lamports(&self) -> Option<u64> {
        let address = self.sponsor.as_ref()?.address();
        self.first(|node| async move { node.lamports(&address).await }).await.ok()
    }
}
