//! The binary `steam`: reads the command line and hands it to the command.

use clap::Parser;
use std::process::ExitCode;
use steam::cli::{self, Cli, Command, Exit, Format, Result};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let format = cli::parse::format_of(&args);
    if let Err(error) = cli::secret::refuse_in_arguments(&args) {
        return failed(format, &error);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return cli::parse::wrong(format, &error),
    };
    let format = cli.global.output;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(format, &error),
    }
}

/// The whole program.
#[tokio::main]
async fn run(cli: Cli) -> Result<()> {
    let global = &cli.global;
    match cli.command {
        #[cfg(feature = "localnet")]
        Command::Dev(dev) => dev.run().await,
        Command::Serve(serve) => serve.run(global).await,
        Command::Config(config) => config.run(global),
        Command::Vault(vault) => vault.run(global).await,
        Command::Key(key) => key.run(global).await,
        Command::Chat(chat) => chat.run(global).await,
        Command::Provider(provider) => provider.run(global).await,
        Command::Relayer(relayer) => relayer.run(global).await,
        Command::Ledger(ledger) => ledger.run(global).await,
        Command::Receipt(receipt) => receipt.run(global).await,
        Command::Admin(admin) => admin.run(global).await,
        Command::Completions(completions) => completions.run(),
    }
}

fn failed(format: Format, error: &cli::CliError) -> ExitCode {
    format.error(error);
    ExitCode::from(error.exit() as u8)
}

const _: () = assert!(Exit::Usage as u8 == 2, "clap's own exit code");
