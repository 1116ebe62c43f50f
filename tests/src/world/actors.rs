//! Who acts, and what each can do.

use super::World;
use crate::nobody;
use crate::outcome::Outcome;
use anchor_lang::prelude::Pubkey;
use anchor_lang::solana_program::instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;
use steam::{addresses, instructions};
use steam_protocol::allow_list::AllowList;
use steam_protocol::units::MicroUsdc;
use steam_router::state::{
    self, Agreement, ConfigUpdate, KeyGrant, KeyLimits, OfferTerms, Prices, ProviderUpdate, RelayerUpdate,
};

/// A relayer.
#[derive(Debug)]
pub struct Relayer {
    /// Changes settings, withdraws fees.
    pub authority: Keypair,
    /// Settles.
    pub settler: Keypair,
    /// Its account.
    pub address: Pubkey,
    /// Where its fees go.
    pub fee_token: Pubkey,
}

/// A provider.
#[derive(Debug)]
pub struct Provider {
    /// Posts offers, withdraws earnings.
    pub authority: Keypair,
    /// Its account.
    pub address: Pubkey,
    /// Where its earnings go.
    pub token: Pubkey,
}

/// An offer.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its account.
    pub address: Pubkey,
    /// Whose it is.
    pub provider: Pubkey,
    /// Where it pays.
    pub token: Pubkey,
    /// The model's name.
    pub model: String,
    /// The version of its first price.
    pub version: u32,
}

/// A vault.
#[derive(Debug)]
pub struct Vault {
    /// Whose money it holds.
    pub owner: Keypair,
    /// Who may settle.
    pub relayer: Pubkey,
    /// Its account.
    pub address: Pubkey,
    /// Where the money is.
    pub token: Pubkey,
}

/// A session key in a vault.
#[derive(Debug)]
pub struct Key {
    /// The key.
    pub keypair: Keypair,
    /// Its slot.
    pub slot: u8,
    /// Its epoch.
    pub epoch: u32,
    /// Whom it may pay, if not everybody.
    pub list: Option<AllowList>,
}

/// Terms at a price.
pub fn terms(price: Prices) -> OfferTerms {
    OfferTerms {
        price,
        long_from: 0,
        long_price: Prices::default(),
        context_limit: 128_000,
        output_limit: 16_000,
        capabilities: 0,
    }
}

/// A grant without any bound that matters.
pub fn boundless() -> KeyGrant {
    KeyGrant {
        expires: i64::MAX,
        limit_total: u64::MAX,
        window_seconds: 0,
        window_limit: 0,
        max_price: crate::price(u64::MAX, u64::MAX, u64::MAX, u64::MAX),
        max_fee_bps: 2_000,
        allow_root: [0; 32],
    }
}

impl World {
    /// Registers a relayer with this fee.
    pub fn relayer(&mut self, fee_bps: u16) -> Relayer {
        let (authority, settler) = (self.keypair(), self.wallet());
        self.register_relayer(&authority, &settler.pubkey(), &nobody("receipts"), fee_bps, "https://relay.example")
            .ok();
        let address = addresses::relayer(&authority.pubkey());
        Relayer { authority, settler, address, fee_token: addresses::ata(&address, &self.mint) }
    }

    /// Tries to register a relayer.
    pub fn register_relayer(
        &mut self,
        authority: &Keypair,
        settler: &Pubkey,
        receipt_key: &Pubkey,
        fee_bps: u16,
        url: &str,
    ) -> Outcome {
        let (payer, mint) = (self.payer.pubkey(), self.mint);
        let authority_key = authority.pubkey();
        let register =
            instructions::register_relayer(&authority_key, &payer, &mint, settler, receipt_key, fee_bps, url);
        self.run(&[register], &[authority])
    }

    /// Registers a provider.
    pub fn provider(&mut self) -> Provider {
        let authority = self.keypair();
        self.register_provider(&authority, "Provider", "https://provider.example").ok();
        let address = addresses::provider(&authority.pubkey());
        Provider { authority, address, token: addresses::ata(&address, &self.mint) }
    }

    /// Tries to register a provider.
    pub fn register_provider(&mut self, authority: &Keypair, name: &str, url: &str) -> Outcome {
        let (payer, mint) = (self.payer.pubkey(), self.mint);
        let register = instructions::register_provider(&authority.pubkey(), &payer, &mint, name, url);
        self.run(&[register], &[authority])
    }

