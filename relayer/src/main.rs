//! The binary `steam`.

use std::process::ExitCode;

fn main() -> ExitCode {
    steam::cli::main()
}
