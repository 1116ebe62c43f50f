//! From an empty network to a running deployment: the program set up, a relayer, providers with their offers, and a user
//! with a vault, a key and money. All by the program's own instructions, as on any cluster.

use super::surfnet::{Localnet, LocalnetError};
use crate::chain::{KeyRef, Pubkey};
use crate::{addresses, instructions};
use anchor_lang::solana_program::instruction::Instruction;
use futures::future::try_join_all;
use solana_keypair::Keypair;
use solana_signature::Signature;
use solana_signer::Signer;
use std::sync::Arc;
use steam_protocol::Hash;
use steam_protocol::allow_list::ANY;
use steam_protocol::key::SessionKey;
use steam_protocol::units::{MicroUsdc, Price};
use steam_router::state::{Delay, Delays, KeyGrant, OfferTerms, VaultWithKeys};

/// The slot of the vault that the user's key takes.
const KEY_SLOT: u8 = 0;
/// How long everything takes on a local network, in seconds: long enough to settle within, short enough to watch.
const DELAYS: [u32; 7] = [1, 1, 8, 8, 10, 5, 5];

/// What to set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The relayer's base URL.
    pub relayer_url: String,
    /// Its fee, in basis points of the charge.
    pub fee_bps: u16,
    /// The providers to register.
    pub providers: Vec<ProviderSetup>,
    /// What the user's wallet gets.
    pub wallet: MicroUsdc,
    /// Of it, what is deposited in the vault.
    pub deposit: MicroUsdc,
    /// What the user's key may do.
    pub grant: KeyGrant,
}

/// What a key may do that is never in the way: `total` in all, at any price, from any provider, for ever.
pub fn unhindered(total: MicroUsdc) -> KeyGrant {
    let highest = 1_000_000_000;
    KeyGrant {
        expires: i64::MAX,
        limit_total: total.0,
        window_seconds: 0,
        window_limit: 0,
        max_price: Price::basic(highest, highest, highest, highest).into(),
        max_fee_bps: 100,
        allow_root: ANY,
    }
}

/// A provider to register. Its authority is the network's keypair of its name.
#[derive(Clone, Debug)]
pub struct ProviderSetup {
    /// Its name.
    pub name: String,
    /// Its base URL, `/v1` included.
    pub url: String,
    /// Its models with their terms.
    pub offers: Vec<(String, OfferTerms)>,
}

/// What was set up.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The program on this cluster.
    pub domain: Hash,
    /// The relayer's account.
    pub relayer: Pubkey,
    /// May change the relayer, and withdraws its fees.
    pub relayer_authority: Arc<Keypair>,
    /// Signs and pays for settlements.
    pub settler: Arc<Keypair>,
    /// Signs receipts.
    pub receipt_key: Arc<Keypair>,
    /// Pays for openings.
    pub sponsor: Arc<Keypair>,
    /// The relayer's token account.
    pub fee_token: Pubkey,
    /// The user.
    pub owner: Arc<Keypair>,
    /// The user's API key.
    pub session: SessionKey,
    /// Where that key is on chain.
    pub key: KeyRef,
    /// The vault's token account.
    pub vault_token: Pubkey,
    /// The providers, in the order of their setup.
    pub providers: Vec<ProviderAccount>,
}

/// A registered provider.
#[derive(Clone, Debug)]
pub struct ProviderAccount {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Pubkey,
    /// Where its earnings go.
    pub token: Pubkey,
    /// May change it.
    pub authority: Arc<Keypair>,
}

impl Localnet {
    /// The address that a provider called `name` has once it is registered.
    pub fn provider_address(&self, name: &str) -> Pubkey {
        addresses::provider(&self.keypair(&provider_key(name)).pubkey())
    }

    /// Sets everything up.
    ///
    /// # Errors
    /// [`LocalnetError::Step`], naming the step.
    pub async fn bootstrap(&self, setup: &Setup) -> Result<Deployment, LocalnetError> {
        let relayer_authority = self.keypair("relayer");
        let (settler, receipt_key, owner) = (self.keypair("settler"), self.keypair("receipts"), self.keypair("owner"));
        let session_keypair = self.keypair("api-key");
        let session = SessionKey::from_seed(session_keypair.secret_bytes());
        let sponsor = self.keypair("sponsor");
        let funded = [&relayer_authority, &settler, &owner, &sponsor].map(|keypair| keypair.pubkey());
        self.fund(&funded).await?;
        let domain = self.init_config().await?;
        let relayer = addresses::relayer(&relayer_authority.pubkey());
        let register = instructions::register_relayer(
            &relayer_authority.pubkey(),
            &self.payer.pubkey(),
            &self.mint,
            &settler.pubkey(),
            &receipt_key.pubkey(),
            setup.fee_bps,
            &setup.relayer_url,
        );
        self.step("cannot register the relayer", &[register], &[&self.payer, &relayer_authority]).await?;

        let vault = addresses::vault(&owner.pubkey(), &relayer);
        let open = async {
            let user = owner.pubkey();
            let steps = [
                instructions::open_vault(&user, &user, &relayer, &self.mint),
                instructions::authorize_key(&user, &user, &relayer, &session_keypair.pubkey(), KEY_SLOT, setup.grant),
            ];
            self.step("cannot open the vault", &steps, &[&owner, &session_keypair]).await?;
            self.mint_to(&owner.pubkey(), setup.wallet).await?;
            if setup.deposit > MicroUsdc(0) {
                self.transfer(&owner, &addresses::ata(&vault, &self.mint), setup.deposit).await?;
            }
            self.key(&vault, &session).await
        };
        let providers = try_join_all(setup.providers.iter().map(|provider| self.provider(provider)));
        let (key, providers) = futures::try_join!(open, providers)?;
        Ok(Deployment {
            domain,
            relayer,
            fee_token: addresses::ata(&relayer, &self.mint),
            relayer_authority,
            settler,
            receipt_key,
            sponsor,
            owner,
            session,
            key,
            vault_token: addresses::ata(&vault, &self.mint),
            providers,
        })
    }

