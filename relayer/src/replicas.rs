//! Several processes of one relayer that share a ledger: who holds which partition, and how a request comes to the one that holds its
//! vault.
//!
//! Nothing here is what keeps a vault from being charged twice: that is the ledger's lock, epoch and turn. A mistake here sends a request to
//! the wrong process, which refuses it, or has a partition change hands, which costs time.

pub(crate) mod balance;
pub(crate) mod forward;
pub(crate) mod greet;
pub(crate) mod places;
pub(crate) mod secret;
