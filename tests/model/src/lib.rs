//! A reference model of the program, written from SPEC.md, and a state machine that runs random sequences of everything
//! that can happen against the program's binary in LiteSVM, comparing every account, balance and error after each.
//!
//! The model ([`model`]) is plain Rust: no Anchor, nothing of the program's source. Instructions are encoded
//! ([`wire`]) and accounts decoded by what SPEC.md says of their bytes.

#![expect(clippy::panic, reason = "a broken test bed should end the test where it breaks")]

pub mod cast;
pub mod chain;
pub mod corpus;
pub mod generate;
pub mod invariants;
pub mod machine;
pub mod model;
pub mod op;
pub mod raw;
pub mod reference;
pub mod tally;
pub mod time;
pub mod wire;
