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

impl StoredVoucher {
    /// Whether it allows more than `authorized`, the most that was allowed before.
    pub fn exceeds(&self, authorized: MicroUsdc) -> bool {
        self.authorized > authorized
    }

    /// Keeps the voucher that allows most, in whatever order they come.
    pub fn raise(&mut self, other: Self) {
        if other.exceeds(self.authorized) {
            *self = other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voucher(authorized: u64, request: u8) -> StoredVoucher {
        StoredVoucher { authorized: MicroUsdc(authorized), request_hash: [request; 32], signature: [request; 64] }
    }

    #[test]
    fn the_voucher_that_allows_most_is_kept_and_the_first_of_equals() {
        let mut kept = voucher(5, 1);
        for (other, expected) in [(voucher(4, 2), 1), (voucher(5, 3), 1), (voucher(6, 4), 4), (voucher(5, 5), 4)] {
            kept.raise(other);
            assert_eq!(kept.request_hash, [expected; 32]);
        }
    }
}
