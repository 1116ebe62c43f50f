//! The version of a ledger's tables, which is the same in a file and on a server.

/// In a ledger of version 1 a sealed group has all of its charges; nothing else is different.
pub(super) const VERSION: i64 = 2;
/// The oldest that is understood.
pub(super) const OLDEST: i64 = 1;

/// What is told of a ledger of any other.
pub(super) fn other_version(version: i64) -> String {
    format!("it has version {version} and this program knows {VERSION}")
}
