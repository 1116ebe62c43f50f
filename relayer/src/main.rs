//! The binary `steam`.
fn main() {}
