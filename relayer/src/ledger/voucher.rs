//! A session key's consent to pay, as the ledger keeps it.

use borsh::{BorshDeserialize, BorshSerialize};
use steam_protocol::Hash;
use steam_protocol::units::MicroUsdc;

/// A key's authorisation as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StoredVoucher {
    /// µUSDC in total.
    pub authorized: MicroUsdc,
    /// The request it was signed for.
    pub request_hash: Hash,
    /// The key's signature.
    pub signature: [u8; 64],
}
