# Recipes are the commands CI runs, one by one.

# The guided tour of the whole system on one machine
demo:
    cargo run --release -- dev --demo

# All tests that need Rust and a C toolchain alone
test:
    cargo test --workspace

lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# Build the program and write the committed binary and its manifest
artifact:
    programs/steam-router/build-artifact

# The IDL, its types, the table of compute units and the golden vectors
generate:
    cargo run -q -p steam-tests --bin idl
    cargo run -q -p steam-tests --bin cu-table
    python3 tests/vectors/generate.py

# The tables and figures of docs/ROUTING.md
routing:
    cargo run --release -p steam-simulator

# Twenty drawn markets of two minutes on real sockets, and the scenes: 35 minutes on a quiet machine
sockets:
    cargo build --release -p steam -p steam-sockets
    target/release/sockets scenes
    target/release/sockets

# Stock SDKs, frameworks and this project's TypeScript client
sdk:
    cargo build -p steam
    python3 tests/sdk/run.py target/debug/steam

# Coding agents from their registries, 1.5 GB
agents:
    cargo build -p steam
    tests/agents/run target/debug/steam

# Everything, as CI does it
ci:
    .ci/run
