//! Writes `docs/CU.md`; with `--check` only says whether it is current.

#![expect(clippy::unwrap_used, reason = "a developer's tool; what fails should say where")]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/CU.md");
    let table = steam_tests::cost::table();
    if std::fs::read_to_string(&path).is_ok_and(|there| there == table) {
        return ExitCode::SUCCESS;
    }
    if std::env::args().any(|argument| argument == "--check") {
        if !steam_tests::chain::is_committed() {
            eprintln!("not compared: another compiler's binary is under test, which costs something else");
            return ExitCode::SUCCESS;
        }
        eprintln!("{} is not current: cargo run -p steam-tests --bin cu-table", path.display());
        return ExitCode::FAILURE;
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, table).unwrap();
    eprintln!("wrote {}", path.display());
    ExitCode::SUCCESS
}
