//! The ledger.
/// Why the ledger could not answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database.
    #[error("the ledger's database failed: {0}")]
    Database(String),
}
/// Handle.
#[derive(Clone, Debug)]
pub struct Ledger;
/// A receipt as stored.
#[derive(Clone, Debug)]
pub struct ReceiptRow {
    /// Generation id.
    pub id: String,
    /// Signed bytes.
    pub receipt: Vec<u8>,
    /// Whose it is.
    pub key: [u8; 32],
    /// `unsettled`, `sealed`, `settled`.
    pub status: String,
    /// Once settled.
    pub proof: Option<Proof>,
}
/// Inclusion of a receipt in a settlement.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Base58 signature.
    pub transaction: String,
    /// Root.
    pub root: [u8; 32],
    /// Leaf index.
    pub index: u64,
    /// Leaves.
    pub count: u64,
    /// Siblings.
    pub path: Vec<[u8; 32]>,
    /// The vault's seq.
    pub seq: u32,
}
/// A request's decision as stored.
#[derive(Clone, Debug)]
pub struct GenerationRow {
    /// Generation id.
    pub id: String,
    /// Whose it is.
    pub key: [u8; 32],
    /// Canonical JSON.
    pub decision: Vec<u8>,
    /// Signed bytes.
    pub receipt: Vec<u8>,
}
#[expect(clippy::unimplemented, unused_variables, missing_docs, reason = "the seam")]
impl Ledger {
    pub async fn generation(&self, id: &str) -> Result<Option<GenerationRow>, LedgerError> {
        unimplemented!()
    }
    pub async fn receipt(&self, id: &str) -> Result<Option<ReceiptRow>, LedgerError> {
        unimplemented!()
    }
}