    /// Lists a model at a price.
    pub fn list(&mut self, provider: &Provider, model: &str, price: Prices) -> Offer {
        self.list_at(provider, model, terms(price))
    }

    /// Lists a model at these terms.
    pub fn list_at(&mut self, provider: &Provider, model: &str, terms: OfferTerms) -> Offer {
        self.put_offer(provider, model, terms).ok();
        let address = addresses::offer(&provider.address, model);
        let version = self.offer(&address).current.version;
        Offer { address, provider: provider.address, token: provider.token, model: model.into(), version }
    }

    /// Tries to post terms.
    pub fn put_offer(&mut self, provider: &Provider, model: &str, terms: OfferTerms) -> Outcome {
        let put = instructions::put_offer(&provider.authority.pubkey(), &self.payer.pubkey(), model, terms);
        self.run(&[put], &[&provider.authority])
    }

    /// Tries to post a price.
    pub fn put_price(&mut self, provider: &Provider, model: &str, price: Prices) -> Outcome {
        self.put_offer(provider, model, terms(price))
    }

    /// Tries to stop serving.
    pub fn retire(&mut self, provider: &Provider, model: &str) -> Outcome {
        let retire = instructions::retire_offer(&provider.authority.pubkey(), model);
        self.run(&[retire], &[&provider.authority])
    }

    /// Opens a vault at a relayer for a new owner.
    pub fn open_vault(&mut self, relayer: &Relayer) -> Vault {
        let owner = self.keypair();
        self.try_open_vault(&owner, &relayer.address).ok();
        let address = addresses::vault(&owner.pubkey(), &relayer.address);
        Vault { owner, relayer: relayer.address, address, token: addresses::ata(&address, &self.mint) }
    }

    /// Tries to open a vault.
    pub fn try_open_vault(&mut self, owner: &Keypair, relayer: &Pubkey) -> Outcome {
        let open = instructions::open_vault(&owner.pubkey(), &self.payer.pubkey(), relayer, &self.mint);
        self.run(&[open], &[owner])
    }

    /// Puts a new key into a vault's slot.
    pub fn authorize(&mut self, vault: &Vault, slot: u8, grant: KeyGrant) -> Key {
        let keypair = self.keypair();
        self.try_authorize(vault, slot, &keypair, grant).ok();
        let epoch = self.vault(&vault.address).epochs;
        Key { keypair, slot, epoch, list: None }
    }

    /// Puts a new key into a vault's slot that may pay these providers only.
    pub fn authorize_for(&mut self, vault: &Vault, slot: u8, list: AllowList) -> Key {
        let grant = KeyGrant { allow_root: list.root(), ..boundless() };
        Key { list: Some(list), ..self.authorize(vault, slot, grant) }
    }

    /// Tries to put a key into a vault's slot.
    pub fn try_authorize(&mut self, vault: &Vault, slot: u8, key: &Keypair, grant: KeyGrant) -> Outcome {
        let (owner, payer) = (vault.owner.pubkey(), self.payer.pubkey());
        let authorize = instructions::authorize_key(&owner, &payer, &vault.relayer, &key.pubkey(), slot, grant);
        self.run(&[authorize], &[&vault.owner, key])
    }

    /// Tries to change what a key may spend.
    pub fn update_key(&mut self, vault: &Vault, slot: u8, limits: KeyLimits) -> Outcome {
        let update = instructions::update_key(&vault.owner.pubkey(), &vault.relayer, slot, limits);
        self.run(&[update], &[&vault.owner])
    }

    /// Tries to close an offer.
    pub fn close_offer(&mut self, provider: &Provider, offer: &Offer) -> Outcome {
        let rent_payer = self.offer(&offer.address).rent_payer;
        let close = instructions::close_offer(&provider.authority.pubkey(), &offer.model, &rent_payer);
        self.run(&[close], &[&provider.authority])
    }

    /// Tries to close a provider.
    pub fn close_provider(&mut self, provider: &Provider) -> Outcome {
        let rent_payer = self.read::<state::Provider>(&provider.address).rent_payer;
        let close = instructions::close_provider(&provider.authority.pubkey(), &self.mint, &rent_payer);
        self.run(&[close], &[&provider.authority])
    }

    /// Tries to end a key; the settler agrees if it is given.
    pub fn revoke(&mut self, vault: &Vault, slot: u8, settler: Option<&Keypair>) -> Outcome {
        let address = settler.map(Keypair::pubkey);
        let revoke = instructions::revoke_key(&vault.owner.pubkey(), &vault.relayer, slot, address.as_ref());
        let mut signers = vec![&vault.owner];
        signers.extend(settler);
        self.run(&[revoke], &signers)
    }

