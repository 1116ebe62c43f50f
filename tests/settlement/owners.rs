//! Owners who withdraw at once: they sign, ask the relayer's settler to agree, and send it when they please, or not at all.

use super::chain::FINALITY;
use super::oracle;
use super::relayer::Site;
use rand::Rng;
use rand::rngs::StdRng;
use solana_keypair::Keypair;
use solana_message::{Message, VersionedMessage};
use solana_signature::Signature;
use solana_signer::Signer;
use solana_transaction::versioned::VersionedTransaction;
use std::sync::Arc;
use std::time::Duration;
use steam::chain::Pubkey;
use steam::instructions;
use steam::vaults::Vaults;
use steam::withdrawals::Withdrawals;
use steam_protocol::units::MicroUsdc;
use steam_router::state::Agreement;
use steam_tests::usdc;
use tokio::time::sleep;

/// How long an agreement lasts at the most.
const AGREEMENT_SLOTS: u64 = 30;
/// As long in time, and until that is final.
pub const AGREEMENT: Duration = Duration::from_millis(400 * (AGREEMENT_SLOTS + FINALITY + 10));

/// An owner and where it withdraws to.
pub struct Owner {
    pub keypair: Keypair,
    pub purse: Pubkey,
}

pub async fn run(site: &Site, vaults: Arc<Vaults>, withdrawals: Withdrawals, mut rng: StdRng) {
    loop {
        sleep(Duration::from_millis(rng.random_range(1_000..15_000))).await;
        if site.owners_leave && *site.busy.lock().unwrap() {
            withdraw(site, &vaults, &withdrawals, &mut rng).await;
        }
    }
}

async fn withdraw(site: &Site, vaults: &Vaults, withdrawals: &Withdrawals, rng: &mut StdRng) {
    let at = rng.random_range(0..site.clients.len());
    withdraw_from(at, site, (vaults, withdrawals), rng).await;
}

/// The owner of one of the vaults withdraws.
pub async fn withdraw_from(at: usize, site: &Site, (vaults, withdrawals): (&Vaults, &Withdrawals), rng: &mut StdRng) {
    let address = site.clients[at].lock().unwrap().vault;
    let (tip, slot, blockhash) = {
        let cluster = site.cluster.lock().unwrap();
        (oracle::tip(&cluster, &address), cluster.finalized().slot, cluster.blockhash().0)
    };
    let available = vaults.show(&address).map_or(0, |view| view.available);
    let amount = match rng.random_range(0..10) {
        0..2 => MicroUsdc(u64::MAX),
        // To the last micro-dollar that the relayer does not need, and sometimes one more.
        2..7 => MicroUsdc(available.max(1) + u64::from(rng.random_bool(0.2))),
        _ => usdc(rng.random_range(1..400)),
    };
    let until = slot + rng.random_range(1..AGREEMENT_SLOTS);
    let owner = &site.owners[at];
    let parties = &site.parties;
    let step = instructions::withdraw_now(
        &owner.keypair.pubkey(),
        &parties.settler,
        &parties.relayer,
        &parties.mint,
        &owner.purse,
        amount,
        Agreement { generation: tip.generation, settle_seq: tip.settle_seq, valid_until_slot: until },
    );
    let message = VersionedMessage::Legacy(Message::new_with_blockhash(
        &[step],
        Some(&owner.keypair.pubkey()),
        &blockhash.into(),
    ));
    let signature = owner.keypair.sign_message(&message.serialize());
    let signed = VersionedTransaction { signatures: vec![signature, Signature::default()], message };
    site.agreements.lock().unwrap().times += 1;
    match withdrawals.cosign(&wincode::serialize(&signed).unwrap()).await {
        Ok((bytes, _)) => {
            site.agreements.lock().unwrap().done += 1;
            site.agreed.lock().unwrap().push(signature);
            site.trace.add(&format!("agreed to {amount:?} of {address} until {until}"));
            // Some are in a hurry: with the next settlement it is void. And none needs the relayer for it any more.
            let most = if rng.random_bool(0.5) { 4 } else { AGREEMENT_SLOTS };
            site.cluster.lock().unwrap().submit(bytes, rng.random_range(0..most));
        }
        Err(refusal) => site.trace.add(&format!("not agreed: {refusal}")),
    }
}
