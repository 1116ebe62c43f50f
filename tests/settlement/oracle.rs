//! What must hold, from receipts handed out and chain state alone. The ledger is asked for one thing only: which charges it
//! has set aside, and that must have a cause.

use super::chain::Cluster;
use super::clients::{floor, total};
use std::sync::Mutex;
use steam::chain::Pubkey;
use steam::ledger::Ledger;
use steam_protocol::merkle;
use steam_protocol::receipt::SignedReceipt;
use steam_protocol::units::Pico;
use steam_router::state::VaultWithKeys;
use steam_tests::chain::Chain;

/// Where the money was and where it went.
#[derive(Clone)]
pub struct Books {
    /// Paid into each vault.
    pub deposits: Vec<u64>,
    /// Where each vault's owner withdraws to.
    pub purses: Vec<Pubkey>,
    /// Vault, its token account.
    pub vaults: Vec<(Pubkey, Pubkey)>,
    pub providers: Vec<Pubkey>,
    pub fees: Pubkey,
}

pub fn vault(cluster: &Cluster, at: &Pubkey) -> VaultWithKeys {
    VaultWithKeys::read(&cluster.finalized().svm.account(at).unwrap().data).unwrap()
}

/// A vault as it is before it is final.
pub fn tip(cluster: &Cluster, at: &Pubkey) -> VaultWithKeys {
    VaultWithKeys::read(&cluster.tip().account(at).unwrap().data).unwrap()
}

fn tokens(cluster: &Cluster, at: &Pubkey) -> u64 {
    u64::from_le_bytes(cluster.finalized().svm.account(at).unwrap().data[64..72].try_into().unwrap())
}

/// Whether everything receipted and not set aside has reached the chain, vault by vault.
pub fn is_settled(cluster: &Cluster, books: &Books, receipts: &[Vec<SignedReceipt>]) -> bool {
    let done = |(receipts, (address, _)): (&Vec<SignedReceipt>, &(Pubkey, Pubkey))| {
        vault(cluster, address).receipts_settled >= receipts.len() as u64
    };
    receipts.iter().zip(&books.vaults).all(done)
}

/// The first thing that does not hold. `receipts` are those of each vault that were not set aside. Where a price was
/// `lowered`, what settles after the grace of the old one costs what the new one says: less than the receipt, never more.
pub fn check(cluster: &Cluster, books: &Books, receipts: &[Vec<SignedReceipt>], lowered: bool) -> Option<String> {
    let (mut paid, mut fees) = (0, 0);
    let places = books.vaults.iter().zip(&books.deposits).zip(&books.purses);
    for (receipts, (((address, token), deposits), purse)) in receipts.iter().zip(places) {
        let on_chain = vault(cluster, address);
        let (charged, fee, count) = total(receipts);
        let settled = (Pico(on_chain.settled_pico.get()), Pico(on_chain.fee_pico.get()), on_chain.receipts_settled);
        let less = lowered && settled.0 < charged && settled.1 < fee && settled.2 == count;
        if settled != (charged, fee, count) && !less {
            return Some(format!("{address}: settled {settled:?}, receipted {:?}", (charged, fee, count)));
        }
        let (charged, fee, _) = settled;
        let left = deposits - tokens(cluster, purse) - floor(charged).0 - floor(fee).0;
        if tokens(cluster, token) != left {
            return Some(format!("{address}: holds {}, should hold {left}", tokens(cluster, token)));
        }
        paid += floor(charged).0;
        fees += floor(fee).0;
    }
    let earned: u64 = books.providers.iter().map(|token| tokens(cluster, token)).sum();
    let held = (earned, tokens(cluster, &books.fees));
    (held != (paid, fees)).then(|| format!("providers and relayer hold {held:?}, should hold {:?}", (paid, fees)))
}

/// The first of these receipts for which the relayer can prove no settlement that took place: a transaction that succeeded and
/// carries the root of a tree in which the receipt is.
pub async fn unproved(ledger: &Ledger, cluster: &Mutex<Cluster>, receipts: &[Vec<SignedReceipt>]) -> Option<String> {
    for receipt in receipts.iter().flatten() {
        let id = super::clients::id(&receipt.receipt.request_hash);
        let row = ledger.receipt(&id).await.unwrap().unwrap();
        let Some(proof) = row.proof else { return Some(format!("{id} is {} and has no proof", row.status)) };
        let leaf = merkle::leaf(&receipt.to_bytes());
        if merkle::root_from_proof(&leaf, proof.index, proof.count, &proof.path) != Some(proof.root) {
            return Some(format!("the proof of {id} does not lead to its root"));
        }
        let cluster = cluster.lock().unwrap();
        let carries = |bytes: &[u8]| bytes.windows(proof.root.len()).any(|window| window == proof.root);
        let status = cluster.status(&proof.transaction.parse().unwrap());
        if !status.is_some_and(|status| status.error.is_none() && carries(&status.bytes)) {
            return Some(format!("{} did not settle {id}", proof.transaction));
        }
    }
    None
}
