//! The embedded network, from nothing to a withdrawal.

use super::*;
use crate::addresses;
use solana_commitment_config::CommitmentConfig;
use solana_signer::Signer;
use std::time::Instant;
use steam_protocol::units::MicroUsdc;
use steam_router::state::KeyGrant;

fn setup() -> Setup {
    Setup {
        relayer_url: "http://127.0.0.1:8787/v1".into(),
        fee_bps: 50,
        providers: profiles(4, 1).iter().map(|profile| profile.at("http://127.0.0.1:1/v1".into())).collect(),
        wallet: MicroUsdc(100_000_000),
        deposit: MicroUsdc(20_000_000),
        grant: KeyGrant {
            expires: i64::MAX,
            limit_total: 50_000_000,
            window_seconds: 0,
            window_limit: 0,
            max_price: steam_protocol::units::Price::basic(10_000_000, 10_000_000, 50_000_000, 1_000).into(),
            max_fee_bps: 100,
            allow_root: [0; 32],
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_stands_in_seconds_and_its_owner_can_leave() {
    let began = Instant::now();
    let localnet = Localnet::start(Options { seed: Some(1), ..Options::default() }).await.expect("a network");
    let deployment = localnet.bootstrap(&setup()).await.expect("a deployment");
    let balance = async |account| localnet.client.token_balance(account).await.expect("a token account");
    assert_eq!(balance(&deployment.vault_token).await, 20_000_000);
    assert_eq!(deployment.providers[0].address, localnet.provider_address(&deployment.providers[0].name));
    let vault = localnet.vault(&deployment.key.vault).await.expect("the vault");
    assert_eq!((vault.owner, vault.keys[0].key.to_bytes()), (deployment.owner.pubkey(), deployment.key.key));

    localnet.request_withdraw(&deployment.owner, &deployment.relayer, MicroUsdc(u64::MAX)).await.expect("a request");
    assert!(localnet.execute_withdraw(&deployment.owner, &deployment.relayer).await.is_err(), "it takes its time");
    let last = localnet.transfer(&deployment.owner, &deployment.vault_token, MicroUsdc(1)).await.expect("a transfer");
    localnet.client.finalized(&last).await.expect("finality");
    while localnet.execute_withdraw(&deployment.owner, &deployment.relayer).await.is_err() {
        assert!(began.elapsed().as_secs() < 60, "the withdrawal never unlocked");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    assert_eq!(balance(&deployment.vault_token).await, 0);
    assert_eq!(balance(&addresses::ata(&deployment.owner.pubkey(), &localnet.mint)).await, 100_000_000);
}

/// The clock of the cluster and the time that has passed are the same, also after the network was held up.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_was_held_up_makes_up_for_it() {
    let slot_ms = 20;
    let localnet = Localnet::start(Options { slot_ms, ..Options::default() }).await.expect("a network");
    let slot =
        async || localnet.client.rpc().get_slot_with_commitment(CommitmentConfig::processed()).await.expect("a slot");
    let (began, first) = (Instant::now(), slot().await);
    let behind = async || {
        let passed = u64::try_from(began.elapsed().as_millis()).expect("a short time") / slot_ms;
        (first + passed).saturating_sub(slot().await)
    };
    // Surfpool stops its own clock, and makes no block for some slots meanwhile.
    localnet.client.call("surfnet_pauseClock", serde_json::json!([])).await.expect("a pause");
    while behind().await > 3 {
        assert!(began.elapsed().as_secs() < 60, "{} slots behind", behind().await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(slot().await >= first + 25, "it goes on");
}
