//! What commands do on chain that only a chain can show: limits of a live key, closings, and recovery.

use super::system::{DEPOSIT, Said, System, wait_until};
use solana_signer::Signer;
use steam::addresses;
use steam::chain::Pubkey;
use steam_protocol::units::MicroUsdc;
use steam_router::state::SessionKey;

impl System {
    /// Runs a command as the vault's owner.
    async fn owner(&self, args: &[&str]) -> Said {
        self.steam(&self.deployment.owner, args).await
    }

    /// The vault's key in a slot, as it is on chain.
    async fn key(&self, slot: usize) -> SessionKey {
        self.network.vault(&self.deployment.key.vault).await.unwrap().keys[slot]
    }

    async fn lamports(&self, address: &Pubkey) -> u64 {
        self.network.client.rpc().get_balance(address).await.unwrap()
    }

    async fn is_there(&self, address: &Pubkey) -> bool {
        self.network.client.account(address).await.unwrap().is_some()
    }

    async fn balance(&self, token: &Pubkey) -> u64 {
        self.network.client.token_balance(token).await.unwrap()
    }
}

#[track_caller]
fn refused(said: Said, code: &str, says: &str) {
    let (named, text) = said.err();
    assert_eq!(named, code, "{text}");
    assert!(text.contains(says), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keys_limits_are_raised_at_once_and_cut_with_a_grace() {
    let system = System::start().await;
    let key = Pubkey::new_from_array(system.deployment.key.key).to_string();
    let before = system.key(0).await;
    let raised = system.owner(&["key", "update", &key, "--limit", "150"]).await.ok();
    assert_eq!((&raised["limit"], &raised["former_until"]), (&"150000000".into(), &serde_json::Value::Null));
    let now = system.key(0).await;
    assert_eq!((now.limits.total, now.limits.max_price), (150_000_000, before.limits.max_price), "the rest stays");

    let cut = system.owner(&["key", "update", &key, "--limit", "40", "--max-price-output", "3"]).await.ok();
    assert!(cut["former_until"].as_i64().is_some_and(|until| until > 0), "{cut}");
    let now = system.key(0).await;
    assert_eq!((now.limits.total, now.limits.max_price.output), (40_000_000, 3_000_000));
    assert_eq!((now.former.total, now.former.max_price.output), (150_000_000, before.limits.max_price.output));
    assert_eq!(now.limits.max_price.input, before.limits.max_price.input);
    let listed = system.owner(&["key", "list"]).await.ok();
    assert!(listed["keys"][0]["former_seconds_left"].as_i64().is_some_and(|left| left > 0), "{listed}");

    let windowed = ["key", "create", "--limit", "5", "--window", "1h", "--window-limit", "2"];
    let made = system.owner(&windowed).await.ok()["key"].as_str().unwrap().to_owned();
    system.owner(&["key", "update", &made, "--window-limit", "3", "--max-fee-bps", "250"]).await.ok();
    let second = system.key(1).await;
    assert_eq!((second.limits.window, second.limits.total, second.limits.max_fee_bps), (3_000_000, 5_000_000, 250));
    assert_eq!(second.window_seconds, 3_600);

    let without = system.owner(&["key", "update", &key, "--window-limit", "1"]).await;
    refused(without, "WindowMismatch", "steam key create --window");
    let nobody = Pubkey::new_from_array([9; 32]).to_string();
    refused(system.owner(&["key", "update", &nobody, "--limit", "1"]).await, "no_key", "steam key list");
    let stranger = system.wallet().await;
    let vault = system.deployment.key.vault.to_string();
    let theirs = system.steam(&stranger, &["key", "update", &key, "--limit", "9", "--vault", &vault]).await;
    refused(theirs, "not_owner", "--keypair");
    system.owner(&["key", "revoke", &key]).await.ok();
    refused(system.owner(&["key", "update", &key, "--limit", "9"]).await, "KeyRevoked", "steam key create");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_and_its_provider_close_and_the_rent_comes_back() {
    let system = System::start().await;
    let wallet = system.wallet().await;
    let run = async |args: &[&str]| system.steam(&wallet, args).await;
    let funds = system.lamports(&wallet.pubkey()).await;
    run(&["provider", "register", "--name", "a", "--endpoint", "http://127.0.0.1:1/v1"]).await.ok();
    let terms = ["--price-input", "1", "--price-output", "2", "--context", "1000", "--max-output", "100"];
    let promises = ["--capability", "streaming,no-training", "--quantization", "fp8"];
    let offered = run(&[&["provider", "offer", "--model", "Lab/M"], &terms[..], &promises[..]].concat()).await.ok();
    assert_eq!((&offered["price"]["input"], &offered["price"]["output"]), (&"1000000".into(), &"2000000".into()));
    let shown = run(&["provider", "status"]).await.ok();
    assert_eq!(shown["offers"][0]["capabilities"], serde_json::json!(["streaming", "no-training"]));
    assert_eq!(shown["offers"][0]["quantization"], "fp8");

    refused(run(&["provider", "close"]).await, "ProviderHasOffers", "steam provider close-offer");
    let close = ["provider", "close-offer", "--model", "lab/m"];
    refused(run(&close).await, "OfferListed", "--retire");
    refused(run(&["provider", "close-offer", "--model", "other"]).await, "no_offer", "steam provider status");
    run(&["provider", "offer", "--model", "lab/m", "--retire"]).await.ok();
    refused(run(&close).await, "OfferStillSettles", "run the same command then");
    let provider = addresses::provider(&wallet.pubkey());
    let offer = addresses::offer(&provider, "lab/m");
    wait_until("the grace", async || run(&close).await.code == 0).await;
    assert!(!system.is_there(&offer).await);

    let earnings = addresses::ata(&provider, &system.network.mint);
    system.network.transfer(&system.deployment.owner, &earnings, MicroUsdc(3_000_000)).await.unwrap();
    refused(run(&["provider", "close"]).await, "ProviderHasEarnings", "steam provider withdraw");
    run(&["provider", "withdraw"]).await.ok();
    run(&["provider", "close"]).await.ok();
    assert!(!system.is_there(&provider).await && !system.is_there(&earnings).await);
    refused(run(&["provider", "status"]).await, "no_provider", "steam provider register");
    // Six transactions, and the rent of the wallet's own token account.
    let token = system.lamports(&addresses::ata(&wallet.pubkey(), &system.network.mint)).await;
    assert_eq!(system.lamports(&wallet.pubkey()).await, funds - token - 6 * 5_000, "all rent came back");
    run(&["provider", "register", "--name", "a", "--endpoint", "http://127.0.0.1:1/v1"]).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dollars_sent_to_a_token_account_as_to_a_wallet_are_recovered() {
    let system = System::start().await;
    let (network, d) = (&system.network, &system.deployment);
    refused(system.owner(&["vault", "recover", "--nested"]).await, "nothing_to_recover", "steam vault recover");
    network.mint_to(&d.vault_token, MicroUsdc(7_000_000)).await.unwrap();
    let found = system.owner(&["vault", "recover"]).await.ok();
    assert_eq!((&found["status"], &found["nested"]), (&"found".into(), &"7000000".into()));
    assert_eq!(system.balance(&d.vault_token).await, DEPOSIT.0, "showing moves nothing");
    let stranger = system.wallet().await;
    let vault = d.key.vault.to_string();
    let theirs = system.steam(&stranger, &["vault", "recover", "--nested", "--vault", &vault]).await;
    refused(theirs, "not_owner", "--keypair");
    system.owner(&["vault", "recover", "--nested"]).await.ok();
    assert_eq!(system.balance(&d.vault_token).await, DEPOSIT.0 + 7_000_000);
    assert!(!system.is_there(&addresses::ata(&d.vault_token, &network.mint)).await);

    let run = async |args: &[&str]| system.steam(&stranger, args).await;
    run(&["provider", "register", "--name", "a", "--endpoint", "http://127.0.0.1:1/v1"]).await.ok();
    let earnings = addresses::ata(&addresses::provider(&stranger.pubkey()), &network.mint);
    refused(run(&["provider", "recover", "--nested"]).await, "nothing_to_recover", "steam provider earnings");
    let nothing = run(&["provider", "recover"]).await.ok();
    assert_eq!((&nothing["status"], &nothing["amount"]), (&"nothing".into(), &"0".into()));
    network.mint_to(&earnings, MicroUsdc(2_500_000)).await.unwrap();
    let found = run(&["provider", "recover"]).await.ok();
    assert_eq!((&found["status"], &found["amount"]), (&"found".into(), &"2500000".into()));
    assert_eq!(system.balance(&earnings).await, 0);
    assert_eq!(run(&["provider", "recover", "--nested"]).await.ok()["status"], "recovered");
    assert_eq!(system.balance(&earnings).await, 2_500_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_goes_to_whom_the_owner_names() {
    let system = System::start().await;
    let to = Pubkey::new_from_array([9; 32]);
    let named = to.to_string();
    let moved = system.owner(&["vault", "withdraw", "2.5", "--wait", "--to", &named]).await.ok();
    let destination = addresses::ata(&to, &system.network.mint);
    assert_eq!((&moved["amount"], &moved["destination"]), (&"2500000".into(), &destination.to_string().into()));
    assert_eq!(system.balance(&destination).await, 2_500_000);
    assert_eq!(system.balance(&system.deployment.vault_token).await, DEPOSIT.0 - 2_500_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_vault_holds_is_refused_before_it_is_asked_for() {
    let system = System::start().await;
    for now in [&[][..], &["--now"], &["--wait"]] {
        let said = system.owner(&[&["vault", "withdraw", "100.000001"], now].concat()).await;
        refused(said, "insufficient_funds", "the vault holds 100.00 USDC, less than the 100.000001 to withdraw");
    }
    let vault = async || system.network.vault(&system.deployment.key.vault).await.unwrap();
    assert_eq!(vault().await.pending_withdrawal, 0, "nothing was asked for");
    assert_eq!(system.owner(&["vault", "withdraw", "100"]).await.ok()["amount"], "100000000");
    assert_eq!(vault().await.pending_withdrawal, 100_000_000);
    assert_eq!(system.owner(&["vault", "withdraw", "all"]).await.ok()["amount"], "all");
    assert_eq!(vault().await.pending_withdrawal, u64::MAX);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_is_compared_with_the_chain() {
    let system = System::start().await;
    let d = &system.deployment;
    let (settler, receipts) = (system.keypair_path(&d.settler), system.keypair_path(&d.receipt_key));
    let relayer = d.relayer.to_string();
    let nobody = Pubkey::new_from_array([9; 32]).to_string();
    let config = system.file("checked.toml");
    let check = async |url: &str, relayer: &str, [settler, receipts]: [&str; 2]| {
        let text = format!(
            "[chain]\nrpc_urls = [{url:?}]\nrelayer = {relayer:?}\nsettler_keypair = {settler:?}\nreceipt_keypair = {receipts:?}\n[upstream]\nlocalnet = true\n"
        );
        std::fs::write(&config, text).unwrap();
        system.owner(&["config", "check", config.to_str().unwrap(), "--online"]).await
    };
    let url = system.network.rpc_url.clone();
    assert_eq!(check(&url, &relayer, [&settler, &receipts]).await.ok()["online"], true);
    for (url, relayer, keys, code, says) in [
        (&url, &relayer, [&receipts, &settler], 3, "chain.settler_keypair is"),
        (&url, &nobody, [&settler, &receipts], 3, "the relayer's account: is it registered?"),
        (&"http://127.0.0.1:1".into(), &relayer, [&settler, &receipts], 3, "http://127.0.0.1:1"),
    ] {
        let said = check(url, relayer, keys.map(String::as_str)).await;
        assert!(said.code == code && said.text.contains(says), "{}: {}", said.code, said.text);
        assert!(!said.text.contains("malformed"), "{}", said.text);
    }
}

/// What has an amount in it, of every command that prints one. That each is text is checked where a command's answer is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amounts_are_text_in_every_report() {
    let system = System::start().await;
    let d = &system.deployment;
    let mut seen = std::collections::BTreeSet::new();
    let mut note =
        |report: &serde_json::Value| seen.extend(super::system::amounts(report).into_iter().map(|(name, _)| name));
    let price = ["--with-compute-unit-price", "10000"];
    let prices = ["--max-price-input", "1", "--max-price-output", "2"];
    for command in [
        &["vault", "show"][..],
        &["vault", "deposit"],
        &["vault", "deposit", "1"],
        &[&["vault", "withdraw", "1"][..], &price].concat(),
        &["vault", "show"],
        &["vault", "recover"],
        &[&["key", "create", "--limit", "5", "--window", "1h", "--window-limit", "2"][..], &prices].concat(),
        &["key", "list"],
    ] {
        note(&system.owner(command).await.ok());
    }
    system.network.client.send(&[system_transfer(&d.owner.pubkey(), &d.key.vault)], &[&d.owner]).await.unwrap();
    let recovered = system.owner(&[&["vault", "recover", "--sol"][..], &price].concat()).await.ok();
    assert_eq!(
        (&recovered["lamports"], &recovered["priority_fees"][0]["lamports"]),
        (&"5000000".into(), &"2000".into())
    );
    note(&recovered);
    let key = Pubkey::new_from_array(d.key.key).to_string();
    note(&system.owner(&["key", "update", &key, "--limit", "50"]).await.ok());

    let wallet = system.wallet().await;
    let terms = ["--price-input", "1", "--price-output", "2", "--context", "1000", "--max-output", "100"];
    let long = ["--long-from", "500", "--long-price-input", "2", "--long-price-output", "4"];
    for command in [
        &["provider", "register", "--name", "a", "--endpoint", "http://127.0.0.1:1/v1"][..],
        &[&["provider", "offer", "--model", "m"][..], &terms, &long].concat(),
        &["provider", "status"],
        &["provider", "earnings"],
        &["provider", "recover"],
        &["provider", "offer", "--model", "m", "--retire"],
    ] {
        note(&system.steam(&wallet, command).await.ok());
    }
    note(&system.steam(&d.relayer_authority, &["relayer", "status"]).await.ok());
    let all =
        ["amount", "balance", "cached", "cache_write", "cache_write_long", "earnings", "fee_pico", "fees", "input"];
    let more =
        ["lamports", "limit", "micro_lamports_per_unit", "nested", "output", "request", "settled_pico", "window_limit"];
    for name in all.iter().chain(&more) {
        assert!(seen.contains(*name), "{name} is in no report: {seen:?}");
    }
}

/// A transfer of 5,000,000 lamports.
fn system_transfer(from: &Pubkey, to: &Pubkey) -> anchor_lang::solana_program::instruction::Instruction {
    use anchor_lang::solana_program::instruction::{AccountMeta, Instruction};
    let accounts = vec![AccountMeta::new(*from, true), AccountMeta::new(*to, false)];
    let data = [&2u32.to_le_bytes()[..], &5_000_000u64.to_le_bytes()].concat();
    Instruction { program_id: Pubkey::default(), accounts, data }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_closes_after_its_delay_and_an_empty_one_at_once() {
    let system = System::start().await;
    let d = &system.deployment;
    refused(system.owner(&["vault", "close"]).await, "CloseNeedsAll", "steam vault withdraw --all");
    system.owner(&["vault", "withdraw", "--all"]).await.ok();
    refused(system.owner(&["vault", "close"]).await, "WithdrawalLocked", "run the same command then");
    wait_until("the delay", async || system.owner(&["vault", "close"]).await.code == 0).await;
    assert!(!system.is_there(&d.key.vault).await && !system.is_there(&d.vault_token).await);
    let wallet = addresses::ata(&d.owner.pubkey(), &system.network.mint);
    assert_eq!(system.balance(&wallet).await, DEPOSIT.0 * 2);

    system.owner(&["vault", "open", "--relayer", &d.relayer.to_string()]).await.ok();
    wait_until("the next slot", async || system.owner(&["vault", "close"]).await.code == 0).await;
    assert!(!system.is_there(&d.key.vault).await, "without a request");
}
