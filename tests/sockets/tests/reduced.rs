//! The reduced run: a small market on real sockets, with the relayer that was built beside this.

use std::path::Path;
use std::process::Command;

#[test]
fn everything_works_in_a_small_market_on_real_sockets() {
    let sockets = Path::new(env!("CARGO_BIN_EXE_sockets"));
    let steam = sockets.with_file_name("steam");
    assert!(
        steam.exists(),
        "no relayer beside {}: `cargo build -p steam`, or test the whole workspace",
        sockets.display()
    );
    let run = Command::new(sockets).arg("reduced").output().expect("it starts");
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{told}{}", String::from_utf8_lossy(&run.stderr));
    println!("{told}");
}
