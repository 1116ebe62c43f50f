//! Who pays and who signs, on a chain: a payer beside an owner without SOL, signatures made elsewhere, and priority fees.

use super::system::{DEPOSIT, Said, System, wait_until};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::process::Stdio;
use steam::addresses;
use steam::chain::Pubkey;
use steam_protocol::units::MicroUsdc;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const ONE: MicroUsdc = MicroUsdc(1_000_000);

async fn lamports(system: &System, address: &Pubkey) -> u64 {
    system.network.client.rpc().get_balance(address).await.unwrap()
}

/// What `signer` is to add to a command that was printed: its signature of that transaction.
fn signed(printed: &Value, signer: &Keypair) -> [String; 4] {
    let message = STANDARD.decode(printed["message"].as_str().unwrap()).unwrap();
    let blockhash = printed["blockhash"].as_str().unwrap().to_owned();
    let signature = format!("{}={}", signer.pubkey(), signer.sign_message(&message));
    ["--blockhash".into(), blockhash, "--signer".into(), signature]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_without_sol_has_a_vault_that_another_pays_for() {
    let system = System::start().await;
    let (owner, payer) = (Keypair::new(), system.wallet().await);
    let (relayer, paid_by) = (system.deployment.relayer, system.keypair_path(&payer));
    let open = ["vault", "open", "--relayer", &relayer.to_string()];
    let (code, told) = system.steam(&owner, &open).await.err();
    assert!(code == "no_sol" && told.contains(&owner.pubkey().to_string()), "{told}");

    let paid =
        async |args: &[&str]| -> Said { system.steam(&owner, &[args, &["--fee-payer", &paid_by]].concat()).await };
    paid(&open).await.ok();
    let address = addresses::vault(&owner.pubkey(), &relayer);
    assert_eq!(system.network.vault(&address).await.unwrap().rent_payer, payer.pubkey());
    system.network.mint_to(&owner.pubkey(), ONE).await.unwrap();
    paid(&["vault", "deposit", "1"]).await.ok();
    // The second one makes the vault grow.
    for slot in 0..2 {
        assert_eq!(paid(&["key", "create", "--limit", "1"]).await.ok()["slot"], slot);
    }
    paid(&["vault", "withdraw", "--all"]).await.ok();
    let before = lamports(&system, &payer.pubkey()).await;
    wait_until("the delay", async || paid(&["vault", "close"]).await.code == 0).await;
    assert!(lamports(&system, &payer.pubkey()).await > before, "the rent came back to who paid it");
    assert_eq!(lamports(&system, &owner.pubkey()).await, 0);
    let held =
        system.network.client.token_balance(&addresses::ata(&owner.pubkey(), &system.network.mint)).await.unwrap();
    assert_eq!(held, ONE.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_than_the_rents_payer_pays_the_fee_of_a_key_and_the_owner_its_room() {
    let system = System::start().await;
    let (owner, payer) = (system.wallet().await, system.wallet().await);
    let relayer = system.deployment.relayer.to_string();
    system.steam(&owner, &["vault", "open", "--relayer", &relayer]).await.ok();
    let paid_by = system.keypair_path(&payer);
    system.steam(&owner, &["key", "create", "--limit", "1"]).await.ok();
    let before = (lamports(&system, &owner.pubkey()).await, lamports(&system, &payer.pubkey()).await);
    system.steam(&owner, &["key", "create", "--limit", "1", "--fee-payer", &paid_by]).await.ok();
    // Payer, owner and key sign.
    assert_eq!(lamports(&system, &payer.pubkey()).await, before.1 - 3 * 5_000);
    assert!(lamports(&system, &owner.pubkey()).await < before.0, "the vault's room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_signed_elsewhere_is_sent_and_nothing_else() {
    let system = System::start().await;
    let (owner, payer) = (Keypair::new(), system.wallet().await);
    let (relayer, paid_by) = (system.deployment.relayer, system.keypair_path(&payer));
    let address = owner.pubkey().to_string();
    let run = async |args: &[&str], more: &[&str]| {
        system.steam_as(&address, &[args, &["--fee-payer", &paid_by], more].concat()).await
    };
    let relayer_address = relayer.to_string();
    let open = ["vault", "open", "--relayer", &relayer_address];

    let (code, told) = run(&open, &[]).await.err();
    assert!(code == "missing_signature" && told.contains("--signer"), "{told}");
    let printed = run(&open, &["--sign-only"]).await.ok();
    assert_eq!(printed["absent"], serde_json::json!([address]));
    let vault = addresses::vault(&owner.pubkey(), &relayer);
    assert!(system.network.client.account(&vault).await.unwrap().is_none(), "printing sends nothing");
    let forged = signed(&printed, &payer)[3].replace(&payer.pubkey().to_string(), &address);
    let blockhash = printed["blockhash"].as_str().unwrap();
    let (code, _) = run(&open, &["--blockhash", blockhash, "--signer", &forged]).await.err();
    assert_eq!(code, "wrong_signature");
    let flags = signed(&printed, &owner);
    let opened = run(&open, &flags.each_ref().map(String::as_str)).await.ok();
    assert_eq!(opened["vault"], vault.to_string());
    assert_eq!(system.network.vault(&vault).await.unwrap().owner, owner.pubkey());

    let key = system.file("key.txt").display().to_string();
    let create = ["key", "create", "--limit", "1", "--out", &key, "--expires", "never"];
    let printed = run(&create, &["--sign-only"]).await.ok();
    let flags = signed(&printed, &owner);
    let made = run(&create, &flags.each_ref().map(String::as_str)).await.ok();
    assert_eq!((&made["api_key"], &made["file"]), (&Value::Null, &key.as_str().into()));
    let slot = system.network.vault(&vault).await.unwrap().keys[0].key.to_string();
    assert_eq!(made["key"], slot);
    let secret = std::fs::read_to_string(&key).unwrap();
    assert!(secret.starts_with("sk-steam-"));

    // The file of a key that is in use: it is neither written over nor authorised anew, and nothing is printed to sign.
    for more in [&["--sign-only"][..], &flags.each_ref().map(String::as_str)] {
        let (code, told) = run(&create, more).await.err();
        assert!(code == "key" && told.contains(&slot) && told.contains("it is active"), "{more:?}: {told}");
    }
    let (code, told) = run(&create, &[]).await.err();
    assert!(code == "key" && told.contains("never written over"), "{told}");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), secret);
    // The file of something else is not taken for a key's.
    let other = system.keypair_path(&payer);
    let before = std::fs::read(&other).unwrap();
    let (code, _) =
        run(&["key", "create", "--limit", "1", "--out", &other, "--expires", "never"], &["--sign-only"]).await.err();
    assert_eq!((code.as_str(), std::fs::read(&other).unwrap()), ("key", before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blockhash_that_holds_no_more_is_told_before_anything_is_sent() {
    let system = System::start().await;
    let owner = &system.deployment.owner;
    let old = Pubkey::new_from_array([5; 32]).to_string();
    let (code, told) = system.steam(owner, &["vault", "withdraw", "1", "--blockhash", &old]).await.err();
    assert!(code == "expired" && told.contains("--sign-only"), "{code}: {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_of_compute_units_costs_what_was_told() {
    let system = System::start().await;
    let owner = &system.deployment.owner;
    let request = ["vault", "withdraw", "1", "--with-compute-unit-price", "1000000"];
    let before = lamports(&system, &owner.pubkey()).await;
    let told = system.steam(owner, &request).await.ok()["priority_fee"].clone();
    let expected = serde_json::json!({"lamports": "200000", "micro_lamports_per_unit": "1000000", "units": 200_000});
    assert_eq!(told, expected);
    // One signature, and 200,000 units at one lamport.
    assert_eq!(lamports(&system, &owner.pubkey()).await, before - 5_000 - 200_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relayers_of_a_cluster_are_listed_with_what_they_take() {
    let system = System::start().await;
    let (d, nobody) = (&system.deployment, Keypair::new());
    let listed = system.steam(&nobody, &["relayer", "list"]).await.ok();
    let first = &listed["relayers"][0];
    assert_eq!((&first["relayer"], &first["fee_bps"]), (&d.relayer.to_string().into(), &super::system::FEE_BPS.into()));
    system.steam(&d.relayer_authority, &["relayer", "update", "--status", "retired"]).await.ok();
    assert_eq!(system.steam(&nobody, &["relayer", "list"]).await.ok()["relayers"], serde_json::json!([]));
    let all = system.steam(&nobody, &["relayer", "list", "--all"]).await.ok();
    assert_eq!(all["relayers"][0]["status"], "retired");
    assert_eq!(system.network.client.token_balance(&d.vault_token).await.unwrap(), DEPOSIT.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_system_tells_programs_what_they_need_in_one_document() {
    let folder = tempfile::tempdir().unwrap();
    let mut dev = Command::new(env!("CARGO_BIN_EXE_steam"))
        .args(["dev", "--port", "0", "--providers", "4", "--output", "json", "--dir"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(dev.stdout.take().unwrap()).lines();
    let mut text = String::new();
    let document: Value = loop {
        let line = lines.next_line().await.unwrap();
        text += &line.unwrap_or_else(|| panic!("it ended with {text}"));
        if let Ok(document) = serde_json::from_str(&text) {
            break document;
        }
    };
    let base = document["base_url"].as_str().unwrap();
    assert_eq!(reqwest::get(format!("{base}/models")).await.unwrap().status(), 200);
    // A wallet with nothing is told how to get test money here, and gets it so.
    let wallet = Keypair::new();
    let file = folder.path().join("wallet.json");
    std::fs::write(&file, serde_json::to_vec(&wallet.to_bytes().to_vec()).unwrap()).unwrap();
    let vault = async |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steam"));
        command.args(["vault"]).args(args).args(["-u", document["rpc_url"].as_str().unwrap(), "-k"]).arg(&file);
        command.env("HOME", folder.path()).stdin(Stdio::null()).output().await.unwrap()
    };
    let open = ["open", "--relayer", document["relayer"].as_str().unwrap()];
    let poor = vault(&open).await;
    let told = String::from_utf8(poor.stderr).unwrap();
    let curl = format!(
        "curl {base}/chain/faucet -H 'Content-Type: application/json' -d '{{\"wallet\":\"{}\"}}'",
        wallet.pubkey()
    );
    assert!(poor.status.code() == Some(1) && told.contains(&curl), "{told}");
    let body = format!("{{\"wallet\":\"{}\"}}", wallet.pubkey());
    let faucet = reqwest::Client::new().post(format!("{base}/chain/faucet")).header("content-type", "application/json");
    assert_eq!(faucet.body(body).send().await.unwrap().status(), 200);
    wait_until("the faucet", async || vault(&open).await.status.success()).await;
    let shown = vault(&["deposit", "5", "--print-only"]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("Send 5.00 USDC") && shown.contains(&curl), "{shown}");
    assert!(vault(&["deposit", "5"]).await.status.success());
    let much = vault(&["deposit", "1000"]).await;
    assert!(String::from_utf8(much.stderr).unwrap().contains(&curl));
    dev.start_kill().unwrap();
    assert_eq!(lines.next_line().await.unwrap(), None, "nothing but the document");
}