    /// Moves tokens from a wallet's associated token account to any token account.
    ///
    /// # Errors
    /// [`LocalnetError::Step`]
    pub async fn transfer(&self, from: &Keypair, to: &Pubkey, amount: MicroUsdc) -> Result<Signature, LocalnetError> {
        let source = addresses::ata(&from.pubkey(), &self.mint);
        let transfer = instructions::transfer(&from.pubkey(), &source, to, &self.mint, amount);
        self.step("cannot transfer", &[transfer], &[from]).await
    }

    /// Asks for money back from a vault; `MicroUsdc(u64::MAX)` is all.
    ///
    /// # Errors
    /// [`LocalnetError::Step`]
    pub async fn request_withdraw(
        &self,
        owner: &Keypair,
        relayer: &Pubkey,
        amount: MicroUsdc,
    ) -> Result<Signature, LocalnetError> {
        let request = instructions::request_withdraw(&owner.pubkey(), relayer, amount);
        self.step("cannot request the withdrawal", &[request], &[owner]).await
    }

    /// Takes out what was asked for, to the owner's wallet.
    ///
    /// # Errors
    /// [`LocalnetError::Step`]
    pub async fn execute_withdraw(&self, owner: &Keypair, relayer: &Pubkey) -> Result<Signature, LocalnetError> {
        let wallet = owner.pubkey();
        let destination = addresses::ata(&wallet, &self.mint);
        let execute = instructions::execute_withdraw(&wallet, relayer, &self.mint, &destination);
        self.step("cannot withdraw", &[execute], &[owner]).await
    }

    /// A vault as it is on chain.
    ///
    /// # Errors
    /// [`LocalnetError::Step`]; [`LocalnetError::Missing`] if there is none.
    pub async fn vault(&self, address: &Pubkey) -> Result<VaultWithKeys, LocalnetError> {
        let found = self.client.account(address).await;
        let data = found.map_err(|source| LocalnetError::Step { what: "cannot read the vault", source })?;
        data.as_deref().and_then(VaultWithKeys::read).ok_or(LocalnetError::Missing("the vault"))
    }

    async fn init_config(&self) -> Result<Hash, LocalnetError> {
        let what = "cannot set the program up";
        let genesis_hash = self.client.genesis_hash().await.map_err(|source| LocalnetError::Step { what, source })?;
        // Both must pass; slots may be late, so the seconds decide.
        let [settle_interval, max_pause, price_grace, revoke_grace, withdraw_delay, price_notice, fee_notice] =
            DELAYS.map(|seconds| Delay { seconds, slots: seconds });
        let delays =
            Delays { settle_interval, max_pause, price_grace, revoke_grace, withdraw_delay, price_notice, fee_notice };
        let admin = self.admin.pubkey();
        let one = Delay { seconds: 1, slots: 1 };
        let floors = Delays {
            settle_interval: one,
            max_pause: one,
            price_grace: one,
            revoke_grace: one,
            withdraw_delay: one,
            price_notice: one,
            fee_notice: one,
        };
        let init =
            instructions::init_config(&admin, &admin, &self.mint, genesis_hash, &admin, &admin, (delays, floors));
        self.step(what, &[init], &[&self.admin]).await?;
        Ok(steam_protocol::domain::domain(&self.program.to_bytes(), &genesis_hash))
    }

    async fn provider(&self, setup: &ProviderSetup) -> Result<ProviderAccount, LocalnetError> {
        let authority = self.keypair(&provider_key(&setup.name));
        let provider = addresses::provider(&authority.pubkey());
        let payer = self.payer.pubkey();
        let token = addresses::ata(&provider, &self.mint);
        let wallet = authority.pubkey();
        let register = instructions::register_provider(&wallet, &payer, &self.mint, &setup.name, &setup.url);
        self.step("cannot register a provider", &[register], &[&self.payer, &authority]).await?;
        let offers = setup.offers.iter().map(|(model, terms)| instructions::put_offer(&wallet, &payer, model, *terms));
        let offers: Vec<Instruction> = offers.collect();
        self.step("cannot post an offer", &offers, &[&self.payer, &authority]).await?;
        Ok(ProviderAccount { name: setup.name.clone(), address: provider, token, authority })
    }

    /// The user's key, as the program wrote it into the vault.
    async fn key(&self, address: &Pubkey, session: &SessionKey) -> Result<KeyRef, LocalnetError> {
        let vault = self.vault(address).await?;
        let key = &vault.keys[usize::from(KEY_SLOT)];
        Ok(KeyRef {
            vault: *address,
            generation: vault.generation,
            slot: KEY_SLOT,
            epoch: key.epoch,
            key: session.address(),
        })
    }

    async fn step(
        &self,
        what: &'static str,
        instructions: &[Instruction],
        signers: &[&Keypair],
    ) -> Result<Signature, LocalnetError> {
        self.client.send(instructions, signers).await.map_err(|source| LocalnetError::Step { what, source })
    }
}

fn provider_key(name: &str) -> String {
    format!("provider-{name}")
}
