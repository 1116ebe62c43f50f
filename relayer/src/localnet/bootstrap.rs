//! From an empty network to a running deployment: the program set up, a relayer, providers with their offers, and a user
//! with a vault, a key and money. All by the program's own instructions, as on any cluster.

use super::surfnet::{Localnet, LocalnetError};
use crate::addresses;
use crate::chain::Pubkey;
use crate::vaults::KeyRef;
use anchor_lang::solana_program::instruction::Instruction;
use anchor_lang::{InstructionData, ToAccountMetas};
use anchor_spl::associated_token::ID as ASSOCIATED_TOKEN_ID;
use anchor_spl::token::{ID as TOKEN_ID, spl_token};
use futures::future::try_join_all;
use solana_keypair::Keypair;
use solana_signature::Signature;
use solana_signer::Signer;
use std::sync::Arc;
use steam_protocol::Hash;
use steam_protocol::key::SessionKey;
use steam_protocol::units::MicroUsdc;
use steam_router::state::{Delay, Delays, KeyGrant, OfferTerms, Vault};
use steam_router::{accounts, instruction};

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
        self.fund(&[relayer_authority.pubkey(), settler.pubkey(), owner.pubkey()]).await?;
        let domain = self.init_config().await?;
        let relayer = addresses::relayer(&relayer_authority.pubkey());
        let register = self.register_relayer(setup, &relayer_authority, &settler, &receipt_key);
        self.step("cannot register the relayer", &[register], &[&self.payer, &relayer_authority]).await?;

        let vault = addresses::vault(&owner.pubkey(), &relayer);
        let open = async {
            let steps = [
                self.open_vault(&owner.pubkey(), &relayer),
                self.authorize_key(&owner, &session_keypair, &vault, setup),
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
        let wallet = from.pubkey();
        let source = addresses::ata(&wallet, &self.mint);
        let transfer = Instruction {
            program_id: TOKEN_ID,
            accounts: spl_token::instruction::transfer_checked(
                &TOKEN_ID,
                &source,
                &self.mint,
                to,
                &wallet,
                &[],
                amount.0,
                6,
            )
            .map(|built| built.accounts)
            .unwrap_or_default(),
            data: spl_token::instruction::TokenInstruction::TransferChecked { amount: amount.0, decimals: 6 }.pack(),
        };
        self.step("cannot transfer", &[transfer], &[from]).await
    }

    /// Asks for money back from a vault; `u64::MAX` is all.
    ///
    /// # Errors
    /// [`LocalnetError::Step`]
    pub async fn request_withdraw(
        &self,
        owner: &Keypair,
        vault: &Pubkey,
        amount: u64,
    ) -> Result<Signature, LocalnetError> {
        let accounts = accounts::RequestWithdraw { owner: owner.pubkey(), config: addresses::config(), vault: *vault };
        let request = built(&accounts, &instruction::RequestWithdraw { amount });
        self.step("cannot request the withdrawal", &[request], &[owner]).await
    }

    /// Takes out what was asked for, to the owner's wallet.
    ///
    /// # Errors
    /// [`LocalnetError::Step`]
    pub async fn execute_withdraw(&self, owner: &Keypair, vault: &Pubkey) -> Result<Signature, LocalnetError> {
        let accounts = accounts::ExecuteWithdraw {
            owner: owner.pubkey(),
            vault: *vault,
            token: addresses::ata(vault, &self.mint),
            destination: addresses::ata(&owner.pubkey(), &self.mint),
            mint: self.mint,
            token_program: TOKEN_ID,
        };
        let execute = built(&accounts, &instruction::ExecuteWithdraw {});
        self.step("cannot withdraw", &[execute], &[owner]).await
    }

    /// A vault as it is on chain.
    ///
    /// # Errors
    /// [`LocalnetError::Step`]; [`LocalnetError::Missing`] if there is none.
    pub async fn vault(&self, address: &Pubkey) -> Result<Vault, LocalnetError> {
        let found = self.client.account(address).await;
        let data = found.map_err(|source| LocalnetError::Step { what: "cannot read the vault", source })?;
        let bytes = data.as_deref().and_then(|data| data.get(8..8 + size_of::<Vault>()));
        bytes.map(bytemuck::pod_read_unaligned).ok_or(LocalnetError::Missing("the vault"))
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
        let accounts = accounts::InitConfig {
            authority: admin,
            payer: self.payer.pubkey(),
            config: addresses::config(),
            mint: self.mint,
            program_data: addresses::program_data(),
            system_program: anchor_lang::system_program::ID,
        };
        let init = built(&accounts, &instruction::InitConfig { genesis_hash, admin, guardian: admin, delays });
        self.step(what, &[init], &[&self.payer, &self.admin]).await?;
        Ok(steam_protocol::domain::domain(&self.program.to_bytes(), &genesis_hash))
    }

    fn register_relayer(
        &self,
        setup: &Setup,
        authority: &Keypair,
        settler: &Keypair,
        receipt_key: &Keypair,
    ) -> Instruction {
        let relayer = addresses::relayer(&authority.pubkey());
        let accounts = accounts::RegisterRelayer {
            authority: authority.pubkey(),
            payer: self.payer.pubkey(),
            config: addresses::config(),
            relayer,
            mint: self.mint,
            fee_token: addresses::ata(&relayer, &self.mint),
            token_program: TOKEN_ID,
            associated_token_program: ASSOCIATED_TOKEN_ID,
            system_program: anchor_lang::system_program::ID,
        };
        let data = instruction::RegisterRelayer {
            settler: settler.pubkey(),
            receipt_key: receipt_key.pubkey().to_bytes(),
            fee_bps: setup.fee_bps,
            url: setup.relayer_url.clone(),
        };
        built(&accounts, &data)
    }

    fn open_vault(&self, owner: &Pubkey, relayer: &Pubkey) -> Instruction {
        let vault = addresses::vault(owner, relayer);
        let accounts = accounts::OpenVault {
            owner: *owner,
            payer: *owner,
            config: addresses::config(),
            relayer: *relayer,
            vault,
            mint: self.mint,
            token: addresses::ata(&vault, &self.mint),
            token_program: TOKEN_ID,
            associated_token_program: ASSOCIATED_TOKEN_ID,
            system_program: anchor_lang::system_program::ID,
        };
        built(&accounts, &instruction::OpenVault {})
    }

    fn authorize_key(&self, owner: &Keypair, session: &Keypair, vault: &Pubkey, setup: &Setup) -> Instruction {
        let accounts = accounts::AuthorizeKey {
            owner: owner.pubkey(),
            session_key: session.pubkey(),
            config: addresses::config(),
            vault: *vault,
        };
        built(&accounts, &instruction::AuthorizeKey { slot: KEY_SLOT, grant: setup.grant })
    }

    async fn provider(&self, setup: &ProviderSetup) -> Result<ProviderAccount, LocalnetError> {
        let authority = self.keypair(&provider_key(&setup.name));
        let provider = addresses::provider(&authority.pubkey());
        let payer = self.payer.pubkey();
        let token = addresses::ata(&provider, &self.mint);
        let accounts = accounts::RegisterProvider {
            authority: authority.pubkey(),
            payer,
            config: addresses::config(),
            provider,
            mint: self.mint,
            token,
            token_program: TOKEN_ID,
            associated_token_program: ASSOCIATED_TOKEN_ID,
            system_program: anchor_lang::system_program::ID,
        };
        let data = instruction::RegisterProvider { name: setup.name.clone(), url: setup.url.clone() };
        let register = built(&accounts, &data);
        self.step("cannot register a provider", &[register], &[&self.payer, &authority]).await?;
        let offers = setup.offers.iter().map(|(model, terms)| {
            let accounts = accounts::PutOffer {
                authority: authority.pubkey(),
                payer,
                config: addresses::config(),
                provider,
                offer: addresses::offer(&provider, model),
                system_program: anchor_lang::system_program::ID,
            };
            built(&accounts, &instruction::PutOffer { model: model.clone(), terms: *terms })
        });
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

fn built(accounts: &impl ToAccountMetas, data: &impl InstructionData) -> Instruction {
    Instruction { program_id: steam_router::ID, accounts: accounts.to_account_metas(None), data: data.data() }
}
