//! A cluster that was checked to be the one the program was set up for, and the few things commands ask of it.

use super::error::{CliError, Result};
use super::failure;
use super::rpc::{COMMITMENT, RpcSession};
use super::solana::Global;
use crate::addresses;
use crate::chain::Pubkey;
use anchor_lang::prelude::Clock;
use anchor_lang::{AccountDeserialize, Discriminator};
use bytemuck::AnyBitPattern;
use solana_rpc_client_api::config::{RpcAccountInfoConfig, RpcProgramAccountsConfig, UiAccountEncoding};
use solana_rpc_client_api::filter::{Memcmp, RpcFilterType};
use steam_protocol::units::MicroUsdc;
use steam_router::state::{Config, Deadline, Vault, VaultWithKeys};

/// The clock's sysvar.
const CLOCK: Pubkey = anchor_lang::prelude::pubkey!("SysvarC1ock11111111111111111111111111111111");

/// A session with a cluster on which the program is set up.
pub struct Session {
    /// The node.
    pub rpc: RpcSession,
    /// The program's settings.
    pub config: Config,
}

/// Seconds to a deadline, as far as its time says.
pub fn until(deadline: &Deadline, clock: &Clock) -> i64 {
    deadline.time.saturating_sub(clock.unix_timestamp).max(0)
}

impl Session {
    /// Connects, and makes sure that the program's domain is this cluster's, so that nothing is ever signed for another.
    pub async fn open(global: &Global) -> Result<Self> {
        let rpc = RpcSession::of(global)?;
        let genesis = rpc.genesis().await?;
        let address = addresses::config();
        let Some(data) = rpc.data(&address).await? else {
            return Err(match rpc.data(&addresses::program()).await? {
                None => failure::not_deployed(),
                Some(_) => CliError::new("not_initialized", "the Steam Router program is deployed here but not set up")
                    .next("its upgrade authority sets it up with `steam admin init`"),
            });
        };
        let config: Config = decode(&data, &address)?;
        let domain = steam_protocol::domain::domain(&addresses::program().to_bytes(), &genesis);
        if domain != config.domain {
            return Err(CliError::new(
                "wrong_cluster",
                format!("the program's settings at {} were made for another cluster", rpc.shown()),
            )
            .next("do not sign anything there; name the right cluster with --url"));
        }
        Ok(Self { rpc, config })
    }

    /// An account, or nothing if there is none.
    pub async fn find<T: AccountDeserialize>(&self, address: &Pubkey) -> Result<Option<T>> {
        self.data(address).await?.map(|data| decode(&data, address)).transpose()
    }

    /// An account of somebody registered, with the command that registers one if there is none.
    pub async fn need<T: AccountDeserialize>(&self, address: &Pubkey, role: &'static str) -> Result<T> {
        self.find(address).await?.ok_or_else(|| {
            CliError::new(format!("no_{role}"), format!("there is no {role} at {address}"))
                .next(format!("register one with `steam {role} register`, or use its keypair with --keypair"))
        })
    }

    /// As [`Self::find`], for accounts that are read in place.
    pub async fn find_pod<T: Discriminator + AnyBitPattern>(&self, address: &Pubkey) -> Result<Option<T>> {
        self.data(address).await?.map(|data| pod(&data).ok_or_else(|| another(address))).transpose()
    }

    /// A vault and its keys, if there is one.
    ///
    /// # Errors
    /// If the node is out of reach or the account is something else.
    pub async fn find_vault(&self, address: &Pubkey) -> Result<Option<VaultWithKeys>> {
        let data = self.data(address).await?;
        data.map(|data| VaultWithKeys::read(&data).ok_or_else(|| another(address))).transpose()
    }

    /// The vaults whose bytes from `offset` are `bytes`.
    ///
    /// # Errors
    /// If the node is out of reach.
    pub async fn list_vaults(&self, filter: (usize, &[u8])) -> Result<Vec<(Pubkey, VaultWithKeys)>> {
        let found = self.list::<Vault>(Some(filter)).await?;
        Ok(found.into_iter().filter_map(|(address, data)| Some((address, VaultWithKeys::read(&data)?))).collect())
    }

    /// The program's accounts whose bytes from `offset` are `bytes`; their addresses and bytes.
    pub async fn list<T: Discriminator>(&self, filter: Option<(usize, &[u8])>) -> Result<Vec<(Pubkey, Vec<u8>)>> {
        let filters = std::iter::once((0, T::DISCRIMINATOR))
            .chain(filter)
            .map(|(offset, bytes)| RpcFilterType::Memcmp(Memcmp::new_base58_encoded(offset, bytes)))
            .collect();
        let config = RpcProgramAccountsConfig {
            filters: Some(filters),
            account_config: RpcAccountInfoConfig {
                encoding: Some(UiAccountEncoding::Base64),
                commitment: Some(COMMITMENT),
                ..RpcAccountInfoConfig::default()
            },
            ..RpcProgramAccountsConfig::default()
        };
        let program = addresses::program();
        let found = self.rpc.client().get_program_ui_accounts_with_config(&program, config);
        let found = self.rpc.answer(found).await?;
        Ok(found.into_iter().filter_map(|(address, account)| Some((address, account.data.decode()?))).collect())
    }

    /// As [`Self::list`], read in place.
    pub async fn list_pod<T: Discriminator + AnyBitPattern>(
        &self,
        filter: Option<(usize, &[u8])>,
    ) -> Result<Vec<(Pubkey, T)>> {
        let found = self.list::<T>(filter).await?;
        Ok(found.into_iter().filter_map(|(address, data)| Some((address, pod(&data)?))).collect())
    }

    /// What a token account holds, or nothing if there is none.
    pub async fn balance(&self, token: &Pubkey) -> Result<Option<MicroUsdc>> {
        let account: Option<anchor_spl::token::TokenAccount> = self.find(token).await?;
        Ok(account.map(|account| MicroUsdc(account.amount)))
    }

    /// The chain's time.
    pub async fn clock(&self) -> Result<Clock> {
        let address = CLOCK;
        let data = self.data(&address).await?.unwrap_or_default();
        let number = |at: usize| data.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        // slot ‖ epoch start ‖ epoch ‖ leader schedule epoch ‖ unix time, eight bytes each.
        match (number(0), number(32)) {
            (Some(slot), Some(time)) => Ok(Clock {
                slot: u64::from_le_bytes(slot),
                unix_timestamp: i64::from_le_bytes(time),
                ..Clock::default()
            }),
            _ => Err(another(&address)),
        }
    }

    async fn data(&self, address: &Pubkey) -> Result<Option<Vec<u8>>> {
        self.rpc.data(address).await
    }
}

/// Reads an account's bytes in place.
pub fn pod<T: Discriminator + AnyBitPattern>(data: &[u8]) -> Option<T> {
    let body = data.strip_prefix(T::DISCRIMINATOR)?;
    bytemuck::try_pod_read_unaligned(body.get(..size_of::<T>())?).ok()
}

/// Reads an account's bytes.
pub fn decode<T: AccountDeserialize>(mut data: &[u8], address: &Pubkey) -> Result<T> {
    T::try_deserialize(&mut data).map_err(|_| another(address))
}

fn another(address: &Pubkey) -> CliError {
    CliError::new("account", format!("the account {address} is not what was expected there"))
        .next("check the address and the cluster; a newer program needs a newer `steam`")
}
