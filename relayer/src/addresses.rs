//! The program's addresses: where each account is follows from whose it is.

use crate::chain::Pubkey;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock, PoisonError, RwLock};
use steam_protocol::seeds;

/// The sysvar with a transaction's instructions.
pub const INSTRUCTIONS: Pubkey = anchor_lang::prelude::pubkey!("Sysvar1nstructions1111111111111111111111111");

/// The program that this process was told to talk to.
static PROGRAM: OnceLock<Pubkey> = OnceLock::new();

/// The program: the one this binary was built with, unless [`use_program`] named another deployment's.
pub fn program() -> Pubkey {
    PROGRAM.get().copied().unwrap_or(steam_router::ID)
}

/// Names another deployment's program, before any address is derived. The first one named stays.
pub fn use_program(program: Pubkey) {
    PROGRAM.get_or_init(|| program);
}

fn derive(seeds: &[&[u8]]) -> Pubkey {
    Pubkey::find_program_address(seeds, &program()).0
}

/// The deployment's settings.
pub fn config() -> Pubkey {
    derive(&[seeds::CONFIG])
}

/// The relayer of an authority.
pub fn relayer(authority: &Pubkey) -> Pubkey {
    derive(&[seeds::RELAYER, authority.as_array()])
}

/// The provider of an authority.
pub fn provider(authority: &Pubkey) -> Pubkey {
    derive(&[seeds::PROVIDER, authority.as_array()])
}

/// A provider's offer of a model.
pub fn offer(provider: &Pubkey, model: &str) -> Pubkey {
    derive(&seeds::offer(provider.as_array(), &seeds::model_hash(model)))
}

/// An owner's vault at a relayer.
pub fn vault(owner: &Pubkey, relayer: &Pubkey) -> Pubkey {
    derive(&seeds::vault(owner.as_array(), relayer.as_array()))
}

/// The legacy token program, which USDC is of.
pub const TOKEN: Pubkey = anchor_spl::token::ID;
/// Token-2022.
pub const TOKEN_2022: Pubkey = anchor_lang::prelude::pubkey!("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");

/// As [`ata`], of a mint of either token program.
pub fn ata_of(owner: &Pubkey, mint: &Pubkey, program: &Pubkey) -> Pubkey {
    anchor_spl::associated_token::get_associated_token_address_with_program_id(owner, mint, program)
}

/// Token accounts that are remembered: more than a relayer has vaults and providers in use.
const REMEMBERED: usize = 65_536;

/// The associated token account of `owner`, who may be a vault, a provider or a relayer. Remembered: finding one takes some
/// tens of microseconds of curve arithmetic, and each settlement and each reading asks for the same ones again.
pub fn ata(owner: &Pubkey, mint: &Pubkey) -> Pubkey {
    static KNOWN: LazyLock<RwLock<HashMap<(Pubkey, Pubkey), Pubkey>>> = LazyLock::new(RwLock::default);
    let place = (*owner, *mint);
    if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
        return *known;
    }
    let found = anchor_spl::associated_token::get_associated_token_address(owner, mint);
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(place, found);
    found
}

/// Where the upgradeable loader keeps the program's upgrade authority.
pub fn program_data() -> Pubkey {
    let loader = anchor_lang::solana_program::bpf_loader_upgradeable::ID;
    Pubkey::find_program_address(&[program().as_array()], &loader).0
}