    /// Tries to ask for money back.
    pub fn request_withdraw(&mut self, vault: &Vault, amount: MicroUsdc) -> Outcome {
        let request = instructions::request_withdraw(&vault.owner.pubkey(), &vault.relayer, amount);
        self.run(&[request], &[&vault.owner])
    }

    /// Tries to take the request back.
    pub fn cancel_withdraw(&mut self, vault: &Vault) -> Outcome {
        let cancel = instructions::cancel_withdraw(&vault.owner.pubkey(), &vault.relayer);
        self.run(&[cancel], &[&vault.owner])
    }

    /// Tries to take the money out, to `destination`.
    pub fn execute_withdraw(&mut self, vault: &Vault, destination: &Pubkey) -> Outcome {
        let execute = instructions::execute_withdraw(&vault.owner.pubkey(), &vault.relayer, &self.mint, destination);
        self.run(&[execute], &[&vault.owner])
    }

    /// The instruction that takes money out at once, valid now.
    pub fn withdraw_now(&self, vault: &Vault, relayer: &Relayer, to: &Pubkey, amount: MicroUsdc) -> Instruction {
        let state = self.vault(&vault.address);
        let (generation, settle_seq) = (state.generation, state.settle_seq);
        let agreement = Agreement { generation, settle_seq, valid_until_slot: self.now().slot };
        let (owner, settler) = (vault.owner.pubkey(), relayer.settler.pubkey());
        instructions::withdraw_now(&owner, &settler, &relayer.address, &self.mint, to, amount, agreement)
    }

    /// The instruction that closes a vault, for tests that damage it.
    pub fn close_instruction(&self, vault: &Vault, destination: &Pubkey) -> Instruction {
        let rent_payer = self.vault(&vault.address).rent_payer;
        instructions::close_vault(&vault.owner.pubkey(), &vault.relayer, &self.mint, destination, &rent_payer)
    }

    /// Tries to close a vault.
    pub fn close_vault(&mut self, vault: &Vault, destination: &Pubkey) -> Outcome {
        let close = self.close_instruction(vault, destination);
        self.run(&[close], &[&vault.owner])
    }

    /// The admin's keypair.
    pub fn admin_keypair(&self) -> Keypair {
        Keypair::new_from_array(steam_protocol::sha256(&[b"steam-tests", b"admin"]))
    }

    /// Tries to change settings.
    pub fn set_config(&mut self, update: ConfigUpdate) -> Outcome {
        let admin = self.admin_keypair();
        self.run(&[instructions::set_config(&admin.pubkey(), update)], &[&admin])
    }

    /// Tries to suspend a provider, or to end that.
    pub fn suspend(&mut self, provider: &Provider, suspended: bool) -> Outcome {
        let guardian = self.guardian.insecure_clone();
        let suspend = instructions::suspend_provider(&guardian.pubkey(), &provider.address, suspended);
        self.run(&[suspend], &[&guardian])
    }

    /// Tries to change what a provider says of itself.
    pub fn update_provider(&mut self, provider: &Provider, update: ProviderUpdate) -> Outcome {
        let update = instructions::update_provider(&provider.authority.pubkey(), update);
        self.run(&[update], &[&provider.authority])
    }

    /// Tries to change a relayer.
    pub fn update_relayer(&mut self, relayer: &Relayer, update: RelayerUpdate) -> Outcome {
        let update = instructions::update_relayer(&relayer.authority.pubkey(), update);
        self.run(&[update], &[&relayer.authority])
    }

    /// Tries to withdraw a provider's earnings.
    pub fn withdraw_earnings(&mut self, provider: &Provider, destination: &Pubkey, amount: MicroUsdc) -> Outcome {
        let withdraw = instructions::withdraw_earnings(&provider.authority.pubkey(), &self.mint, destination, amount);
        self.run(&[withdraw], &[&provider.authority])
    }

    /// Tries to withdraw a relayer's fees.
    pub fn withdraw_fees(&mut self, relayer: &Relayer, destination: &Pubkey, amount: MicroUsdc) -> Outcome {
        let withdraw = instructions::withdraw_fees(&relayer.authority.pubkey(), &self.mint, destination, amount);
        self.run(&[withdraw], &[&relayer.authority])
    }
}
