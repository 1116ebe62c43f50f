//! `steam completions`.

use super::error::Result;
use clap::CommandFactory;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

impl Completions {
    /// Prints the script.
    ///
    /// # Errors
    /// Never.
    pub fn run(self) -> Result<()> {
        clap_complete::generate(self.shell, &mut super::Cli::command(), "steam", &mut std::io::stdout());
        Ok(())
    }
}
