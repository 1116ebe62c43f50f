//! Reads the program's accounts into what the relayer works with. Every account is checked for its owner and
//! discriminator: an RPC node may answer anything.

use crate::addresses;
use crate::chain::quorum::ask;
use crate::chain::rpc::{ChainAccount, MAX_ACCOUNTS, Rpc, RpcError};
use crate::chain::{KeySnapshot, Pubkey, SettlementAccounts, VaultSnapshot};
use crate::registry::{Offer, ProviderInfo, Registry, RelayerInfo};
use anchor_lang::prelude::Clock;
use anchor_lang::{AccountDeserialize, Discriminator};
use anchor_spl::token::TokenAccount;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use steam_protocol::units::MicroUsdc;
use steam_protocol::{Address, seeds};
use steam_router::state::{Config, Delays, Offer as OfferAccount, Provider, Relayer, Status, Vault, VaultWithKeys};

/// Vaults read at once: each with its token account.
pub const VAULTS_AT_ONCE: usize = MAX_ACCOUNTS / 2;
/// Offset of `Vault.relayer`: after the discriminator and the owner.
const VAULT_RELAYER_OFFSET: usize = 8 + 32;
const CLOCK: Pubkey = Pubkey::from_str_const("SysvarC1ock11111111111111111111111111111111");

/// The address of the program's config.
pub fn config_address(program: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[seeds::CONFIG], program).0
}

/// All providers and offers, and this relayer, as one node has them.
///
/// # Errors
/// [`RpcError::Absent`] if an account is missing, and [`RpcError::Malformed`] if it is not what it should be.
pub async fn registry(node: &dyn Rpc, program: &Pubkey, relayer: &Pubkey) -> Result<Registry, RpcError> {
    let (slot, accounts) = node.accounts(&[config_address(program), *relayer, CLOCK]).await?;
    let [config, relayer_account, clock] = accounts.as_slice() else {
        return Err(RpcError::Malformed("not as many accounts as were asked for".into()));
    };
    let config: Config = parse(config.as_ref(), program, "the program's config: is the program initialised?")?;
    let account: Relayer = parse(relayer_account.as_ref(), program, "the relayer's account: is it registered?")?;
    let clock: Clock = clock
        .as_ref()
        .and_then(|clock| bincode::deserialize(&clock.data).ok())
        .ok_or_else(|| RpcError::Malformed("the clock".into()))?;

    let mut providers = HashMap::new();
    for (address, data) in program_accounts::<Provider>(node, program).await? {
        let provider = Provider::try_deserialize(&mut data.as_slice()).map_err(|_| malformed("a provider"))?;
        providers.insert(address, provider_info(address, provider));
    }
    let mut offers = Vec::new();
    for (address, data) in program_accounts::<OfferAccount>(node, program).await? {
        let offer: OfferAccount = zero_copy(&data).ok_or_else(|| malformed("an offer"))?;
        let provider = providers.get(&offer.provider).filter(|provider| provider.active);
        if let Some(provider) = provider.filter(|_| offer.is_listed()) {
            offers.push(Arc::new(active_offer(address, &offer, provider, &clock)));
        }
    }
    offers.sort_unstable_by_key(|offer| offer.address);
    let mut providers: Vec<ProviderInfo> = providers.into_values().collect();
    providers.sort_unstable_by_key(|provider| provider.address);

    let info = RelayerInfo {
        address: *relayer,
        authority: account.authority,
        settler: account.settler,
        receipt_key: account.receipt_key.into(),
        receipt_key_id: account.receipt_key_id,
        receipt_keys: receipt_keys(&account),
        fee_bps: account.fee.rolled(&clock).current,
        fee_token: account.fee_token,
        url: account.url,
        active: account.status == Status::Active,
    };
    let paused = config.is_paused(&clock);
    Ok(Registry::new((slot, clock.unix_timestamp), paused, (config.domain, config.mint), info, offers, providers))
}

/// The program's delays, as every node has them.
///
/// # Errors
/// [`RpcError`] if too few nodes answer, or differ.
pub async fn delays(nodes: &[Arc<dyn Rpc>], program: &Pubkey) -> Result<Delays, RpcError> {
    let told = ask(nodes, |node| async move {
        let (_, accounts) = node.accounts(&[config_address(program)]).await?;
        let config: Config = parse(accounts.first().and_then(Option::as_ref), program, "the program's config")?;
        Ok(config.delays)
    })
    .await?;
    let mut told = told.into_iter().map(|(_, delays)| delays);
    let first = told.next().ok_or_else(|| malformed("the program's config at every node"))?;
    if told.any(|delays| delays != first) {
        return Err(malformed("the program's delays, which the nodes have differently"));
    }
    Ok(first)
}

/// A relayer's receipt keys by number, those it replaced included.
pub fn receipt_keys(relayer: &Relayer) -> Vec<(u32, Address)> {
    let replaced = relayer.previous_receipt_keys.iter().filter(|key| key.id != 0).map(|key| (key.id, key.key));
    std::iter::once((relayer.receipt_key_id, relayer.receipt_key)).chain(replaced).collect()
}

