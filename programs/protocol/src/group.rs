//! A group: the charges of one vault that settle together, linked to all before by a hash chain. The chain is what
//! makes a group apply once: the program keeps its head, the ledger keeps its links.

use crate::units::Usage;
use crate::{Address, Hash, sha256};

/// Most charges in a group.
pub const MAX_CHARGES: usize = 16;
/// Most session keys of a vault.
pub const MAX_KEYS: usize = 32;
/// Most vouchers in a group: one for each slot charged.
pub const MAX_VOUCHERS: usize = MAX_CHARGES;
const CHARGE_LEN: usize = 1 + 32 + 4 + 24;
/// The bit of the slot that says that the charge is of long prompts.
const LONG: u8 = 1 << 7;
const TAG: &[u8] = b"steam-group:v1";

/// A charge with its offer's address resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResolvedCharge {
    /// The key's slot in the vault.
    pub slot: u8,
    /// The offer that served it.
    pub offer: Address,
    /// The price version quoted.
    pub version: u32,
    /// Whether it is of long prompts.
    pub long: bool,
    /// Sums of the receipts it stands for.
    pub usage: Usage,
}

/// What the hash of a group covers besides its charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// The vault charged.
    pub vault: Address,
    /// Its generation.
    pub generation: u64,
    /// The group's place in the chain, from 1.
    pub seq: u32,
    /// Receipts the group stands for.
    pub receipts: u32,
    /// The relayer's fee.
    pub fee_bps: u16,
}

/// The chain's next head: `sha256(previous ‖ "steam-group:v1" ‖ vault ‖ generation ‖ seq ‖ receipts ‖ fee_bps ‖ n ‖ charges)`, each
/// charge as `slot ‖ offer ‖ version ‖ requests ‖ input ‖ cached ‖ cache_write ‖ cache_write_long ‖ output`, where bit 7 of the
/// slot is set for long prompts. At most [`MAX_CHARGES`] charges count;
/// the batch format cannot express more.
pub fn next_hash(
    previous: &Hash,
    header: &GroupHeader,
    charges: impl ExactSizeIterator<Item = ResolvedCharge>,
) -> Hash {
    let n = charges.len().min(MAX_CHARGES);
    let mut buffer = [0u8; CHARGE_LEN * MAX_CHARGES];
    for (bytes, charge) in buffer.chunks_exact_mut(CHARGE_LEN).zip(charges) {
        bytes[0] = charge.slot | if charge.long { LONG } else { 0 };
        bytes[1..33].copy_from_slice(&charge.offer);
        let usage = &charge.usage;
        let numbers = [
            charge.version,
            usage.requests,
            usage.input,
            usage.cached,
            usage.cache_write,
            usage.cache_write_long,
            usage.output,
        ];
        for (place, number) in bytes[33..].chunks_exact_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }
    sha256(&[
        previous,
        TAG,
        &header.vault,
        &header.generation.to_le_bytes(),
        &header.seq.to_le_bytes(),
        &header.receipts.to_le_bytes(),
        &header.fee_bps.to_le_bytes(),
        &[n as u8],
        &buffer[..n * CHARGE_LEN],
    ])
}
