//! The chain of `benches/peers/run`: a local Solana network with a relayer, three providers at one address and a user with
//! a vault, set up as `steam dev` does it. Everything `steam serve` needs is left in a folder.
//!
//! `chain PROVIDER_URL FOLDER LISTEN` prints what a client needs as one line of JSON and ends with its standard input.

use anyhow::{Context, Result};
use serde_json::json;
use solana_keypair::Keypair;
use std::path::Path;
use steam::localnet::{Deployment, Localnet, Options, ProviderSetup, Setup, unhindered};
use steam_protocol::units::{MicroUsdc, Price};
use steam_router::state::{OfferTerms, Prices, capability};

/// The model that all providers offer: the mock's.
const MODEL: &str = "mock";
const PROVIDERS: [&str; 3] = ["north", "south", "west"];
/// Ten million USDC.
const DEPOSIT: MicroUsdc = MicroUsdc(10_000_000_000_000);
/// About as long as a slot of the main network lasts.
const SLOT_MS: u64 = 200;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [provider, folder, listen] = arguments.as_slice() else {
        anyhow::bail!("usage: chain PROVIDER_URL FOLDER LISTEN; benches/peers/run starts it");
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let network = Localnet::start(Options { slot_ms: SLOT_MS, ..Options::default() }).await?;
        let deployment = network.bootstrap(&setup(provider, listen)).await?;
        let folder = Path::new(folder);
        write_keypair(&folder.join("settler.json"), &deployment.settler)?;
        write_keypair(&folder.join("receipts.json"), &deployment.receipt_key)?;
        std::fs::write(folder.join("steam.toml"), config(&network, &deployment, folder, listen))?;
        println!("{}", info(&deployment));
        tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await??;
        Ok(())
    })
}

fn setup(provider: &str, listen: &str) -> Setup {
    let terms = OfferTerms {
        price: Price::basic(1_000, 100, 2_000, 0).into(),
        long_from: 0,
        long_price: Prices::default(),
        context_limit: 131_072,
        output_limit: 16_384,
        capabilities: capability::STREAMING,
    };
    let provider =
        |name: &str| ProviderSetup { name: name.into(), url: provider.into(), offers: vec![(MODEL.into(), terms)] };
    Setup {
        relayer_url: format!("http://{listen}"),
        fee_bps: 100,
        providers: PROVIDERS.map(provider).into(),
        wallet: DEPOSIT,
        deposit: DEPOSIT,
        grant: unhindered(DEPOSIT),
    }
}

/// The configuration of `steam serve`: everything as it is by default, settlement every ten seconds.
fn config(network: &Localnet, deployment: &Deployment, folder: &Path, listen: &str) -> String {
    format!(
        "[server]\nlisten = {listen:?}\n[chain]\nrpc_urls = [{:?}]\nrelayer = \"{}\"\nsettler_keypair = {:?}\n\
         receipt_keypair = {:?}\n[ledger]\npath = {:?}\n[settle]\ninterval_ms = 10000\n[upstream]\nlocalnet = true\n",
        network.rpc_url,
        deployment.relayer,
        folder.join("settler.json"),
        folder.join("receipts.json"),
        folder.join("steam.db"),
    )
}

/// Who pays, as the client of `benches/load` reads it. The key is of this network alone.
fn info(deployment: &Deployment) -> serde_json::Value {
    let key = &deployment.key;
    json!({
        "key": deployment.session.reveal(),
        "domain": hex::encode(deployment.domain),
        "relayer": hex::encode(deployment.relayer.to_bytes()),
        "vault": hex::encode(key.vault.to_bytes()),
        "generation": key.generation,
        "epoch": key.epoch,
    })
}

fn write_keypair(path: &Path, keypair: &Keypair) -> Result<()> {
    let text = json!(keypair.to_bytes().as_slice()).to_string();
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