/// The registry on which all nodes that answer agree. Where they differ, the `last` agreed state stays.
///
/// # Errors
/// [`RpcError`] if too few answer, or if there is no `last` state and they differ on the config or the relayer.
pub async fn agreed_registry(
    nodes: &[Arc<dyn Rpc>],
    program: &Pubkey,
    relayer: &Pubkey,
    last: Option<&Registry>,
) -> Result<Registry, RpcError> {
    let told = ask(nodes, |node| registry(node, program, relayer)).await?;
    let told: Vec<Registry> = told.into_iter().map(|(_, registry)| registry).collect();
    Registry::agreed(&told, last)
        .ok_or_else(|| malformed("the program's config and the relayer's account at every node"))
}

/// The addresses of all vaults that name this relayer, according to any node.
///
/// # Errors
/// [`RpcError`] if too few nodes answer.
pub async fn all_vault_addresses(
    nodes: &[Arc<dyn Rpc>],
    program: &Pubkey,
    relayer: &Pubkey,
) -> Result<BTreeSet<Pubkey>, RpcError> {
    let told = ask(nodes, |node| vault_addresses(node, program, relayer)).await?;
    Ok(told.into_iter().flat_map(|(_, addresses)| addresses).collect())
}

/// The addresses of all vaults that name this relayer.
///
/// # Errors
/// [`RpcError`].
async fn vault_addresses(node: &dyn Rpc, program: &Pubkey, relayer: &Pubkey) -> Result<Vec<Pubkey>, RpcError> {
    let filters = [(0, Vault::DISCRIMINATOR.to_vec()), (VAULT_RELAYER_OFFSET, relayer.to_bytes().to_vec())];
    let found = node.program_accounts(program, &filters).await?;
    Ok(found.into_iter().map(|(address, _)| address).collect())
}

/// Vaults as all nodes have them.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Those that every node has, and has the same.
    pub vaults: HashMap<Pubkey, VaultSnapshot>,
    /// Addresses at which no node has a vault, and the oldest slot that was read.
    pub absent: HashMap<Pubkey, u64>,
}

impl Reading {
    /// Whether a vault's generation has been closed: its address holds a later one, or none after the slot it was opened in.
    pub fn is_gone(&self, vault: &Pubkey, generation: u64) -> bool {
        match self.vaults.get(vault) {
            Some(snapshot) => snapshot.generation > generation,
            None => self.absent.get(vault).is_some_and(|slot| *slot > generation),
        }
    }

    /// What it says of some of its vaults.
    #[must_use]
    pub fn part<'a>(&self, vaults: impl Iterator<Item = &'a Pubkey> + Clone) -> Self {
        Self {
            vaults: vaults.clone().filter_map(|at| Some((*at, self.vaults.get(at)?.clone()))).collect(),
            absent: vaults.filter_map(|at| Some((*at, *self.absent.get(at)?))).collect(),
        }
    }

    /// Whether everything in it was read at `slot` or later.
    pub fn is_from(&self, slot: u64) -> bool {
        self.vaults.values().map(|vault| vault.slot).chain(self.absent.values().copied()).all(|read| read >= slot)
    }
}

/// The vaults at `addresses`. One on which two nodes differ in anything but the slot is in neither part: what one owner
/// does to a vault must not hide another's.
///
/// # Errors
/// [`RpcError`] if too few nodes answer.
pub async fn agreed_vaults(
    nodes: &[Arc<dyn Rpc>],
    parties: &SettlementAccounts,
    addresses: &[Pubkey],
) -> Result<Reading, RpcError> {
    let with_tokens: Vec<[Pubkey; 2]> =
        addresses.iter().map(|vault| [*vault, addresses::ata(vault, &parties.mint)]).collect();
    let told = ask(nodes, |node| vaults(node, parties, &with_tokens)).await?;
    let mut agreed: Option<Reading> = None;
    for (_, mut seen) in told {
        let Some(known) = &mut agreed else {
            agreed = Some(seen);
            continue;
        };
        known.vaults.retain(|address, vault| {
            let Some(mut other) = seen.vaults.remove(address) else { return false };
            let slot = vault.slot.min(other.slot);
            (vault.slot, other.slot) = (slot, slot);
            other == *vault
        });
        known.absent.retain(|address, slot| {
            let other = seen.absent.get(address);
            *slot = other.map_or(*slot, |other| (*slot).min(*other));
            other.is_some()
        });
    }
    Ok(agreed.unwrap_or_default())
}

/// The vaults at the first of each two addresses; the second is its token account's.
async fn vaults(node: &dyn Rpc, parties: &SettlementAccounts, addresses: &[[Pubkey; 2]]) -> Result<Reading, RpcError> {
    let mut reading = Reading::default();
    for chunk in addresses.chunks(VAULTS_AT_ONCE) {
        let (slot, found) = node.accounts(chunk.as_flattened()).await?;
        for ([address, _], [vault, token]) in chunk.iter().zip(found.as_chunks::<2>().0) {
            let is_vault = |account: &&ChainAccount| {
                account.owner == parties.program && account.data.starts_with(Vault::DISCRIMINATOR)
            };
            let Some(vault) = vault.as_ref().filter(is_vault) else {
                reading.absent.insert(*address, slot);
                continue;
            };
            let vault = VaultWithKeys::read(&vault.data).ok_or_else(|| malformed("a vault"))?;
            if vault.relayer == parties.relayer {
                reading.vaults.insert(*address, snapshot(*address, slot, &vault, token.as_ref())?);
            }
        }
    }
    Ok(reading)
}

