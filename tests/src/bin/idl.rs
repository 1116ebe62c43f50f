//! Writes the program's IDL and its TypeScript types into `app-idl`; with `--check` only says whether they are current.

#![expect(clippy::unwrap_used, reason = "a developer's tool; what fails should say where")]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let check = std::env::args().any(|argument| argument == "--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files = match steam_tests::idl::generate(root) {
        Ok(files) => files,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut current = true;
    for (path, text) in files {
        let same = std::fs::read_to_string(&path).is_ok_and(|there| there == text);
        if check && !same {
            eprintln!("{} is not current: cargo run -p steam-tests --bin idl", path.display());
            current = false;
        } else if !same {
            std::fs::write(&path, text).unwrap();
            eprintln!("wrote {}", path.display());
        }
    }
    if current { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
