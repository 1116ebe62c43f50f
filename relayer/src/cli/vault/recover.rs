//! `steam vault recover`: what was sent to a vault's address by mistake: other tokens, and SOL; and USDC that were sent to its
//! token account as if that were a wallet.

use super::Which;
use crate::chain::Pubkey;
use crate::cli::amount::Usdc;
use crate::cli::error::{CliError, Result};
use crate::cli::output::{Report, line};
use crate::cli::parse::address;
use crate::cli::sending::Sending;
use crate::cli::session::Session;
use crate::cli::solana::Global;
use crate::cli::wallet::fee::sol;
use crate::cli::wallet::sent::{PriorityFee, Sent};
use crate::{addresses, instructions};
use anchor_lang::solana_program::instruction::Instruction;
use serde::Serialize;
use serde_json::Value;
use solana_rpc_client_api::request::TokenAccountsFilter;
use solana_rpc_client_api::response::RpcKeyedAccount;
use std::io::{self, Write};
use steam_router::state::{Vault, VaultWithKeys};

/// Recover what was sent to a vault by mistake
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without a flag it shows what there is. Tokens and SOL go to the keypair's own accounts, nested USDC to the vault's funds."
)]
pub struct Recover {
    /// Recover the tokens of this mint
    #[arg(long, value_name = "ADDRESS", value_parser = address, conflicts_with = "sol")]
    pub mint: Option<Pubkey>,
    /// Recover SOL beyond the rent
    #[arg(long)]
    pub sol: bool,
    /// Move USDC that were sent to the token account's own associated account into the vault
    #[arg(long, conflicts_with_all = ["sol", "mint"])]
    pub nested: bool,
    /// Which vault.
    #[command(flatten)]
    pub vault: Which,
    /// How it is paid for, signed and sent.
    #[command(flatten)]
    pub sending: Sending,
}

/// Tokens that are not the vault's funds.
#[derive(Clone, Debug, Serialize)]
struct Tokens {
    mint: String,
    /// In the smallest unit.
    amount: String,
    account: String,
    #[serde(skip)]
    program: Pubkey,
}

#[derive(Serialize)]
struct Recovered {
    status: &'static str,
    vault: String,
    tokens: Vec<Tokens>,
    #[serde(serialize_with = "as_text")]
    lamports: u64,
    /// µUSDC in the associated account of the vault's token account.
    nested: Usdc,
    signatures: Vec<String>,
    /// What each transaction paid for its place before others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    priority_fees: Vec<PriorityFee>,
}

fn as_text<S: serde::Serializer>(lamports: &u64, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_str(lamports)
}

/// Lamports a vault's account holds beyond its rent.
async fn excess(session: &Session, address: &Pubkey, vault: &VaultWithKeys) -> Result<u64> {
    let node = &session.rpc;
    let held = node.answer(node.client().get_balance(address)).await?;
    let rent = node.client().get_minimum_balance_for_rent_exemption(Vault::space(vault.keys.len()));
    let rent = node.answer(rent).await?;
    Ok(held.saturating_sub(vault.lamports_kept(rent)))
}

/// The token accounts of a vault besides the one with its funds that hold something.
async fn strays(session: &Session, address: &Pubkey, vault: &Vault) -> Result<Vec<Tokens>> {
    let mut found = Vec::new();
    for program in [addresses::TOKEN, addresses::TOKEN_2022] {
        let filter = TokenAccountsFilter::ProgramId(program);
        let accounts = token_accounts(session, address, filter).await?;
        found.extend(accounts.iter().filter_map(|account| tokens(account, program)));
    }
    let own = vault.token.to_string();
    found.retain(|tokens| tokens.account != own && tokens.amount != "0");
    Ok(found)
}

async fn token_accounts(
    session: &Session,
    owner: &Pubkey,
    filter: TokenAccountsFilter,
) -> Result<Vec<RpcKeyedAccount>> {
    session.rpc.answer(session.rpc.client().get_token_accounts_by_owner(owner, filter)).await
}

