//! One valid use of each instruction: what attacks start from, and what compute units are measured on.

use crate::chain::{GENESIS_HASH, Stored};
use crate::world::{DELAYS, FLOORS, MODEL, Market, PRICE, boundless, terms};
use crate::{nobody, usage, usdc};
use anchor_lang::solana_program::instruction::Instruction;
use solana_keypair::Keypair;
use solana_signer::Signer;
use steam::instructions as ix;
use steam_protocol::units::MicroUsdc;
use steam_router::state::{ConfigUpdate, ProviderUpdate, RelayerUpdate};

/// An instruction that works, and who signs it.
pub struct Example {
    /// The instruction.
    pub instruction: Instruction,
    /// Whoever it asks for.
    pub signers: Vec<Keypair>,
}

/// A valid use of an instruction in a market where something was settled; none if it is unknown here.
pub fn example(m: &mut Market, name: &str) -> Option<Example> {
    let actors = Actors { payer: m.world.wallet(), new: m.world.keypair() };
    let (instruction, signers) = of_deployment(m, &actors, name)
        .or_else(|| of_market(m, &actors, name))
        .or_else(|| of_vault(m, &actors, name))
        .or_else(|| of_recovery(m, name))?;
    Some(Example { instruction, signers })
}

/// Wallets made for the example.
struct Actors {
    /// Pays rent.
    payer: Keypair,
    /// Whoever registers, opens or takes over something.
    new: Keypair,
}

type Signed = (Instruction, Vec<Keypair>);

/// The deployment's administration.
fn of_deployment(m: &mut Market, actors: &Actors, name: &str) -> Option<Signed> {
    let payer = actors.payer.insecure_clone();
    let new = actors.new.insecure_clone();
    let paying = actors.payer.pubkey();
    let mint = m.world.mint;
    let nobody = nobody("somebody");
    Some(match name {
        "init_config" => {
            m.world.set_account(&steam::addresses::config(), Stored { lamports: 0, ..Stored::wallet() });
            let authority = m.world.upgrade_authority.insecure_clone();
            let init =
                ix::init_config(&authority.pubkey(), &paying, &mint, GENESIS_HASH, &nobody, &nobody, (DELAYS, FLOORS));
            (init, vec![authority, payer])
        }
        "pause" => {
            let guardian = m.world.guardian.insecure_clone();
            (ix::pause(&guardian.pubkey()), vec![guardian])
        }
        "set_config" => {
            let admin = m.world.admin_keypair();
            let update = ConfigUpdate { guardian: Some(nobody), delays: Some(DELAYS) };
            (ix::set_config(&admin.pubkey(), update), vec![admin])
        }
        "transfer_admin" => {
            let admin = m.world.admin_keypair();
            (ix::transfer_admin(&admin.pubkey(), &nobody), vec![admin])
        }
        "accept_admin" => {
            let admin = m.world.admin_keypair();
            m.world.run(&[ix::transfer_admin(&admin.pubkey(), &new.pubkey())], &[&admin]).ok();
            (ix::accept_admin(&new.pubkey()), vec![new])
        }
        _ => return None,
    })
}

/// Relayers, providers, offers and settlement.
fn of_market(m: &mut Market, actors: &Actors, name: &str) -> Option<Signed> {
    let payer = actors.payer.insecure_clone();
    let new = actors.new.insecure_clone();
    let paying = actors.payer.pubkey();
    let mint = m.world.mint;
    let settler = m.relayer.settler.insecure_clone();
    let provider = m.provider.authority.insecure_clone();
    let nobody = nobody("somebody");
    Some(match name {
        "register_relayer" => {
            let url = "https://relay.example";
            (ix::register_relayer(&new.pubkey(), &paying, &mint, &nobody, &nobody, 1, url), vec![new, payer])
        }
        "register_provider" => {
            let url = "https://provider.example";
            (ix::register_provider(&new.pubkey(), &paying, &mint, "Name", url), vec![new, payer])
        }
        "put_offer" => (ix::put_offer(&provider.pubkey(), &paying, "new/model", terms(PRICE)), vec![provider, payer]),
        "retire_offer" => (ix::retire_offer(&provider.pubkey(), MODEL), vec![provider]),
        "withdraw_earnings" => {
            let destination = m.world.token_account(&nobody);
            let amount = MicroUsdc(u64::MAX);
            (ix::withdraw_earnings(&provider.pubkey(), &mint, &destination, amount), vec![provider])
        }
        "withdraw_fees" => {
            let authority = m.relayer.authority.insecure_clone();
            let destination = m.world.token_account(&nobody);
            (ix::withdraw_fees(&authority.pubkey(), &mint, &destination, MicroUsdc(u64::MAX)), vec![authority])
        }
        "close_offer" => {
            // Somebody else than who pays for the transaction, and so writes its account anyway.
            m.world.edit_offer(&m.offer.address, |offer| offer.rent_payer = paying);
            m.world.retire(&m.provider, MODEL).ok();
            m.world.pass(DELAYS.price_grace);
            (ix::close_offer(&provider.pubkey(), MODEL, &paying), vec![provider])
        }
        "close_provider" => {
            let new = m.world.provider();
            m.world.edit::<steam_router::state::Provider>(&new.address, |provider| provider.rent_payer = paying);
            (ix::close_provider(&new.authority.pubkey(), &mint, &paying), vec![new.authority])
        }
        "update_relayer" => {
            let authority = m.relayer.authority.insecure_clone();
            let update = RelayerUpdate {
                settler: Some(nobody),
                receipt_key: Some(nobody.to_bytes()),
                fee_bps: Some(2_000),
                url: Some("https://new.example".into()),
                retired: Some(true),
            };
            (ix::update_relayer(&authority.pubkey(), update), vec![authority])
        }
        "update_provider" => {
            let url = Some("https://new.example".into());
            let update = ProviderUpdate { name: Some("New".into()), url, retired: Some(true) };
            (ix::update_provider(&provider.pubkey(), update), vec![provider])
        }
        "suspend_provider" => {
            let guardian = m.world.guardian.insecure_clone();
            (ix::suspend_provider(&guardian.pubkey(), &m.provider.address, true), vec![guardian])
        }
        "settle_batch" => {
            let group = m.charge(usage(1, 1_000, 0, 0));
            (m.world.settle_instruction(&m.relayer, &[group]), vec![settler])
        }
        _ => return None,
    })
}