fn snapshot(
    address: Pubkey,
    slot: u64,
    vault: &VaultWithKeys,
    token: Option<&ChainAccount>,
) -> Result<VaultSnapshot, RpcError> {
    // A vault's token account is made with it and cannot be closed before it.
    let token: TokenAccount = token
        .filter(|token| token.owner == anchor_spl::token::ID)
        .and_then(|token| TokenAccount::try_deserialize(&mut token.data.as_slice()).ok())
        .ok_or_else(|| malformed("a vault's token account"))?;
    let keys = vault.keys.iter().enumerate().filter(|(_, key)| key.is_used());
    Ok(VaultSnapshot {
        address,
        owner: vault.owner,
        generation: vault.generation,
        slot,
        token: vault.token,
        balance: MicroUsdc(token.amount),
        frozen: token.is_frozen(),
        pending_withdrawal: MicroUsdc(vault.pending_withdrawal),
        settle_seq: vault.settle_seq,
        settle_hash: vault.settle_hash,
        receipts_settled: vault.receipts_settled,
        settled_pico: vault.settled_pico.pico(),
        fee_pico: vault.fee_pico.pico(),
        keys: keys
            .map(|(slot, key)| KeySnapshot {
                slot: slot as u8,
                key: key.key.to_bytes(),
                epoch: key.epoch,
                expires: key.expires,
                revoked_at: key.revoked_at,
                limit_total: MicroUsdc(key.limits.total),
                window_seconds: key.window_seconds,
                window_limit: MicroUsdc(key.limits.window),
                window_start: key.window_start,
                window_spent: key.window_spent.pico(),
                max_price: key.limits.max_price.into(),
                max_fee_bps: key.limits.max_fee_bps,
                allow_root: key.allow_list().copied(),
                settled: key.settled_pico.pico(),
            })
            .collect(),
    })
}

fn provider_info(address: Pubkey, provider: Provider) -> ProviderInfo {
    ProviderInfo {
        address,
        authority: provider.authority,
        // A label is what people see of it: nobody takes another's by a character that shows nothing.
        name: crate::words::label(&provider.name),
        url: provider.url,
        active: provider.status == Status::Active,
        token: provider.token,
    }
}

fn active_offer(address: Pubkey, offer: &OfferAccount, provider: &ProviderInfo, clock: &Clock) -> Offer {
    let next_holds = offer.next.version != 0 && offer.next.from.passed(clock);
    let point = if next_holds { &offer.next } else { &offer.current };
    Offer {
        address,
        provider: provider.address,
        provider_name: provider.name.clone(),
        provider_token: offer.token,
        url: provider.url.clone(),
        model: offer.model().to_owned(),
        price: point.tariff(),
        version: point.version,
        context_limit: offer.context_limit,
        output_limit: offer.output_limit,
        capabilities: offer.capabilities,
    }
}

async fn program_accounts<T: Discriminator>(
    node: &dyn Rpc,
    program: &Pubkey,
) -> Result<Vec<(Pubkey, Vec<u8>)>, RpcError> {
    let found = node.program_accounts(program, &[(0, T::DISCRIMINATOR.to_vec())]).await?;
    Ok(found.into_iter().filter(|(_, data)| data.starts_with(T::DISCRIMINATOR)).collect())
}

fn parse<T: AccountDeserialize>(
    account: Option<&ChainAccount>,
    program: &Pubkey,
    what: &'static str,
) -> Result<T, RpcError> {
    let account = account.filter(|account| account.owner == *program);
    let account = account.ok_or_else(|| RpcError::Absent(what.into()))?;
    T::try_deserialize(&mut account.data.as_slice()).map_err(|_| malformed(what))
}

fn zero_copy<T: bytemuck::AnyBitPattern>(data: &[u8]) -> Option<T> {
    bytemuck::try_pod_read_unaligned(data.get(8..8 + size_of::<T>())?).ok()
}

fn malformed(what: &str) -> RpcError {
    RpcError::Malformed(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_no_character_that_shows_nothing() {
        let provider = Provider {
            authority: Pubkey::default(),
            token: Pubkey::default(),
            rent_payer: Pubkey::default(),
            rent_paid: 0,
            token_rent_paid: 0,
            registered_slot: 0,
            offers: 0,
            status: Status::Active,
            status_before: Status::Active,
            bump: 0,
            _reserved: [0; 63],
            name: "A\u{200b}c\u{202e}me\n".into(),
            url: String::new(),
        };
        assert_eq!(provider_info(Pubkey::default(), provider).name, "Acme");
    }
}
