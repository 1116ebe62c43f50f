//! `steam completions`.

use super::error::Result;
use super::output::write_out;
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
    pub fn run(self) -> Result<()> {
        // The generator panics where it cannot write, which memory never refuses.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "steam", &mut script);
        write_out(&script)
    }
}