/// An owner's vault and its keys.
fn of_vault(m: &mut Market, actors: &Actors, name: &str) -> Option<Signed> {
    let payer = actors.payer.insecure_clone();
    let new = actors.new.insecure_clone();
    let paying = actors.payer.pubkey();
    let mint = m.world.mint;
    let relayer = m.relayer.address;
    let owner = m.vault.owner.insecure_clone();
    let owner_key = m.vault.owner.pubkey();
    let settler = m.relayer.settler.insecure_clone();
    let nobody = nobody("somebody");
    Some(match name {
        "open_vault" => (ix::open_vault(&new.pubkey(), &paying, &relayer, &mint), vec![new, payer]),
        "authorize_key" => {
            // The vault grows for it, as who paid its rent pays.
            m.world.edit_vault(&m.vault.address, |vault| vault.rent_payer = paying);
            (ix::authorize_key(&owner_key, &paying, &relayer, &new.pubkey(), 1, boundless()), vec![owner, new, payer])
        }
        "update_key" => (ix::update_key(&owner_key, &relayer, 0, boundless().limits()), vec![owner]),
        "revoke_key" => (ix::revoke_key(&owner_key, &relayer, 0, Some(&settler.pubkey())), vec![owner, settler]),
        "request_withdraw" => (ix::request_withdraw(&owner_key, &relayer, usdc(1)), vec![owner]),
        "cancel_withdraw" => {
            m.world.request_withdraw(&m.vault, usdc(1)).ok();
            (ix::cancel_withdraw(&owner_key, &relayer), vec![owner])
        }
        "execute_withdraw" => {
            m.world.request_withdraw(&m.vault, usdc(1)).ok();
            m.world.pass(DELAYS.withdraw_delay);
            let destination = m.world.token_account(&nobody);
            (ix::execute_withdraw(&owner_key, &relayer, &mint, &destination), vec![owner])
        }
        "withdraw_now" => {
            let destination = m.world.token_account(&nobody);
            (m.world.withdraw_now(&m.vault, &m.relayer, &destination, usdc(1)), vec![owner, settler])
        }
        "close_vault" => {
            // Somebody else than who pays for the transaction, and so writes its account anyway.
            m.world.edit_vault(&m.vault.address, |vault| vault.rent_payer = paying);
            m.world.request_withdraw(&m.vault, MicroUsdc(u64::MAX)).ok();
            m.world.pass(DELAYS.withdraw_delay);
            let destination = m.world.token_account(&nobody);
            (m.world.close_instruction(&m.vault, &destination), vec![owner])
        }
        _ => return None,
    })
}

/// What lies where it does not belong.
fn of_recovery(m: &mut Market, name: &str) -> Option<Signed> {
    let mint = m.world.mint;
    let relayer = m.relayer.address;
    let owner = m.vault.owner.insecure_clone();
    let owner_key = m.vault.owner.pubkey();
    let provider = m.provider.authority.insecure_clone();
    let nobody = nobody("somebody");
    Some(match name {
        "recover_tokens" => {
            let (foreign, vault, program) = (crate::nobody("foreign mint"), m.vault.address, anchor_spl::token::ID);
            m.world.issue_mint(&foreign, 9);
            let (source, destination) =
                (m.world.token_account_of(&vault, &foreign), m.world.token_account_of(&nobody, &foreign));
            m.world.issue_of(&foreign, &source, 500);
            (ix::recover_tokens(&owner_key, &relayer, &source, &destination, &foreign, &program), vec![owner])
        }
        "recover_nested" => {
            let nested = m.world.token_account(&m.vault.token.clone());
            m.world.issue(&nested, usdc(1));
            (ix::recover_nested(&owner_key, &relayer, &mint), vec![owner])
        }
        "recover_nested_earnings" => {
            let nested = m.world.token_account(&m.provider.token.clone());
            m.world.issue(&nested, usdc(1));
            (ix::recover_nested_earnings(&provider.pubkey(), &mint), vec![provider])
        }
        "recover_lamports" => {
            let vault = m.world.account(&m.vault.address)?;
            let lamports = vault.lamports + 1_000_000_000;
            m.world.set_account(&m.vault.address, Stored { lamports, ..vault });
            (ix::recover_lamports(&owner_key, &relayer), vec![owner])
        }
        _ => return None,
    })
}
