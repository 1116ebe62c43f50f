//! The command line: what can be said to `steam`, and one module a command that does it.
//!
//! Every command takes the cluster and the keypair as the Solana CLI has them, prints text or JSON, and ends with 0 when it
//! is done, 1 when it failed, 2 when the command line is wrong, 3 when what it was to check does not hold.

pub mod admin;
pub mod amount;
pub mod chat;
mod completion;
pub mod completions;
pub mod config;
#[cfg(feature = "localnet")]
pub mod dev;
pub mod error;
pub mod failure;
pub mod key;
pub mod ledger;
pub mod output;
pub mod parse;
pub mod provider;
pub mod receipt;
pub mod relayer;
mod relayer_api;
mod rpc;
pub mod secret;
pub mod serve;
pub mod session;
pub mod solana;
pub mod vault;

pub use error::{CliError, Exit, Result};
pub use output::Format;
pub use solana::Global;

/// Steam Router: one endpoint for every model, paid from an escrow that only its owner can empty
#[derive(Debug, clap::Parser)]
#[command(name = "steam", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 what was checked does not hold.")]
pub struct Cli {
    /// Flags every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run a complete local system: network, providers, relayer, a funded user
    #[cfg(feature = "localnet")]
    Dev(dev::DevArgs),
    /// Run the relayer
    Serve(serve::Serve),
    /// The relayer's configuration
    #[command(subcommand)]
    Config(config::Config),
    /// The escrow that pays for requests
    #[command(subcommand)]
    Vault(vault::Vault),
    /// API keys: each spends from a vault within its own limits
    #[command(subcommand)]
    Key(key::Key),
    /// Talk to a model with signed requests; shows the cost and the receipt
    Chat(Box<chat::Chat>),
    /// Offer models and earn
    #[command(subcommand)]
    Provider(provider::Provider),
    /// Operate a relayer
    #[command(subcommand)]
    Relayer(relayer::Relayer),
    /// Check, repair and copy the relayer's ledger
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Check what was charged
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// Set up and pause the program
    #[command(subcommand)]
    Admin(admin::Admin),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}
