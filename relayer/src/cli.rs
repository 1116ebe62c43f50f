//! The command line: what can be said to `steam`, and one module a command that does it.
//!
//! Every command takes the cluster and the keypair as the Solana CLI has them, prints text or JSON, and ends with 0 when it
//! is done, 1 when it failed, 2 when the command line is wrong, 3 when what it was to check does not hold.

mod account;
mod admin;
mod amount;
mod asking;
mod chat;
mod completions;
mod config;
#[cfg(feature = "localnet")]
mod dev;
mod doctor;
mod error;
mod explain;
mod failure;
mod init;
mod key;
mod keygen;
mod ledger;
mod new_file;
mod output;
mod parse;
mod price;
mod provider;
mod proxy;
mod receipt;
mod relayer;
mod relayer_api;
mod rpc;
mod secret;
mod sending;
mod serve;
mod session;
mod signer;
mod solana;
mod statement;
mod test_money;
mod usage;
mod vault;
mod wallet;

use crate::addresses;
use clap::Parser;
use error::{CliError, Exit, Result};
use output::Format;
use solana::Global;
use std::process::ExitCode;

/// Steam Router: one endpoint for every model, paid from an escrow that only its owner can empty
#[derive(Debug, clap::Parser)]
#[command(name = "steam", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 what was checked does not hold.\n\
        --keypair takes a file, usb://ledger?key=0, prompt://?key=0/0, ASK, - (standard input), or an address that signs elsewhere.\n\
        --output json prints one document on standard output and errors on standard error; amounts are µUSDC in decimal strings,\nor what the member's name ends in: pico-USDC (_pico), lamports.")]
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
    /// Write a commented configuration for `steam serve`
    Init(Box<init::Init>),
    /// Look at a relayer's whole set-up, and say what is wrong and what mends it
    Doctor(doctor::Doctor),
    /// The escrow that pays for requests
    #[command(subcommand)]
    Vault(vault::Vault),
    /// API keys: each spends from a vault within its own limits
    #[command(subcommand)]
    Key(key::Key),
    /// Make a keypair file, as the Solana CLI has it
    Keygen(keygen::Keygen),
    /// Talk to a model with signed requests; shows the cost and the receipt
    Chat(Box<chat::Chat>),
    /// Serve the relayer's API on this machine, signing each request: for SDKs, agents and editors
    Proxy(Box<proxy::ProxyArgs>),
    /// What a key used, by day, model and provider
    Usage(usage::Usage),
    /// List what a key was charged, receipt by receipt
    Statement(statement::Statement),
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

/// The whole program: reads the command line, runs the command, and says how the process ends.
pub fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let format = parse::format_of(&args);
    if let Err(error) = secret::refuse_in_arguments(&args) {
        return failed(format, &error);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(mut error) => return parse::wrong(format, &mut error),
    };
    let format = cli.global.output;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(format, &error),
    }
}

#[tokio::main]
async fn run(cli: Cli) -> Result<()> {
    let global = &cli.global;
    if global.output == Format::Csv && !matches!(cli.command, Command::Statement(_)) {
        return Err(CliError::usage("--output csv is of `steam statement` alone").next("use --output json"));
    }
    if let Some(program) = global.program {
        addresses::use_program(program);
    }
    match cli.command {
        #[cfg(feature = "localnet")]
        Command::Dev(dev) => dev.run(global.output).await,
        Command::Serve(serve) => serve.run(global).await,
        Command::Config(config) => config.run(global).await,
        Command::Init(init) => init.run(global),
        Command::Doctor(doctor) => doctor.run(global).await,
        Command::Vault(vault) => vault.run(global).await,
        Command::Key(key) => key.run(global).await,
        Command::Keygen(keygen) => keygen.run(global),
        Command::Chat(chat) => chat.run(global).await,
        Command::Proxy(proxy) => proxy.run(global).await,
        Command::Usage(usage) => usage.run(global).await,
        Command::Statement(statement) => statement.run(global).await,
        Command::Provider(provider) => provider.run(global).await,
        Command::Relayer(relayer) => relayer.run(global).await,
        Command::Ledger(ledger) => ledger.run(global).await,
        Command::Receipt(receipt) => receipt.run(global).await,
        Command::Admin(admin) => admin.run(global).await,
        Command::Completions(completions) => completions.run(),
    }
}

fn failed(format: Format, error: &CliError) -> ExitCode {
    format.error(error);
    ExitCode::from(error.exit() as u8)
}

const _: () = assert!(Exit::Usage as u8 == 2, "clap's own exit code");
