//! Settlement.
use crate::chain::Pubkey;
/// Where settlement stands.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Status {
    /// The last settlement's transaction.
    pub last_signature: Option<String>,
    /// When it was finalized, Unix seconds.
    pub last_settled_at: Option<i64>,
    /// Groups settled since the ledger began.
    pub settled_groups: u64,
    /// Groups under way.
    pub open_groups: u64,
    /// Receipts not settled.
    pub unsettled_receipts: u64,
    /// Their sum in pico-USDC, fees included.
    #[serde(serialize_with = "pico_string")]
    pub unsettled: steam_protocol::units::Pico,
    /// Vaults whose chain state is not this ledger's.
    #[serde(serialize_with = "addresses")]
    pub halted: Vec<Pubkey>,
}
fn pico_string<S: serde::Serializer>(pico: &steam_protocol::units::Pico, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&pico.0)
}
fn addresses<S: serde::Serializer>(all: &[Pubkey], s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(all.iter().map(ToString::to_string))
}
