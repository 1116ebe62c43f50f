//! The binary `steam`.

use std::process::ExitCode;

/// A request makes some hundreds of small allocations; the system's own allocator takes twice as long for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    steam::cli::main()
}