/// Reads a token account as nodes spell it out.
fn tokens(account: &RpcKeyedAccount, program: Pubkey) -> Option<Tokens> {
    let data = serde_json::to_value(&account.account.data).ok()?;
    let info = &data["parsed"]["info"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Tokens {
        mint: text(&info["mint"])?,
        amount: text(&info["tokenAmount"]["amount"])?,
        account: account.pubkey.clone(),
        program,
    })
}

impl Recover {
    pub(super) async fn run(self, global: &Global) -> Result<()> {
        let session = Session::open(global).await?;
        let (address, vault) = self.vault.find(&session, global).await?;
        let wallet = self.sending.wallet(global)?;
        let owner = wallet.address();
        super::need_owner(&vault, &owner)?;
        let asked = self.mint.is_some() || self.sol || self.nested;
        let lamports = if self.sol || !asked { excess(&session, &address, &vault).await? } else { 0 };
        let mut tokens =
            if self.mint.is_some() || !asked { strays(&session, &address, &vault).await? } else { Vec::new() };
        let mint = session.config.mint;
        let at = addresses::ata(&vault.token, &mint);
        let nested = if self.nested || !asked { session.balance(&at).await? } else { None };
        let mut transactions = Vec::new();
        if let Some(mint) = &self.mint {
            tokens.retain(|tokens| tokens.mint == mint.to_string());
            if wallet.is_made_again() {
                // One transaction is printed and signed at a time; the next run finds the next account.
                tokens.truncate(1);
            }
            for Tokens { account, program, .. } in &tokens {
                transactions.push(steps((&owner, &wallet.payer()), &vault, account, mint, program)?.to_vec());
            }
        } else if self.sol && lamports > 0 {
            transactions.push(vec![instructions::recover_lamports(&owner, &vault.relayer)]);
        } else if self.nested && nested.is_some() {
            transactions.push(vec![instructions::recover_nested(&owner, &vault.relayer, &mint)]);
        }
        let mut sent: Vec<Sent> = Vec::new();
        for steps in &transactions {
            let Some(one) = wallet.send(&session.rpc, steps, None).await? else { return Ok(()) };
            sent.push(one);
        }
        if asked && sent.is_empty() {
            return Err(CliError::new("nothing_to_recover", "the vault holds nothing of this beyond its own")
                .next("see what there is with `steam vault recover`"));
        }
        global.output.print(&Recovered {
            status: if asked { "recovered" } else { "found" },
            vault: address.to_string(),
            tokens,
            lamports,
            nested: nested.unwrap_or_default().into(),
            signatures: sent.iter().map(ToString::to_string).collect(),
            priority_fees: sent.iter().filter_map(|sent| sent.priority_fee().cloned()).collect(),
        })
    }
}

/// Moves the tokens of `account` to the owner's own, which is made if it is not there.
fn steps(
    (owner, payer): (&Pubkey, &Pubkey),
    vault: &Vault,
    account: &str,
    mint: &Pubkey,
    program: &Pubkey,
) -> Result<[Instruction; 2]> {
    let source = address(account).map_err(|problem| CliError::new("rpc_failed", problem))?;
    let destination = addresses::ata_of(owner, mint, program);
    Ok([
        instructions::create_ata_of(payer, owner, mint, program),
        instructions::recover_tokens(owner, &vault.relayer, &source, &destination, mint, program),
    ])
}

impl Report for Recovered {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let found = self.status == "found";
        if found && self.tokens.is_empty() && self.lamports == 0 && self.nested.0 == 0 {
            return writeln!(out, "There is nothing to recover.");
        }
        writeln!(out, "{}", if found { "This can be recovered:" } else { "Recovered:" })?;
        for tokens in &self.tokens {
            let how = if found { format!(" (`--mint {}`)", tokens.mint) } else { String::new() };
            writeln!(out, "  {} units of mint {}{how}", tokens.amount, tokens.mint)?;
        }
        if self.lamports > 0 {
            let how = if found { " (`--sol`)" } else { "" };
            writeln!(out, "  {} SOL{how}", sol(self.lamports.into()))?;
        }
        if self.nested.0 > 0 {
            let how = if found { " (`--nested`)" } else { ", now in the vault" };
            writeln!(out, "  {} USDC sent to the token account as to a wallet{how}", self.nested)?;
        }
        for signature in &self.signatures {
            line(out, "transaction", signature)?;
        }
        Ok(())
    }
}
