//! Writes `docs/CU.md` and `docs/COSTS.md`; with `--check` only says whether they are current.

#![expect(clippy::unwrap_used, reason = "a developer's tool; what fails should say where")]

use std::path::Path;
use std::process::ExitCode;
use steam_tests::{chain, cost, costs};

fn main() -> ExitCode {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs");
    let check = std::env::args().any(|argument| argument == "--check");
    if check && !chain::is_committed() {
        eprintln!("not compared: another compiler's binary is under test, which costs something else");
        return ExitCode::SUCCESS;
    }
    std::fs::create_dir_all(&docs).unwrap();
    let mut code = ExitCode::SUCCESS;
    for (name, text) in [("CU.md", cost::table()), ("COSTS.md", costs::document())] {
        let path = docs.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        if check {
            eprintln!("{} is not current: cargo run -p steam-tests --bin cu-table", path.display());
            code = ExitCode::FAILURE;
        } else {
            std::fs::write(&path, text).unwrap();
            eprintln!("wrote {}", path.display());
        }
    }
    code
}
